"""The parameters of a tool as a model reads them: JSON Schema without references. Pure."""

from collections.abc import Mapping

from pydantic import BaseModel, JsonValue
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from agents.errors import InvalidTool
from agents.tool_words import in_words

# Written out, the references of a recursive model would have no end.
MAX_DEPTH = 32


class _Schemas(GenerateJsonSchema):
    """Without titles: they repeat the names and cost tokens in every prompt."""

    def field_title_should_be_set(self, schema: object) -> bool:
        """Never."""
        return False


def parameters_schema(arguments: type[BaseModel]) -> dict[str, JsonValue]:
    """The schema of a model of arguments. Raises InvalidTool.

    References are written out, and what Ollama would drop besides them is said in words
    (agents/tool_words.py).
    """
    try:
        schema = arguments.model_json_schema(schema_generator=_Schemas)
    except PydanticUserError as exc:
        raise InvalidTool(
            f"its parameters have no JSON Schema: {str(exc).splitlines()[0]}"
        ) from exc
    definitions: dict[str, JsonValue] = schema.pop("$defs", {})
    schema.pop("title", None)
    plain = {name: _plain(part, definitions, 0) for name, part in schema.items()}
    return {"properties": {}, **in_words(plain)}


def _plain(value: JsonValue, definitions: Mapping[str, JsonValue], depth: int) -> JsonValue:
    """The value with the definitions in the place of their references."""
    if depth > MAX_DEPTH:
        raise InvalidTool("its parameters are recursive, or nested too deep")
    if isinstance(value, list):
        return [_plain(part, definitions, depth + 1) for part in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str):
        found = definitions[reference.removeprefix("#/$defs/")]
        # pydantic writes description and default of a parameter beside its reference.
        beside = {name: part for name, part in value.items() if name != "$ref"}
        if isinstance(found, dict):
            value = {**found, **beside}
            value.pop("title", None)
    return {name: _plain(part, definitions, depth + 1) for name, part in value.items()}
