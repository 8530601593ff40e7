"""Functions that the client of a job runs itself, as the job describes them. Pure."""

from collections.abc import Sequence
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictBool, StringConstraints

from agents import ClientFunction, InvalidTool
from tasks.errors import InvalidJob
from tasks.job.reply_format import check_format

MAX_FUNCTIONS_BYTES = 131_072
"""Of all functions of a job, and of what the model is shown of each."""


class FunctionTool(BaseModel):
    """A function that the model may call, and the client runs. `parameters` is a JSON Schema of an
    object; with `strict` no call reaches the client that does not fit it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$", strict=True)]
    description: Annotated[str, StringConstraints(strict=True)] | None = Field(
        default=None, repr=False
    )
    parameters: dict[str, JsonValue] | None = Field(default=None, repr=False)
    strict: StrictBool | None = None

    @property
    def as_offered(self) -> ClientFunction:
        """The function as a model is offered it. Raises agents.InvalidTool."""
        return ClientFunction.of(
            self.name,
            description=self.description,
            parameters=self.parameters,
            is_strict=bool(self.strict),
        )


def check_functions(functions: Sequence[FunctionTool]) -> None:
    """Raise InvalidJob for functions that no model can be offered, or for too much of them."""
    names = [function.name for function in functions]
    if len(set(names)) < len(names):
        raise InvalidJob("functions: two have the same name")
    try:
        size_bytes = sum(len(orjson.dumps(one.model_dump())) for one in functions)
    except TypeError:
        raise InvalidJob("functions are not valid JSON, or hold a lone surrogate") from None
    if size_bytes > MAX_FUNCTIONS_BYTES:
        raise InvalidJob(
            f"functions have {size_bytes} bytes, at most {MAX_FUNCTIONS_BYTES} are allowed"
        )
    for number, function in enumerate(functions):
        try:
            _check_parameters(function)
        except (InvalidJob, InvalidTool) as exc:
            why = str(exc).removeprefix("format ").removeprefix("its parameters are ")
            raise InvalidJob(f"functions.{number}.parameters: {why}") from None


def _check_parameters(function: FunctionTool) -> None:
    schema = function.parameters
    if not schema:
        return
    check_format(schema)
    properties = schema.get("properties", {})
    is_object = schema.get("type", "object") == "object" and isinstance(properties, dict)
    if not is_object or not all(isinstance(one, dict) for one in properties.values()):  # type: ignore[union-attr]  # `is_object` is the check
        raise InvalidJob("must be the schema of an object, each property with a schema of its own")
    if len(orjson.dumps(function.as_offered.definition)) > MAX_FUNCTIONS_BYTES:
        raise InvalidJob("are too long with their references written out")
