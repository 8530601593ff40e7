"""A chat job: what a producer asks for, checked."""

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Self, TypeVar

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StringConstraints,
    ValidationError,
)

from agents import Ask
from llm import check_model_name
from llm.errors import InvalidRequestError
from memory import InvalidInput, OnBusy, Request
from memory.ids import encode_id, new_uuid
from memory.priority import Priority
from memory.quoting import quoted
from memory.records.users import USER_ID, user_of
from tasks.errors import InvalidJob
from tasks.job.deadline import MAX_TIMEOUT_S
from tasks.job.due_time import unix_time
from tasks.job.functions import FunctionTool, check_functions
from tasks.job.preceding import check_preceding, ends_with_result
from tasks.job.reply_format import ReplyFormat, check_format
from tasks.job.sampling import Sampling
from tasks.job.weights.nesting import MAX_LEVELS, shape_fault

IDEMPOTENCY_NAMESPACE = uuid.UUID("5f1e3f5c-8a1d-5d0e-9f5b-6772696f7431")
MAX_SYSTEM_PROMPT_BYTES = 65_536
MAX_METADATA_BYTES = 8192
MAX_TOOLS = 128
MAX_TOOL_CHARS = 128
MAX_TAGS = 8
MAX_PATH = 4
"""A problem deep in the metadata is named by the first parts of its path."""
MAX_PROBLEMS = 8
"""So many are said of a job that has more of them."""

_UNICODE_ERROR = re.compile("[\ud800-\udfff]")

# What may be one of several things is said as a whole: pydantic says how each of them failed.
_ALLOWED: Mapping[int | str, str] = {
    "format": 'must be "json" or a JSON Schema, as an object',
    "tags": "must be at most 8 texts of 1 to 64 letters, digits and _ . : / @ + = -",
    "think": 'must be True, False or a level such as "low" or "high"',
}

