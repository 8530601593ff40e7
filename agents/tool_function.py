"""A Python function that a model may call, by its annotations: arguments in, text out. No waiting.

A worker uses it, and so does the child process in which a tool may run.
"""

import inspect
import math
import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from numbers import Real
from typing import TypeAlias, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError, from_json, to_json

from agents.errors import InvalidTool, ToolError
from agents.tool_schema import parameters_schema
from agents.tool_threads import CallResult

ToolFunction: TypeAlias = Callable[..., object]
Report: TypeAlias = Callable[[float | None, str], None]
"""Takes how far a call is, 0 to 1 or None, and what it does now. May be called in any thread."""

MAX_ARGUMENTS_BYTES = 65_536
MAX_DESCRIPTION_CHARS = 4096
MAX_PROBLEMS = 5
MOST_DESCRIBED = 500
CUT = "\n[cut: the rest is too long]"
MAX_PROGRESS_CHARS = 200
PROGRESS_EVERY_S = 0.5
"""Followers hear of a call's progress at most so often."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class ToolContext:
    """For whom a tool is called. A function that has a parameter of this type is given it.

    A tool may be called again for the same job, when a worker died or stopped before the turn was
    committed: `job_id` is the same then; `attempt` is higher, unless the worker gave the job back
    by itself. `call_number` counts the calls of one
    attempt, from 1.
    """

    agent_id: str
    session_id: str
    # With it a tool can make sure by itself: docs/decisions.md, "A tool may run twice, its turn is
    # recorded once".
    job_id: str
    attempt: int
    call_number: int = 0
    report: Report | None = field(default=None, repr=False, compare=False)
    """Where `progress` goes; without it, as in a context that a test makes, nowhere."""

    def progress(self, fraction: float | None = None, text: str = "") -> None:
        """Tell who follows the job how far this call is: from 0 to 1, or None where that is not
        known; and in a few words what it does now. May be called in any thread, as often as you
        like: followers get the newest, at most every half second, and what comes after the call
        has ended is dropped.

        Raises nothing. A fraction beyond 0 or 1 counts as that, one that is no number as None; of
        the text 200 characters are shown, on one line.
        """
        if self.report is not None:
            self.report(_checked_fraction(fraction), _checked_text(text))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to, as the model reads it."""

    content: str = field(repr=False)
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call has ended: what the model reads, and of a failure its kind and place for the log.

    Neither message nor traceback: they may quote the conversation, or hold a secret.
    """

    outcome: Outcome
    trouble: str | None = None


class TypedFunction:
    """One function with typed parameters. InvalidTool where it cannot be a tool."""

    def __init__(self, function: ToolFunction, *, max_result_bytes: int) -> None:
        self.name = _checked_name(function)
        self.is_async = inspect.iscoroutinefunction(function)
        self._function = function
        self._max_result_bytes = max_result_bytes
        self._arguments, self._context_name = _read_parameters(function, self.name)
        self.definition = _definition(function, self.name, self._arguments)

    def bound(self, arguments: Mapping[str, object], context: ToolContext) -> Callable[[], object]:
        """The call with what the model gave. Raises ToolError for arguments that do not fit."""
        try:
            checked = self._arguments.model_validate_json(to_json(dict(arguments)))
        except ValidationError as exc:
            raise ToolError(f"wrong arguments: {_problems(exc)}") from None
        fields = type(checked).model_fields
        given = {
            str(fields[name].alias): getattr(checked, name) for name in checked.model_fields_set
        }
        if self._context_name is not None:
            given[self._context_name] = context
        return partial(self._function, **given)

    def outcome(self, value: object) -> Outcome:
        """What the model reads of what the function has returned; raises what `ended` takes."""
        return Outcome(within(_text(value), self._max_result_bytes))

    def ended(self, how: CallResult) -> CallEnd:
        """The end of a call: its value is an Outcome, or it has an error."""
        if isinstance(how.value, Outcome):
            return CallEnd(how.value)
        error = how.error
        if isinstance(error, ToolError):
            return CallEnd(
                Outcome(within(f"error: {error}", self._max_result_bytes), is_error=True)
            )
        kind = type(error).__name__
        frames = traceback.extract_tb(None if error is None else error.__traceback__)
        where = [f"{frame.filename}:{frame.lineno}" for frame in frames]
        # docs/decisions.md, "Tools run one after the other, and an error shows its kind only".
        failed = Outcome(f"error: the tool failed ({kind})", is_error=True)
        return CallEnd(failed, f"{kind} at {where[-1:]}")


def _checked_fraction(fraction: object) -> float | None:
    if not isinstance(fraction, Real):
        return None
    try:
        number = float(fraction)
    except OverflowError:  # a whole number beyond all that floats have
        number = math.inf if fraction > 0 else 0.0  # type: ignore[operator]  # numbers compare
    return None if math.isnan(number) else round(min(max(number, 0.0), 1.0), 3)


def _checked_text(text: object) -> str:
    if not isinstance(text, str):
        return ""
    start = text[: 2 * MAX_PROGRESS_CHARS].encode(errors="replace").decode()
    shown = "".join(char if char.isprintable() else " " for char in start)
    return " ".join(shown.split())[:MAX_PROGRESS_CHARS]


def _checked_name(function: ToolFunction) -> str:
    name = getattr(function, "__name__", "")
    if not inspect.isroutine(function) or _NAME.fullmatch(name) is None:
        raise InvalidTool("it is not a function with an ASCII name of at most 64 characters")
    return name


def _read_parameters(function: ToolFunction, name: str) -> tuple[type[BaseModel], str | None]:
    """A model of the arguments, and the name of the parameter that is given the context."""
    try:
        hints = get_type_hints(function, include_extras=True)
        parameters = inspect.signature(function).parameters.values()
    except (NameError, TypeError, ValueError) as exc:
        raise InvalidTool(f"its annotations cannot be read: {exc}") from exc
    context_names = [one.name for one in parameters if hints.get(one.name) is ToolContext]
    asked = [one for one in parameters if one.name not in context_names[:1]]
    fields = {f"p{n}": _field(one, hints) for n, one in enumerate(asked)}
    try:
        # Without "forbid" an argument that the model made up would be dropped in silence.
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)  # type: ignore[call-overload]  # made at run time
    except (PydanticUserError, TypeError) as exc:
        raise InvalidTool(f"pydantic does not support its annotations: {_line(exc)}") from exc
    return model, next(iter(context_names), None)


def _field(parameter: inspect.Parameter, hints: Mapping[str, object]) -> tuple[object, object]:
    """Under a name of ours: a parameter may be called as something that pydantic's models have."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if parameter.kind not in by_name:
        raise InvalidTool(f"its parameter {parameter.name} cannot be given by name")
    if parameter.name not in hints:
        raise InvalidTool(f"its parameter {parameter.name} has no annotation")
    hint = hints[parameter.name]
    if parameter.default is inspect.Parameter.empty:
        return hint, Field(alias=parameter.name)
    # The function's own default stays with it: only what the model gives is handed over.
    told = _default(parameter.default)
    return hint, Field(alias=parameter.name, default_factory=lambda: None, json_schema_extra=told)


