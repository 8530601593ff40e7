"""The settings of the queue, from the environment and `.env`."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from memory.priority import Shares
from tasks.limits import LimitSettings

DAY_S = 86_400.0


class QueueSettings(LimitSettings):
    """The broker, the mailbox's times and bounds, and what beat does how often."""

    broker_url: SecretStr | None = Field(
        default=None,
        validation_alias="CELERY_BROKER_URL",
        description="Celery's broker: Redis (redis://, rediss://, sentinel://, redis+socket://) or "
        "RabbitMQ (amqp://, amqps://, pyamqp://); default: the memory's server, db number + 1",
    )
    result_backend: SecretStr | None = Field(
        default=None,
        validation_alias="CELERY_RESULT_BACKEND",
        description="Celery's result backend, a Redis (redis://, rediss://, sentinel://, "
        "redis+socket://); default: the memory's server, db number + 2",
    )
    result_ttl_s: int = Field(
        default=86_400,
        ge=1,
        le=604_800,
        validation_alias="CELERY_RESULT_TTL",
        description="How long a result can be fetched, seconds",
    )
    is_result_encrypted: bool = Field(
        default=False,
        validation_alias="CELERY_RESULT_ENCRYPTED",
        description="Whether replies in the result backend are encrypted with the first key of "
        "GRIOT_ENCRYPTION_KEYS: Griot's JobResult decrypts them, Celery's AsyncResult does not",
    )
    concurrency: int = Field(
        default=100,
        ge=1,
        le=2000,
        validation_alias="WORKER_CONCURRENCY",
        description="Turns that one worker process runs at once",
    )
    drain_s: float = Field(
        default=20.0,
        ge=0,
        le=3600,
        validation_alias="WORKER_DRAIN_SECONDS",
        description="How long a stopping worker lets running turns finish, seconds",
    )
    lease_s: float = Field(
        default=30.0,
        ge=0.5,
        le=3600,
        validation_alias="CHAT_LEASE_SECONDS",
        description=("How long a silent worker keeps a turn before another may take it, seconds"),
    )
    sweep_s: float = Field(
        default=5.0,
        ge=0.1,
        le=600,
        validation_alias="CHAT_SWEEP_SECONDS",
        description="Time between two sweeps of the due mailboxes, seconds",
    )
    grace_s: float = Field(
        default=5.0,
        ge=0.1,
        le=600,
        validation_alias="CHAT_GRACE_SECONDS",
        description="How long a wake-up may take before it counts as lost, seconds",
    )
    max_attempts: int = Field(
        default=5,
        ge=1,
        le=100,
        validation_alias="CHAT_MAX_ATTEMPTS",
        description="Attempts at a job before it becomes a dead letter",
    )
    max_wait_s: float = Field(
        default=DAY_S,
        ge=1,
        le=30 * DAY_S,
        validation_alias="CHAT_MAX_WAIT_SECONDS",
        description="How long a job waits for unavailable model servers before it becomes a "
        "dead letter, seconds",
    )
    cancel_policy: Literal["keep", "discard"] = Field(
        default="keep",
        validation_alias="CHAT_CANCEL_POLICY",
        description="What becomes of a turn that is cancelled while it runs: keep (message and "
        "answer as far as it came, marked) or discard",
    )
    retry_base_s: float = Field(
        default=1.0,
        ge=0.01,
        le=600,
        validation_alias="CHAT_RETRY_BASE_SECONDS",
        description="Pause before the second attempt, seconds; doubled for each further one",
    )
    retry_max_s: float = Field(
        default=60.0,
        ge=0.01,
        le=3600,
        validation_alias="CHAT_RETRY_MAX_SECONDS",
        description="Longest pause between two attempts, seconds",
    )
    priority_shares: Annotated[str, AfterValidator(lambda given: str(Shares.parse(given)))] = Field(
        default=str(Shares()),
        validation_alias="CHAT_PRIORITY_SHARES",
        description="Of a busy model's slots and a full worker's places, how many each class of "
        "jobs gets while all of them wait, as interactive/normal/batch",
    )
    trace_sessions: bool = Field(
        default=False,
        validation_alias="TRACE_SESSIONS",
        description="Whether spans name the session of a turn (gen_ai.conversation.id)",
    )
    extend_every_s: float = Field(
        default=300.0,
        ge=0.1,
        le=DAY_S,
        validation_alias="MEMORY_EXTEND_EVERY",
        description="Time between two extensions of the TTL of active sessions, seconds",
    )
    active_window_s: float = Field(
        default=3600.0,
        ge=1,
        le=30 * DAY_S,
        validation_alias="MEMORY_ACTIVE_WINDOW",
        description="A session used within this time is active, seconds",
    )
    cleanup_every_s: float = Field(
        default=3600.0,
        ge=0.1,
        le=DAY_S,
        validation_alias="MEMORY_CLEANUP_EVERY",
        description="Time between two clean-ups of stale sessions, seconds",
    )
    stale_after_s: float | None = Field(
        default=None,
        ge=1,
        le=3650 * DAY_S,
        validation_alias="MEMORY_STALE_AFTER",
        description="A session unused for this time is deleted, seconds; "
        "default: REDIS_MEMORY_TTL, at least a week",
    )
    archive_every_s: float = Field(
        default=60.0,
        ge=0.1,
        le=DAY_S,
        validation_alias="ARCHIVE_EVERY",
        description="Time between two runs of the archiver, seconds",
    )
    jobs_kept_s: float = Field(
        default=DAY_S,
        ge=0,
        le=7 * DAY_S,
        validation_alias="CHAT_JOBS_KEPT_SECONDS",
        description="How long `griot jobs` finds a job that has ended, seconds",
    )
    max_jobs_kept: int = Field(
        default=20_000,
        ge=0,
        le=1_000_000,
        validation_alias="CHAT_MAX_JOBS_KEPT",
        description="So many jobs that have ended `griot jobs` finds at most, about 1 KB each in "
        "Redis; 0: jobs are not listed at all",
    )
    stats_every_s: float = Field(
        default=60.0,
        ge=0.1,
        le=DAY_S,
        validation_alias="MEMORY_STATS_EVERY",
        description="Time between two snapshots of the memory statistics, seconds",
    )
    stats_kept: int = Field(
        default=10_080,
        ge=1,
        le=1_000_000,
        validation_alias="MEMORY_STATS_KEPT",
        description="Snapshots kept (10 080 are a week of minutes)",
    )

    @model_validator(mode="after")
    def _active_is_not_stale(self) -> Self:
        if self.stale_after_s is not None and self.stale_after_s <= self.active_window_s:
            raise ValueError(
                f"MEMORY_STALE_AFTER={self.stale_after_s:g} must be longer than "
                f"MEMORY_ACTIVE_WINDOW={self.active_window_s:g}: an active session is not stale"
            )
        return self

    @property
    def shares(self) -> Shares:
        """`priority_shares` as numbers."""
        return Shares.parse(self.priority_shares)

    @property
    def lease_ms(self) -> int:
        """`lease_s` in whole milliseconds."""
        return round(self.lease_s * 1000)
