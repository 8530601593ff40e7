"""The envelope in which a job lies in its session's mailbox.

It is JSON with two parts: `job`, the request, and `publish`, the Celery options that its wake-up is
published with (queue, priority, links, group …). Redis never looks inside. `v` is the version of
its format, where that is not the first; `publish` is what it is in every version.
"""

import time
from dataclasses import dataclass, field
from typing import Annotated, Self

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from memory import (
    CorruptData,
    JobToWake,
    MergedEnvelope,
    NewerFormat,
    SessionKeys,
    decrypted_envelope,
)
from memory.ids import shown_id
from memory.quotas.owners import Owner
from tasks.errors import InvalidJob
from tasks.job.deadline import latest
from tasks.job.envelope_size import check_envelope_size
from tasks.job.job import ChatJob, problems_of
from tasks.job.sender import Sender
from tasks.job.versions import FIRST, VERSION, version_of
from telemetry import tracing

# The worker joins the messages: Redis decodes no envelope (docs/decisions.md, "What merging is").
BETWEEN_MERGED = "\n\n"
WHAT = "a job's envelope"


CALLBACK_OPTIONS = frozenset(
    {
        "link",
        "link_error",
        "chain",
        "chord",
        "group_id",
        "group_index",
        "root_id",
        "parent_id",
        "ignore_result",
    }
)
"""The options of Celery's `apply_async` that say what is done with a job's end."""


Place = Annotated[
    dict[str, str] | None, BeforeValidator(lambda given: tracing.checked(given) or None)
]
"""A place in a trace; one that is none counts as not there, whoever wrote it."""


class MergedJob(BaseModel):
    """A job whose message another job carries besides its own."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    metadata: dict[str, JsonValue] | None = None
    # No part of what the history says of it.
    sent_at: float = Field(default=0.0, exclude=True)
    trace: Place = Field(default=None, exclude=True)


class Envelope(BaseModel):
    """A job as it lies in its session's mailbox; `merged` are the jobs that it answers besides."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    job: ChatJob
    publish: dict[str, JsonValue] = {}
    sent_at: float = Field(default_factory=time.time, description="Unix time, seconds")
    merged: tuple[MergedJob, ...] = ()
    v: int | None = Field(default=None, exclude=True)
    sender: Sender | None = None
    trace: Place = None
    """Where it was sent, as a place in a trace; no part of what was asked."""

    @property
    def key(self) -> Owner | None:
        """The API key that the job counts for; None where it came without, or has no bounds."""
        return None if self.sender is None else self.sender.owner

    @property
    def has_callbacks(self) -> bool:
        """Whether something may follow the job, in Celery or as a webhook, or a job that is merged
        into it."""
        return bool(self.merged or self.job.webhook or CALLBACK_OPTIONS & self.publish.keys())

    def as_merged(self, job_id: str) -> MergedJob:
        """What is kept of this job where another one answers it."""
        metadata, sent_at, trace = self.job.metadata, self.sent_at, self.trace
        return MergedJob(job_id=job_id, metadata=metadata, sent_at=sent_at, trace=trace)

    def pack(self, *, most_bytes: int | None = None) -> bytes:
        """The envelope's bytes. Raises InvalidJob where the options are not JSON, or where it has
        more than `most_bytes` (CHAT_MAX_ENVELOPE_BYTES)."""
        try:
            said = self.model_dump(mode="json", exclude_none=True, exclude={"merged"})
            if (version := version_of(said["job"].keys(), said.keys())) > FIRST:
                said["v"] = version
            packed = orjson.dumps(said)
        except (TypeError, ValueError):
            raise InvalidJob("the job's options must be JSON values") from None
        if most_bytes is not None:
            check_envelope_size(len(packed), most_bytes)
        return packed

    @classmethod
    def of(cls, keys: SessionKeys, job: JobToWake, *, most_bytes: int | None = None) -> Self:
        """The envelope of a job as it lies in its mailbox, or among the dead letters.

        Raises InvalidJob for what is none or has more than `most_bytes`, and memory.CannotRead.
        """
        try:
            packed = decrypted_envelope(keys, job.job_id, job.envelope)
        except CorruptData as exc:
            raise InvalidJob(f"not a job's envelope: {exc}") from None
        if most_bytes is not None:
            check_envelope_size(len(packed), most_bytes)
        return cls.unpack(packed)

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """The envelope of these bytes; its message is joined of those that were merged into it.

        Raises InvalidJob on anything else, and memory.NewerFormat.
        """
        try:
            carried = MergedEnvelope.parse(packed)
        except CorruptData as exc:
            raise InvalidJob(f"not a job's envelope: {exc}") from None
        own = cls._parsed(carried.envelope)
        if not carried.merged:
            return own
        others = [(one.job_id, cls._parsed(one.envelope)) for one in carried.merged]
        messages = [*(one.job.message for _, one in others), own.job.message]
        merged = [one.as_merged(job_id) for job_id, one in others]
        # Whoever has more time, or all of it, is to be answered.
        expires = latest([*(one.job.expires for _, one in others), own.job.expires])
        message = BETWEEN_MERGED.join(messages)
        job = own.job.model_copy(update={"message": message, "expires": expires})
        return own.model_copy(update={"job": job, "merged": tuple(merged)})

    @classmethod
    def _parsed(cls, packed: bytes) -> Self:
        try:
            found = cls.model_validate_json(packed)
        except ValidationError as exc:
            # Of a newer one nothing else is known, so that comes first.
            NewerFormat.check(WHAT, _facts(packed).get("v"), VERSION)
            raise InvalidJob(f"not a job's envelope: {problems_of(exc)}") from None
        NewerFormat.check(WHAT, found.v, VERSION)
        return found


def celery_options_of(keys: SessionKeys, job: JobToWake) -> dict[str, JsonValue]:
    """The Celery options of a job whose envelope is of a newer format. Raises memory.CannotRead."""
    try:
        own = MergedEnvelope.parse(decrypted_envelope(keys, job.job_id, job.envelope)).envelope
    except CorruptData:
        return {}
    found = _facts(own).get("publish")
    return found if isinstance(found, dict) else {}


def _facts(packed: bytes) -> dict[str, JsonValue]:
    """What an envelope of any version says; nothing where it is none."""
    try:
        found = orjson.loads(packed)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class JobRef:
    """A job by its id and its session.

    `max_history` is how much history the job wants, None for what its agent's profile says.
    `envelope` comes with a raw `send_task` only: all others lie in the mailbox.
    """

    job_id: str
    agent_id: str
    session_id: str
    max_history: int | None = None
    envelope: Envelope | None = field(default=None, repr=False)

    @property
    def shown(self) -> str:
        """The job's id as log lines show it."""
        return shown_id(self.job_id)
