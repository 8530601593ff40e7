"""The environment of this package: the only place in it that reads the environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr

from llm.env_file import check_env_file
from llm.server_settings import ServerSettings
from llm.wire.address import check_base_url
from llm.wire.embed import EmbedRequest
from llm.wire.models import ByModel
from llm.wire.requests import DURATION_PATTERN, ChatRequest, Message, check_model_name
from llm.wire.timeouts import KEEP_WARM_S, LOAD_TIMEOUT_S, Timeouts

HOUR_S = 3600.0

WINDOW = ByModel(256, 4_194_304)
REPLY = ByModel(1, 1_048_576)
PARALLEL = ByModel(1, 1024)


class LLMSettings(ServerSettings):
    """Where Ollama is and how it is asked. Made from the environment, `.env` or field names."""

    model: Annotated[str, AfterValidator(check_model_name)] = Field(
        default="qwen2.5:0.5b",
        validation_alias="OLLAMA_MODEL",
        description="The model used where a request names none.",
    )
    temperature: float = Field(
        default=0.7,
        ge=0,
        le=2,
        allow_inf_nan=False,
        validation_alias="LLM_TEMPERATURE",
        description="Sampling temperature, 0 to 2.",
    )
    idle_timeout_s: float = Field(
        default=30,
        gt=0,
        le=HOUR_S,
        validation_alias="LLM_TIMEOUT",
        description="Longest silence between two tokens, in seconds, without a sign of life: while "
        "the server answers and /api/ps lists the model, only LLM_TOTAL_TIMEOUT ends a reply.",
    )
    connect_timeout_s: float = Field(
        default=3,
        gt=0,
        le=60,
        validation_alias="LLM_CONNECT_TIMEOUT",
        description="Longest wait for a connection to Ollama, in seconds.",
    )
    first_token_timeout_s: float = Field(
        default=120,
        gt=0,
        le=HOUR_S,
        validation_alias="LLM_FIRST_TOKEN_TIMEOUT",
        description="Longest wait for the first token, in seconds: in Ollama's queue, while "
        "the model loads and while it evaluates the prompt, nothing is sent. "
        "While the server answers and /api/ps lists the model, only "
        "LLM_TOTAL_TIMEOUT ends the wait.",
    )
    total_timeout_s: float = Field(
        default=600,
        gt=0,
        le=24 * HOUR_S,
        validation_alias="LLM_TOTAL_TIMEOUT",
        description="Longest time for a whole reply, in seconds.",
    )
    load_timeout_s: float = Field(
        default=LOAD_TIMEOUT_S,
        gt=0,
        le=HOUR_S,
        validation_alias="LLM_LOAD_TIMEOUT",
        description="Longest wait for a model to be loaded before its first chat, in seconds; the "
        "chats that wait do not count it as theirs.",
    )
    keep_warm_s: float = Field(
        default=KEEP_WARM_S,
        ge=0,
        le=24 * HOUR_S,
        validation_alias="LLM_KEEP_WARM",
        description="How long after its last use a model is loaded again whenever Ollama is about "
        "to drop it, in seconds; 0: never.",
    )
    pull_missing: bool = Field(
        default=False,
        validation_alias="OLLAMA_PULL_MISSING",
        description="Whether a server downloads a missing model of an agent (true, false); "
        "jobs wait for it. Models that only a job names are never downloaded.",
    )
    pull_timeout_s: float = Field(
        default=3600,
        gt=0,
        le=24 * HOUR_S,
        validation_alias="OLLAMA_PULL_TIMEOUT",
        description="Longest time for such a download, in seconds; the next try goes on "
        "from there.",
    )
    max_response_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=1024,
        le=1024**3,
        validation_alias="LLM_MAX_RESPONSE_BYTES",
        description="Largest reply, in bytes on the wire (about 150 to 300 per token).",
    )
    keep_alive: str | None = Field(
        default=None,
        pattern=DURATION_PATTERN,
        max_length=32,
        validation_alias="LLM_KEEP_ALIVE",
        description="How long Ollama keeps the model loaded after a call, as a duration with "
        "its unit such as 30m or 1h30m; negative: forever. Unset: Ollama's own "
        "value.",
    )
    shared: bool = Field(
        default=True,
        validation_alias="OLLAMA_SHARED",
        description="Whether other programs use the same Ollama (true, false). If so, nothing is "
        "sent that makes it load a model again at each change of program, and a reply that fills "
        "the window is bounded by an estimate. false: Ollama ends such a reply at the window.",
    )
    num_ctx: int | None = Field(
        default=None,
        ge=WINDOW.least,
        le=WINDOW.most,
        validation_alias="LLM_NUM_CTX",
        description="The model's window, in tokens; the same for every program that uses this "
        "Ollama, or each change reloads the model. Unset: Ollama's own value.",
    )
    num_ctx_by_model: Annotated[str, AfterValidator(WINDOW.check)] = Field(
        default="",
        validation_alias="LLM_NUM_CTX_BY_MODEL",
        description="The same for single models, such as: qwen3:8b=32768, llama3.2:3b=8192.",
    )
    assumed_window_tokens: int = Field(
        default=4096,
        ge=WINDOW.least,
        le=WINDOW.most,
        validation_alias="OLLAMA_CONTEXT_LENGTH",
        description="The window, in tokens, that a model is assumed to have while Ollama does not "
        "report it: before it is loaded, without LLM_NUM_CTX. Ollama's own default has the same "
        "name.",
    )
    num_predict: int | None = Field(
        default=None,
        ge=REPLY.least,
        le=REPLY.most,
        validation_alias="LLM_NUM_PREDICT",
        description="Longest reply, in tokens, where a request gives no max_tokens. Unset: until "
        "the window is full.",
    )
    num_predict_by_model: Annotated[str, AfterValidator(REPLY.check)] = Field(
        default="",
        validation_alias="LLM_NUM_PREDICT_BY_MODEL",
        description="The same for single models, such as: qwen3:8b=2048, llama3.2:3b=512.",
    )
    think_tags: bool = Field(
        default=False,
        validation_alias="LLM_THINK_TAGS",
        description="Whether text between <think> and </think> at the start of a reply "
        "counts as thinking (true, false): for models whose format Ollama does "
        "not know.",
    )
    num_parallel: int | None = Field(
        default=None,
        ge=0,
        le=PARALLEL.most,
        validation_alias="OLLAMA_NUM_PARALLEL",
        description="How many calls all workers together send to one model of one server at "
        "once; further jobs wait in their mailboxes. Use the value of Ollama's "
        "own OLLAMA_NUM_PARALLEL. Unset or 0: no limit, and Ollama queues them.",
    )
    num_parallel_by_model: Annotated[str, AfterValidator(PARALLEL.check)] = Field(
        default="",
        validation_alias="OLLAMA_NUM_PARALLEL_BY_MODEL",
        description="The same for single models, such as: qwen3-vl:8b=1, llama3.2:3b=8.",
    )

    # Set and not learned: docs/decisions.md, "The number of calls is set, not learned".
    def parallel_calls(self, model: str) -> int | None:
        """How many calls `model` gets at once from all workers; None: no bound."""
        own = PARALLEL.number(self.num_parallel_by_model, model)
        return own or self.num_parallel or None

    # By model and not by agent: two agents with one model could disagree, and each turn would load
    # it anew (docs/decisions.md, "Window and reply are set per model, not per agent").
    def window_tokens(self, model: str) -> int | None:
        """The window that `model` is loaded with, in tokens; None: Ollama's own."""
        return WINDOW.number(self.num_ctx_by_model, model) or self.num_ctx

    # With None nothing is sent, and the window is the bound: docs/decisions.md, "Where the reply
    # has no limit, none is sent".
    def reply_tokens(self, model: str) -> int | None:
        """The longest reply of `model` where nothing else is asked, in tokens; None: no bound."""
        return REPLY.number(self.num_predict_by_model, model) or self.num_predict

    @property
    def is_bounded(self) -> bool:
        """Whether the calls to any model are bounded."""
        has_slots = any(entry.slots for entry in self.entries)
        return bool(has_slots or self.num_parallel or self.num_parallel_by_model)

    def at(self, base_url: str) -> Self:
        """The same settings for one server alone, with what is its own."""
        own: dict[str, object] = {"base_url": check_base_url(base_url), "base_urls": ()}
        for entry in self.entries:
            if entry.url == own["base_url"]:
                own |= {"dialect": entry.dialect, "entries": ()}
                own |= {"api_key": SecretStr(entry.bearer)}
                own |= {"extra_headers": SecretStr(entry.header_text)}
                own |= {"num_ctx": entry.window or self.num_ctx}
                own |= {"num_parallel": entry.slots or self.num_parallel}
        return self.model_copy(update=own)

    @property
    def timeouts(self) -> Timeouts:
        """The limits of a call, per phase."""
        return Timeouts(
            connect_s=self.connect_timeout_s,
            first_token_s=self.first_token_timeout_s,
            idle_s=self.idle_timeout_s,
            total_s=self.total_timeout_s,
        )

    def chat_request(
        self,
        messages: tuple[Message, ...],
        *,
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        left_tokens: int | None = None,
        sampling: Mapping[str, object] | None = None,
        reply_format: str | Mapping[str, object] | None = None,
        think: bool | str | None = None,
        tools: tuple[Mapping[str, object], ...] = (),
    ) -> ChatRequest:
        """A request with these settings where an argument is None. Raises InvalidRequestError.

        `left_tokens` is what the window has left for the reply, by the estimate: its bound where
        the server is shared. None: not known. `sampling` are options beside the window.
        """
        model = self.model if model is None else model
        window_tokens = self.window_tokens(model)
        wanted = self.reply_tokens(model) if max_tokens is None else max_tokens
        bounds = [bound for bound in (wanted, left_tokens) if bound is not None]
        options = {} if window_tokens is None else {"num_ctx": window_tokens}
        return ChatRequest(
            model=model,
            reads_think_tags=self.think_tags,
            messages=messages,
            temperature=self.temperature if temperature is None else temperature,
            max_tokens=min(bounds, default=None) if self.shared else wanted,
            options={**options, **(sampling or {})},
            keep_alive=self.keep_alive,
            shift=None if self.shared else False,
            format=reply_format,
            think=think,
            tools=tools,
        )

    def embed_request(
        self, texts: tuple[str, ...], *, model: str, dimensions: int | None = None
    ) -> EmbedRequest:
        """A request for vectors with these settings. Raises InvalidRequestError."""
        window_tokens = self.window_tokens(model)
        return EmbedRequest(
            model=model,
            texts=texts,
            dimensions=dimensions,
            options={} if window_tokens is None else {"num_ctx": window_tokens},
            keep_alive=self.keep_alive,
        )


def read_settings() -> LLMSettings:
    """The settings of the environment and `.env`.

    Raises pydantic's ValidationError if one is wrong, and ValueError, one line that names the file,
    if `.env` is not plain UTF-8 or cannot be read.
    """
    check_env_file(Path(".env"))
    return LLMSettings()
