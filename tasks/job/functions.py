"""Functions that the client of a job runs itself, as the job describes them. Pure."""

from collections.abc import Callable, Sequence
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictBool, StringConstraints

from agents import ClientFunction, InvalidTool
from tasks.errors import InvalidJob
from tasks.job.reply_format import check_keywords, weigh

MAX_FUNCTIONS_BYTES = 131_072
"""Of all functions of a job, and of what the model is shown of each."""
MAX_LOAD = 100_000
"""Of the parameters of all functions together, which a worker reads on the loop of all turns: the
states of their patterns, and a PART for each object and list, every reference written out."""
PART = 25
MAX_VALUES = 65_536
"""What else stands in them, written out as well."""


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
    # All are weighed before the first is made a validator of, which is what costs.
    _each(functions, _Scale().put)
    _each(functions, _check_parameters)


def _each(
    functions: Sequence[FunctionTool], check: Callable[[FunctionTool, dict[str, JsonValue]], None]
) -> None:
    """Check each function's parameters. Raises InvalidJob, which names the one that fails."""
    for number, function in enumerate(functions):
        try:
            if function.parameters:
                check(function, function.parameters)
        except (InvalidJob, InvalidTool) as exc:
            why = str(exc).removeprefix("format ").removeprefix("its parameters are ")
            raise InvalidJob(f"functions.{number}.parameters: {why}") from None


class _Scale:
    """Weighs the parameters of all functions of a job together."""

    def __init__(self) -> None:
        self._load = self._values = 0

    def put(self, _: FunctionTool, schema: dict[str, JsonValue]) -> None:
        """Add those of one. Raises InvalidJob where all so far are too heavy."""
        weight = weigh(schema)
        self._load += PART * weight.parts + weight.states
        self._values += weight.values
        if self._load > MAX_LOAD or self._values > MAX_VALUES:
            raise InvalidJob(
                f"with those before they are too heavy: all functions may have {MAX_LOAD // PART} "
                f"objects and lists and {MAX_VALUES} values with their references written out, "
                "fewer with counted repetitions in patterns"
            )


def _check_parameters(function: FunctionTool, schema: dict[str, JsonValue]) -> None:
    check_keywords(schema)
    properties = schema.get("properties", {})
    is_object = schema.get("type", "object") == "object" and isinstance(properties, dict)
    if not is_object or not all(isinstance(one, dict) for one in properties.values()):  # type: ignore[union-attr]  # `is_object` is the check
        raise InvalidJob("must be the schema of an object, each property with a schema of its own")
    if len(orjson.dumps(function.as_offered.definition)) > MAX_FUNCTIONS_BYTES:
        raise InvalidJob("are too long with their references written out")
