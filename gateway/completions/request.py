"""What `POST /v1/chat/completions` takes, and which response it asks for."""

from collections.abc import Mapping
from itertools import takewhile
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue, StringConstraints

from gateway.errors import ApiError
from gateway.messages import SYSTEM_ROLES, message_of
from gateway.requests import Metadata, Nullable
from gateway.responses.request import MAX_ID_CHARS, Extension, ResponseRequest
from tasks.job.job import MAX_TOOLS
from tasks.job.preceding import MAX_PRECEDING

ALL = 100_000
"""So many earlier messages may be shown: all that a request brings."""
SESSION = "session_id"
"""What in the metadata names the session that a message is sent to."""


class StreamOptions(Nullable):
    """What a stream has besides."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class CompletionRequest(Nullable):
    """A conversation to be gone on with. With `metadata.session_id` it is a session of Griot: of
    the messages only the last of the user is sent, and the system's as instructions."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    model: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    messages: Annotated[list[dict[str, JsonValue]], Field(min_length=1, max_length=MAX_PRECEDING)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    response_format: dict[str, JsonValue] | None = None
    reasoning_effort: str | None = None
    tools: Annotated[list[str | dict[str, JsonValue]], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: str | dict[str, JsonValue] | None = None
    parallel_tool_calls: bool | None = None
    metadata: Metadata | None = None
    user: Annotated[str, StringConstraints(max_length=128)] | None = None
    safety_identifier: Annotated[str, StringConstraints(max_length=128)] | None = None
    griot: Extension = Field(default_factory=Extension)
    # These ask for what is so anyway, or give a hint that changes no answer.
    n: Literal[1] | None = None
    logprobs: Literal[False] | None = None
    modalities: list[Literal["text"]] | None = None
    verbosity: Literal["medium"] | None = None
    service_tier: Literal["auto", "default"] | None = None
    prompt_cache_key: str | None = None
    store: bool | None = None

    @property
    def has_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    def as_response(self) -> ResponseRequest:
        """The response that this asks for. Raises ApiError."""
        notes = dict(self.metadata or {})
        session = notes.pop(SESSION, None)
        _check_session(session)
        if self.store is not None and self.store is not (session is not None):
            wrong = "What is said in a session is stored, and nothing else is."
            raise ApiError(400, wrong, param="store")
        system, said = (None, self.messages) if session is None else _parted(self.messages)
        extension = self.griot.model_copy(update=self._sampling())
        if session is None and extension.max_history is None:
            extension = extension.model_copy(update={"max_history": ALL})
        return ResponseRequest(
            model=self.model,
            input=said,
            instructions=system,
            conversation=session,
            store=session is not None,
            stream=self.stream,
            metadata=notes,
            temperature=self.temperature,
            max_output_tokens=self.max_completion_tokens or self.max_tokens,
            text=_text(self.response_format),
            top_p=self.top_p,
            reasoning=None if self.reasoning_effort is None else {"effort": self.reasoning_effort},
            tools=None if self.tools is None else [_tool(tool) for tool in self.tools],
            tool_choice=self.tool_choice,
            parallel_tool_calls=self.parallel_tool_calls,
            user=self.user,
            safety_identifier=self.safety_identifier,
            griot=extension,
        )

    def _sampling(self) -> dict[str, object]:
        """How words are chosen, as far as Responses have no field for it."""
        wanted = {
            "seed": self.seed,
            "stop": [self.stop] if isinstance(self.stop, str) else self.stop,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
        }
        return {name: value for name, value in wanted.items() if value is not None}


def _check_session(session: str | None) -> None:
    if session is not None and not 1 <= len(session) <= MAX_ID_CHARS:
        wrong = f"A session's id has 1 to {MAX_ID_CHARS} characters."
        raise ApiError(400, wrong, param=f"metadata.{SESSION}")


def _parted(
    messages: list[dict[str, JsonValue]],
) -> tuple[str | None, list[dict[str, JsonValue]]]:
    """What the system says, and the last message of the user, or the results of functions that are
    the last: the session has the others."""
    system = [
        str(message_of(one, f"messages[{at}]")["content"])
        for at, one in enumerate(messages)
        if one.get("role") in SYSTEM_ROLES
    ]
    users = [one for one in messages if one.get("role") == "user"]
    if not users:
        raise ApiError(400, "There is no message of the user.", param="messages")
    new = [*takewhile(lambda one: one.get("role") != "assistant", reversed(messages))][::-1]
    results = [one for one in new if one.get("role") == "tool"]
    has_results_last = bool(results) and new[-1] is results[-1]
    said = results if has_results_last else [*results, users[-1]]
    for one in said:  # by their places here, which are others in what is sent
        message_of(one, f"messages[{messages.index(one)}]")
    return "\n".join(system) or None, said


def _text(wanted: Mapping[str, JsonValue] | None) -> dict[str, JsonValue] | None:
    """`response_format` as Responses have it: the schema lies a level higher there."""
    match wanted:
        case None:
            return None
        case {"type": "json_schema", "json_schema": dict(described)}:
            return {"format": {"type": "json_schema", **described}}
    return {"format": {**wanted}}


def _tool(tool: str | dict[str, JsonValue]) -> str | dict[str, JsonValue]:
    """A tool as Responses have it: its description lies a level higher there."""
    match tool:
        case {"type": "function", "function": dict(described)}:
            return {"type": "function", **described}
    return tool