Part = TypeVar("Part", bound=BaseModel)
Text = Annotated[str, StringConstraints(strict=True)]
ThinkLevel = Annotated[Text, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
"""Which levels there are is the model's to say."""
ToolName = Annotated[Text, StringConstraints(min_length=1, max_length=MAX_TOOL_CHARS)]

# Not a count in the pattern: of letters of all languages it takes 24 ms of each process's start.
Tag = Annotated[Text, StringConstraints(pattern=r"^[\w.:/@+=-]+$", max_length=64)]

Moment = Annotated[
    float,
    BeforeValidator(
        lambda given: unix_time(given, what="it"),
        json_schema_input_type=datetime | float | str,
    ),
]
"""Unix time in seconds, in whichever way it was said."""


class ChatJob(BaseModel):
    """The arguments of `chat_task`, checked. What each means: tasks/job/options.py."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    agent_id: Text
    session_id: Text
    message: Annotated[Text, StringConstraints(min_length=0)] = Field(repr=False)
    system_prompt: Text | None = Field(default=None, repr=False)
    model: Text | None = None
    temperature: Annotated[float, Field(ge=0, le=2, strict=True)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = None
    max_history: Annotated[int, Field(ge=0, le=100_000, strict=True)] | None = None
    images: list[Text] | None = Field(default=None, repr=False)
    format: ReplyFormat | None = Field(default=None, repr=False)
    think: StrictBool | ThinkLevel | None = None
    tools: Annotated[list[ToolName], Field(max_length=MAX_TOOLS)] | None = None
    functions: Annotated[list[dict[str, JsonValue]], Field(max_length=MAX_TOOLS)] | None = Field(
        default=None, repr=False
    )
    parallel_tool_calls: StrictBool | None = None
    sampling: dict[str, JsonValue] | None = None
    idempotency_key: Annotated[Text, StringConstraints(min_length=1, max_length=256)] | None = None
    on_busy: OnBusy = OnBusy.ENQUEUE
    not_before: Moment | None = None
    expires: Moment | None = None
    timeout_s: Annotated[float, Field(gt=0, le=MAX_TIMEOUT_S, strict=True)] | None = None
    preceding: list[dict[str, JsonValue]] | None = Field(default=None, repr=False)
    metadata: dict[str, JsonValue] | None = None
    webhook: Text | None = Field(default=None, repr=False)
    tags: Annotated[list[Tag], Field(max_length=MAX_TAGS)] | None = None
    priority: Priority | None = None

    @classmethod
    def checked(cls, arguments: Mapping[str, object], *, max_message_bytes: int) -> Self:
        """The job that `arguments` describe; InvalidJob says which of them is wrong, and why.

        The error never holds the message's text.
        """
        for name, value in arguments.items():
            # Pydantic and JSON each have a limit of their own, and say so less clearly.
            if fault := shape_fault(value, MAX_LEVELS):
                named = name if name in cls.model_fields else "an unknown option"
                raise InvalidJob(f"{named} {fault}")
        try:
            job = cls.model_validate(dict(arguments))
            encode_id(job.agent_id, what="agent_id")
            encode_id(job.session_id, what="session_id")
            if job.model is not None:
                check_model_name(job.model)
        except ValidationError as exc:
            raise InvalidJob(problems_of(exc)) from None
        except (InvalidInput, InvalidRequestError) as exc:
            raise InvalidJob(str(exc)) from None
        _check_size("message", job.message, max_message_bytes, " (CHAT_MAX_MESSAGE_BYTES)")
        job.check_parts()
        return job

    def check_parts(self) -> None:
        """Raise InvalidJob for an option that is too large, or that cannot be used.

        A worker does so for what it finds in a mailbox, too.
        """
        _check_size("system_prompt", self.system_prompt or "", MAX_SYSTEM_PROMPT_BYTES)
        if self.metadata is not None:
            _check_metadata(self.metadata)
        if self.preceding:
            check_preceding(self.preceding)
        self._check_message()
        if self.functions:
            check_functions(self.client_functions)
        if self.sampling:
            _parsed(Sampling, self.sampling, "sampling")
        check_format(self.format)
        # Ollama compiles a format into a grammar, in which no call of a tool can be written.
        if self.format is not None and (self.tools or self.functions):
            with_what = "tools" if self.tools else "functions"
            raise InvalidJob(
                f"format and {with_what} cannot be combined: a formatted reply cannot call tools"
            )
        if self.not_before is not None and self.on_busy is OnBusy.REJECT:
            raise InvalidJob(
                "not_before and on_busy='reject' cannot be combined: when the job is due, its "
                "sender cannot be told"
            )
        if self.expires is not None and self.expires <= (self.not_before or 0.0):
            raise InvalidJob("expires must be later than not_before: the job could never begin")

    def _check_message(self) -> None:
        if self.continues and not ends_with_result(self.preceding or ()):
            raise InvalidJob(
                "message: must have at least 1 character, unless preceding ends with the result "
                "of a function"
            )
        if self.continues and self.on_busy is OnBusy.MERGE:
            raise InvalidJob("a job without a message cannot be merged: its on_busy is merge")

    def job_id(self, task_id: str | None) -> str:
        """The id of this job: the one given, the one of its idempotency key, or a new one.

        Raises InvalidJob for an id that cannot be one, or where both are given.
        """
        if self.idempotency_key is not None:
            if task_id is not None:
                raise InvalidJob("give either task_id or idempotency_key, not both")
            parts = [self.agent_id, self.session_id, self.idempotency_key]
            return str(uuid.uuid5(IDEMPOTENCY_NAMESPACE, orjson.dumps(parts).decode()))
        if not task_id:
            return new_uuid()
        try:
            encode_id(task_id, what="task_id")
        except InvalidInput as exc:
            raise InvalidJob(str(exc)) from None
        return task_id

    @property
    def tool_names(self) -> list[str] | None:
        """The tools that the model is offered; None: all that its agent has."""
        return self.tools if self.format is None else []

    @property
    def client_functions(self) -> list[FunctionTool]:
        """The functions that the client runs. Raises InvalidJob for what is none."""
        given = enumerate(self.functions or ())
        return [_parsed(FunctionTool, one, f"functions.{number}") for number, one in given]

    @property
    def continues(self) -> bool:
        """Whether it asks nothing, and the model goes on with results of functions."""
        return not self.message

    @property
    def user(self) -> str | None:
        """Whose message it is, as text; None where the metadata does not say."""
        return user_of(self.metadata)

    @property
    def request(self) -> Request:
        """What this job is known by again: the same id is refused for any other.

        `who` is equal for jobs of one user with equal options: only these may be merged.
        """
        options = self.model_dump(mode="json", exclude=_NOT_ASKED, exclude_defaults=True)
        message = options.pop("message")
        user = (self.metadata or {}).get(USER_ID)
        return Request.of(
            what=orjson.dumps([message, options]),
            who=orjson.dumps([user, options]),
            size_bytes=len(message.encode()),
        )

    @property
    def ask(self) -> Ask:
        """What the agent is asked."""
        return Ask(
            message=self.message,
            system_prompt=self.system_prompt,
            model=self.model,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            max_history=self.max_history,
            images=tuple(self.images or ()),
            format=self.format,
            think=self.think,
            sampling=_parsed(Sampling, self.sampling, "sampling").options if self.sampling else {},
        )


# A service may well note its second attempt in the metadata (docs/decisions.md, "What makes two
# requests the same").
_NOT_ASKED = {
    "on_busy",
    "metadata",
    "idempotency_key",
    "not_before",
    "expires",
    "webhook",
    "priority",
    "tags",
}
"""Arguments that change nothing of what is asked."""


def _check_size(name: str, text: str, max_bytes: int, setting: str = "") -> None:
    if _UNICODE_ERROR.search(text):
        raise InvalidJob(f"{name} is not valid Unicode: it contains a lone surrogate")
    size_bytes = len(text.encode())
    if size_bytes > max_bytes:
        raise InvalidJob(f"{name} has {size_bytes} bytes; the limit is {max_bytes}{setting}")


def _check_metadata(metadata: Mapping[str, JsonValue]) -> None:
    try:
        packed = orjson.dumps(metadata)
    except TypeError:
        raise InvalidJob("metadata must be a JSON object") from None
    if orjson.loads(packed) != metadata:
        raise InvalidJob("metadata must be a JSON object: it contains a number that is not finite")
    if len(packed) > MAX_METADATA_BYTES:
        raise InvalidJob(f"metadata has {len(packed)} bytes; the limit is {MAX_METADATA_BYTES}")


def _parsed(kind: type[Part], given: Mapping[str, JsonValue], name: str) -> Part:
    """A part of a job that is an object. Raises InvalidJob for one that is wrong."""
    try:
        return kind.model_validate(given)
    except ValidationError as exc:
        raise InvalidJob(f"{name}: {problems_of(exc)}") from None


def problems_of(error: ValidationError) -> str:
    """Each wrong argument and why, in one line and without its value."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    lines = list(dict.fromkeys(_problem(one["loc"], one["msg"]) for one in found))
    more = len(lines) - MAX_PROBLEMS
    return "; ".join(lines[:MAX_PROBLEMS] + ([f"and {more} more"] if more > 0 else []))


def _problem(path: Sequence[int | str], message: str) -> str:
    if path and path[0] in _ALLOWED:
        return f"{path[0]}: {_ALLOWED[path[0]]}"
    # An unknown option and a key of the metadata are a caller's words.
    parts = (quoted(part).strip("'") for part in path[:MAX_PATH])
    return f"{'.'.join(parts) or 'job'}: {message}"