def _default(value: object) -> dict[str, JsonValue] | None:
    """A default for the model to read; nothing of None, and of what JSON cannot hold."""
    if value is None:
        return None
    try:
        return {"default": from_json(to_json(value))}
    except (PydanticSerializationError, ValueError):
        return None


def _definition(
    function: ToolFunction, name: str, arguments: type[BaseModel]
) -> dict[str, JsonValue]:
    description = inspect.getdoc(function) or ""
    if not description:
        raise InvalidTool("it has no docstring: the model reads it to know when to call it")
    return {
        "type": "function",
        "function": {
            "name": name,
            # It is in each prompt of the turn, as the names and parameters are.
            "description": description[:MAX_DESCRIPTION_CHARS],
            "parameters": parameters_schema(arguments),
        },
    }


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return to_json(value, inf_nan_mode="null").decode()


def within(text: str, max_bytes: int) -> str:
    """The text, cut where it is longer, and what JSON cannot hold replaced; a mark says so."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return f"{encoded[:max_bytes].decode(errors='ignore')}{CUT}"


def _problems(error: ValidationError) -> str:
    """Which arguments are wrong, and why; the model may try again."""
    # pydantic makes all of them before the first is read: 45 ms for a list of 32 000.
    if (count := error.error_count()) > MOST_DESCRIBED:
        return f"{count} of their values do not fit"
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}"
        for one in found[:MAX_PROBLEMS]
    )


def _line(error: Exception) -> str:
    return str(error).splitlines()[0]
