"""What `POST /v1/responses` takes, and which options of a job it becomes."""

from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from gateway.errors import ApiError
from gateway.requests import Metadata, Nullable
from gateway.responses.tools import offer_of
from tasks import ChatOptions
from tasks.job.deadline import MAX_TIMEOUT_S
from tasks.job.job import MAX_TOOLS
from tasks.job.options import OnBusyName

MAX_ID_CHARS = 400
Included = Literal[
    "reasoning.encrypted_content",
    "message.input_image.image_url",
    "web_search_call.action.sources",
    "web_search_call.results",
    "file_search_call.results",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
]
"""What OpenAI's clients ask for besides, and what is there in full, or cannot be."""
AnId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_CHARS)]


class Named(BaseModel):
    """A conversation, by its id."""

    model_config = ConfigDict(extra="forbid")

    id: AnId


class Extension(Nullable):
    """What only Griot has, and what OpenAI has of chat completions only (`seed` to
    `frequency_penalty`). `idempotency_key`: as the header of that name; `not_before`: when the
    response is begun, Unix time in seconds or ISO 8601 with a time zone; `expires`: by when it must
    have begun, seconds from now or ISO 8601; `timeout_s`: how long its turn may run."""

    model_config = ConfigDict(extra="forbid")

    on_busy: OnBusyName = "enqueue"
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    max_history: Annotated[int, Field(ge=0, le=100_000)] | None = None
    cancel_policy: Literal["keep", "discard"] | None = None
    not_before: Annotated[str, StringConstraints(max_length=64)] | float | None = None
    expires: Annotated[str, StringConstraints(max_length=64)] | float | None = None
    timeout_s: Annotated[float, Field(gt=0, le=MAX_TIMEOUT_S)] | None = None
    webhook: Annotated[str, StringConstraints(max_length=2048)] | None = None
    seed: int | None = None
    stop: list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class Reasoning(Nullable):
    """How the model is to think. Its thoughts are told as they are: there is no summary of them."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    effort: str | None = None
    summary: Literal["auto"] | None = None


class ResponseStreamOptions(Nullable):
    """What a stream has besides."""

    model_config = ConfigDict(extra="forbid")

    include_obfuscation: Literal[False] | None = None


class ResponseRequest(Nullable):
    """A message to be answered. Fields of OpenAI's that ask for what there is not are refused."""

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
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    reasoning: Reasoning | None = None
    tools: Annotated[list[str | dict[str, JsonValue]], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: str | dict[str, JsonValue] | None = None
    parallel_tool_calls: bool | None = None
    user: Annotated[str, StringConstraints(max_length=128)] | None = None
    safety_identifier: Annotated[str, StringConstraints(max_length=128)] | None = None
    griot: Extension = Field(default_factory=Extension)
    # These ask for what is so anyway, or give a hint that changes no answer.
    truncation: Literal["auto"] | None = None
    include: list[Included] | None = None
    service_tier: Literal["auto", "default"] | None = None
    prompt_cache_key: str | None = None
    stream_options: ResponseStreamOptions | None = None

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
        """The options of the job, but for what it says and whose it is. Raises ApiError."""
        offer, extension = offer_of(self.tools, self.tool_choice), self.griot
        sampling = {
            "top_p": self.top_p,
            "seed": extension.seed,
            "stop": extension.stop,
            "presence_penalty": extension.presence_penalty,
            "frequency_penalty": extension.frequency_penalty,
        }
        wanted = {name: value for name, value in sampling.items() if value is not None}
        return ChatOptions(
            system_prompt=self.instructions,
            temperature=None if self.temperature is None else float(self.temperature),
            max_tokens=self.max_output_tokens,
            max_history=self.griot.max_history,
            format=format_of(self.text),
            think=_think(self.reasoning),
            sampling=cast("dict[str, JsonValue]", wanted) or None,
            tools=offer.names,
            functions=offer.functions or None,
            parallel_tool_calls=False if self.parallel_tool_calls is False else None,
            on_busy=self.griot.on_busy,
            not_before=self.griot.not_before,
            expires=self.griot.expires,
            timeout_s=self.griot.timeout_s,
        )


def format_of(text: dict[str, JsonValue] | None) -> Literal["json"] | dict[str, JsonValue] | None:
    """The form that `text.format` wants. Raises ApiError."""
    asked = text or {}
    if asked.get("verbosity") not in (None, "medium"):
        wrong = "text.verbosity must be medium: say in the instructions how long an answer may be."
        raise ApiError(400, wrong, param="text.verbosity", code="unsupported_parameter")
    if unknown := next((name for name in asked if name not in ("format", "verbosity")), None):
        raise ApiError(400, f"text has no {unknown[:64]!r}.", param="text")
    match asked.get("format"):
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return "json"
        case {"type": "json_schema", "schema": dict(schema)}:
            return schema
    raise ApiError(
        400, "text.format must be text, json_object or json_schema.", param="text.format"
    )


def _think(reasoning: Reasoning | None) -> bool | str | None:
    effort = None if reasoning is None else reasoning.effort
    return False if effort in ("none", "minimal") else effort
