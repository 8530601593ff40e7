"""What `POST /v1/responses` takes, and which options of a job it becomes."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from gateway.errors import ApiError
from gateway.requests import Metadata, Nullable
from tasks import ChatOptions
from tasks.job.options import OnBusyName

MAX_ID_CHARS = 400
AnId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_CHARS)]


class Named(BaseModel):
    """A conversation, by its id."""

    model_config = ConfigDict(extra="forbid")

    id: AnId


class Extension(Nullable):
    """What only Griot has. `idempotency_key`: as the header of that name; `not_before`: when the
    response is begun, Unix time in seconds or ISO 8601 with a time zone."""

    model_config = ConfigDict(extra="forbid")

    on_busy: OnBusyName = "enqueue"
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    max_history: Annotated[int, Field(ge=0, le=100_000)] | None = None
    cancel_policy: Literal["keep", "discard"] | None = None
    not_before: Annotated[str, StringConstraints(max_length=64)] | float | None = None


class ResponseRequest(Nullable):
    """A message to be answered. Fields of OpenAI's that would be without effect here are taken;
    those that ask for what there is not are refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    model: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    input: str | list[dict[str, JsonValue]]
    instructions: str | None = None
    conversation: AnId | Named | None = None
    previous_response_id: AnId | None = None
    background: bool = False
    stream: bool = False
    store: bool = True
    metadata: Metadata | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    text: dict[str, JsonValue] | None = None
    reasoning: dict[str, JsonValue] | None = None
    tools: list[str | dict[str, JsonValue]] | None = None
    tool_choice: str | dict[str, JsonValue] | None = None
    user: Annotated[str, StringConstraints(max_length=128)] | None = None
    safety_identifier: Annotated[str, StringConstraints(max_length=128)] | None = None
    griot: Extension = Extension()
    # Without effect, or refused where they ask for more.
    top_p: Literal[1] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    parallel_tool_calls: bool | None = None
    include: list[str] | None = None
    service_tier: Literal["auto", "default"] | None = None
    prompt_cache_key: str | None = None
    stream_options: dict[str, JsonValue] | None = None

    @property
    def conversation_id(self) -> str | None:
        """The conversation that it names."""
        named = self.conversation
        return named.id if isinstance(named, Named) else named

    def check(self) -> None:
        """Raise ApiError for fields that exclude each other."""
        if self.conversation is not None and self.previous_response_id is not None:
            raise ApiError(400, "Give either conversation or previous_response_id, not both.")
        if not self.store and self.background:
            raise ApiError(400, "What runs in the background is stored.", param="store")
        if not self.store and self.conversation is not None:
            raise ApiError(400, "What is said in a conversation is stored.", param="store")
        if self.griot.not_before is not None and not self.background:
            raise ApiError(
                400,
                "Only what runs in the background waits until not_before.",
                param="griot.not_before",
            )

    def options(self) -> ChatOptions:
        """The options of the job, but for what it says and whose it is."""
        return ChatOptions(
            system_prompt=self.instructions,
            temperature=None if self.temperature is None else float(self.temperature),
            max_tokens=self.max_output_tokens,
            max_history=self.griot.max_history,
            format=format_of(self.text),
            think=_think(self.reasoning),
            tools=tools_of(self.tools, self.tool_choice),
            on_busy=self.griot.on_busy,
            not_before=self.griot.not_before,
        )


def format_of(text: dict[str, JsonValue] | None) -> Literal["json"] | dict[str, JsonValue] | None:
    """The form that `text.format` wants. Raises ApiError."""
    wanted = (text or {}).get("format")
    match wanted:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return "json"
        case {"type": "json_schema", "schema": dict(schema)}:
            return schema
    raise ApiError(
        400, "text.format must be text, json_object or json_schema.", param="text.format"
    )


def _think(reasoning: dict[str, JsonValue] | None) -> bool | str | None:
    effort = (reasoning or {}).get("effort")
    if effort in ("none", "minimal"):
        return False
    if effort is None or isinstance(effort, str):
        return effort
    raise ApiError(400, "reasoning.effort must be a text.", param="reasoning.effort")


def tools_of(
    tools: list[str | dict[str, JsonValue]] | None, choice: str | dict[str, JsonValue] | None
) -> list[str] | None:
    """The names of the agent's own tools that may be called; None: all. Raises ApiError."""
    if choice == "none":
        return []
    if choice not in (None, "auto"):
        raise ApiError(400, "tool_choice must be auto or none.", param="tool_choice")
    return None if tools is None else [_tool_name(one, at) for at, one in enumerate(tools)]


def _tool_name(tool: str | dict[str, JsonValue], at: int) -> str:
    match tool:
        case str():
            return tool
        case {"type": "function", "name": str(name)} if not tool.get("parameters"):
            return name
    raise ApiError(
        400,
        "Name a tool of the agent: functions that the client runs are not supported.",
        param=f"tools[{at}]",
        code="unsupported_parameter",
    )
