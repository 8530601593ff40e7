"""The parameters of a tool as a model reads them: JSON Schema without references. Pure."""

from collections.abc import Mapping

from pydantic import BaseModel, JsonValue
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from agents.errors import InvalidTool
from agents.tool_words import in_words

# Written out, the references of a recursive model would have no end.
MAX_DEPTH = 32
DEFINITIONS = ("$defs", "definitions")
"""Where a schema has what its references name."""


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
    return {"properties": {}, **in_words(written_out(schema))}


def written_out(schema: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """A schema without its title, with the definitions in the place of their references. Raises
    InvalidTool for one that is recursive or nested too deep."""
    definitions = {
        f"#/{where}/{name}": part
        for where in DEFINITIONS
        for name, part in _object(schema.get(where)).items()
    }
    rest = {name: part for name, part in schema.items() if name not in (*DEFINITIONS, "title")}
    return {**_object(_plain(rest, definitions, 0))}


def _object(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _plain(value: JsonValue, definitions: Mapping[str, JsonValue], depth: int) -> JsonValue:
    """The value with the definitions, by their references, in the place of these."""
    if depth > MAX_DEPTH:
        raise InvalidTool("its parameters are recursive, or nested too deep")
    if isinstance(value, list):
        return [_plain(part, definitions, depth + 1) for part in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str):
        found = definitions.get(reference)
        # pydantic writes description and default of a parameter beside its reference.
        value = {name: part for name, part in value.items() if name != "$ref"}
        if isinstance(found, dict):
            found = {name: part for name, part in found.items() if name != "title"}
            return _plain({**found, **value}, definitions, depth + 1)
    return {name: _plain(part, definitions, depth + 1) for name, part in value.items()}
