"""The limits of jobs, alone and together, from the environment and `.env`."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from llm import check_model_name
from memory import EnvSettings
from memory.quotas.owners import MOST_AT_ONCE, MOST_PER_DAY, MOST_PER_MINUTE, Quota

ANY_MODEL = "*"


def split_names(names: object) -> object:
    """The names in a text, which commas separate; what is no text as it is."""
    if not isinstance(names, str):
        return names
    return tuple(name.strip() for name in names.split(",") if name.strip())


def check_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """`names`, if each is a model's or ANY_MODEL. Raises ValueError."""
    return tuple(name if name == ANY_MODEL else check_model_name(name) for name in names)


class LimitSettings(EnvSettings):
    """What a job may be and ask for, and how many of them there may be."""

    max_pending: int = Field(
        default=100,
        ge=1,
        le=100_000,
        validation_alias="CHAT_MAX_PENDING",
        description="Unanswered jobs of one session",
    )
    max_pending_total: int = Field(
        default=10_000,
        ge=1,
        le=100_000_000,
        validation_alias="CHAT_MAX_PENDING_TOTAL",
        description="Unanswered jobs in all sessions together",
    )
    max_pending_per_agent: int = Field(
        default=5000,
        ge=1,
        le=100_000_000,
        validation_alias="CHAT_MAX_PENDING_PER_AGENT",
        description="Unanswered jobs in all sessions of one agent",
    )
    max_sessions: int = Field(
        default=100_000,
        ge=1,
        le=1_000_000_000,
        validation_alias="CHAT_MAX_SESSIONS",
        description="Sessions that are kept; at this number, no job may start a new one",
    )
    max_dead_letters: int = Field(
        default=10_000,
        ge=1,
        le=100_000_000,
        validation_alias="CHAT_MAX_DEAD_LETTERS",
        description=(
            "Dead letters that are kept in all sessions together; the oldest are removed first"
        ),
    )
    max_result_bytes: int = Field(
        default=2_097_152,
        ge=1024,
        le=67_108_864,
        validation_alias="CHAT_MAX_RESULT_BYTES",
        description="Largest result, bytes of JSON without `parsed`; a job with a larger one "
        "becomes a dead letter",
    )
    user_jobs_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=MOST_PER_MINUTE,
        validation_alias="CHAT_USER_JOBS_PER_MINUTE",
        description="Jobs per minute of each user (metadata.user_id); unset: no limit",
    )
    user_tokens_per_day: int | None = Field(
        default=None,
        ge=1,
        le=MOST_PER_DAY,
        validation_alias="CHAT_USER_TOKENS_PER_DAY",
        description="Tokens of prompts and replies per day of each user; unset: no limit",
    )
    user_jobs_at_once: int | None = Field(
        default=None,
        ge=1,
        le=MOST_AT_ONCE,
        validation_alias="CHAT_USER_JOBS_AT_ONCE",
        description="Unanswered jobs that each user may have; unset: no limit",
    )
    max_message_bytes: int = Field(
        default=32_768,
        ge=1,
        le=1_048_576,
        validation_alias="CHAT_MAX_MESSAGE_BYTES",
        description="Longest message, bytes of UTF-8",
    )
    max_images: int = Field(
        default=4,
        ge=0,
        le=100,
        validation_alias="CHAT_MAX_IMAGES",
        description="Images in one message",
    )
    max_image_bytes: int = Field(
        default=524_288,
        ge=1,
        le=33_554_432,
        validation_alias="CHAT_MAX_IMAGE_BYTES",
        description="Size of all images of one message together, bytes; at most half of "
        "MEMORY_MAX_VALUE_BYTES, because they are kept in the history",
    )
    max_envelope_bytes: int | None = Field(
        default=None,
        ge=1024,
        le=268_435_456,
        validation_alias="CHAT_MAX_ENVELOPE_BYTES",
        description="Largest job with all its options, bytes of JSON (a message of the "
        "broker: twice that); default: the size of a job with all parts at their "
        "own limits",
    )
    max_embedding_texts: int = Field(
        default=2048,
        ge=1,
        le=100_000,
        validation_alias="CHAT_MAX_EMBEDDING_TEXTS",
        description="Texts in one request for embeddings",
    )
    max_embedding_bytes: int = Field(
        default=1_048_576,
        ge=1,
        le=67_108_864,
        validation_alias="CHAT_MAX_EMBEDDING_BYTES",
        description="All texts of one request for embeddings together, bytes of UTF-8",
    )
    embedding_wait_s: float = Field(
        default=10.0,
        ge=0,
        le=600,
        validation_alias="CHAT_EMBEDDING_WAIT_SECONDS",
        description="How long a request for embeddings waits for a slot of its model, seconds; "
        "then it is refused as 429",
    )
    allowed_models: Annotated[
        # NoDecode: pydantic-settings would want JSON for a tuple.
        tuple[str, ...], NoDecode, BeforeValidator(split_names), AfterValidator(check_names)
    ] = Field(
        default=(),
        validation_alias="CHAT_ALLOWED_MODELS",
        description="Models that a job may choose, separated by commas, * for all; default: "
        "those of the agents' profiles, their fallbacks, and OLLAMA_MODEL",
    )
    cloud_models: bool = Field(
        default=False,
        validation_alias="CHAT_CLOUD_MODELS",
        description="Whether a job may choose a model of Ollama's cloud, which then receives "
        "the conversation (true, false)",
    )

    @property
    def user_quota(self) -> Quota:
        """What each user may have."""
        return Quota(
            jobs_per_minute=self.user_jobs_per_minute,
            tokens_per_day=self.user_tokens_per_day,
            jobs_at_once=self.user_jobs_at_once,
        )
