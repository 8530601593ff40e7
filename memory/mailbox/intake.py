"""Taking a job into a mailbox: what it brings along, and what it does to the others there. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypedDict

from memory.errors import CorruptData
from memory.keys import SessionKeys
from memory.mailbox import scripts
from memory.mailbox.codes import Waiting, raw
from memory.mailbox.enqueued import Enqueued, Untold, read_untold
from memory.mailbox.netstrings import netstrings
from memory.records import events
from memory.redis.command import Command

DEFAULT_TTL_S = 86_400
_DIGEST_BYTES, _ASKER_BYTES, _MAX_SIZE = 16, 8, 99_999_999
_POINTER_AT = len(f"{'0' * 32}:{'0' * 16}:{'0' * 8}:")


class OnBusy(StrEnum):
    """What a job does to its session's other jobs when it is sent while they run or wait."""

    ENQUEUE = "enqueue"
    """It waits behind them."""
    REJECT = "reject"
    """It is not taken in."""
    INTERRUPT = "interrupt"
    """They end before it: what the running turn has said is kept, of the others the question."""
    ROLLBACK = "rollback"
    """They are withdrawn, the running turn too."""
    REPLACE_PENDING = "replace_pending"
    """Those that wait are withdrawn; a turn that has begun goes on."""
    MERGE = "merge"
    """Those that wait and are of the same user become one turn with it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is kept of a request to know it again: its digest, who asks, and its size in bytes."""

    digest: str = "0" * 2 * _DIGEST_BYTES
    asker: str = "0" * 2 * _ASKER_BYTES
    size_bytes: int = 0

    @classmethod
    def of(cls, *, what: bytes, who: bytes, size_bytes: int) -> "Request":
        """`what` tells one request from another, `who` those that may be merged from others."""
        digest = hashlib.blake2b(what, digest_size=_DIGEST_BYTES).hexdigest()
        asker = hashlib.blake2b(who, digest_size=_ASKER_BYTES).hexdigest()
        return cls(digest, asker, min(size_bytes, _MAX_SIZE))

    def packed(self) -> str:
        """As the operations read it."""
        return f"{self.digest}:{self.asker}:{self.size_bytes:08d}"


@dataclass(frozen=True, slots=True)
class Intake:
    """A job that is to be taken in, if no more than `cap` are pending.

    `merged_bytes` bounds messages that are merged; `ttl_s` is that of the session's events.
    """

    job_id: str
    envelope: bytes = field(repr=False)
    cap: int
    on_busy: OnBusy = OnBusy.ENQUEUE
    request: Request = Request()
    merged_bytes: int = 0
    ttl_s: int = DEFAULT_TTL_S

    def command(
        self, keys: SessionKeys, *, dedupe_ms: int, now_us: int | None
    ) -> Command[Enqueued]:
        """The one operation that does it, with all that it does to others."""
        arrival = _Arrival(
            job=self.job_id,
            envelope=self.envelope,
            cap=1 if self.on_busy is OnBusy.REJECT else self.cap,
            request=self.request.packed(),
            event=events.queued_head(self.job_id),
            events_max=events.MAX_EVENTS,
            ttl_s=self.ttl_s,
            dedupe_ms=dedupe_ms,
            now_us=now_us,
        )
        match self.on_busy:
            case OnBusy.ENQUEUE | OnBusy.REJECT:
                return scripts.enqueue(keys, **arrival)
            case OnBusy.INTERRUPT:
                return scripts.interrupt(keys, **arrival)
            case OnBusy.ROLLBACK | OnBusy.REPLACE_PENDING:
                is_all = self.on_busy is OnBusy.ROLLBACK
                return scripts.supersede(keys, is_all=is_all, **arrival)
            case OnBusy.MERGE:
                return scripts.merge(keys, most_bytes=self.merged_bytes, **arrival)


class _Arrival(TypedDict):
    """What all of the operations are told."""

    job: str
    envelope: bytes
    cap: int
    request: str
    event: bytes
    events_max: int
    ttl_s: int
    dedupe_ms: int
    now_us: int | None


@dataclass(frozen=True, slots=True)
class MergedEnvelope:
    """A stored envelope taken apart: the job's own, and those of the jobs merged into it."""

    envelope: bytes = field(repr=False)
    merged: tuple[Waiting, ...] = ()

    @classmethod
    def parse(cls, stored: bytes) -> "MergedEnvelope":
        """Read what MERGE has written; an envelope that carries nothing is itself.

        Raises CorruptData.
        """
        if not stored[:1].isdigit():
            return cls(stored)
        try:
            own, *others = netstrings(stored)
            return cls(own, tuple(_merged(others)))
        except (ValueError, RecursionError) as exc:
            raise CorruptData("an envelope carries others, and cannot be taken apart") from exc


def _merged(others: Sequence[bytes]) -> list[Waiting]:
    """The merged jobs, the oldest first; what one of them carried comes before it."""
    found: list[Waiting] = []
    for job_id, stored in zip(others[::2], others[1::2], strict=True):
        carried = MergedEnvelope.parse(stored)
        found += [*carried.merged, Waiting(job_id.decode(), carried.envelope)]
    return found


def untold(keys: SessionKeys) -> Command[tuple[Untold, ...]]:
    """The jobs whose end nobody has been told yet: who took them out may have died."""
    return Command(read_untold, ("HGETALL", keys.untold))


def told(keys: SessionKeys, jobs: Sequence[Untold]) -> Command[None]:
    """Note that the end of these jobs, at least one, has been told."""
    return Command(lambda reply: None, ("HDEL", keys.untold, *(one.job_id for one in jobs)))


def merged_into(keys: SessionKeys, job_id: str) -> Command[str | None]:
    """The job that this one was merged into; None where it was not."""

    def read(reply: object) -> str | None:
        into = b"" if reply is None else raw(reply)[_POINTER_AT:]
        return into.decode() or None

    return Command(read, ("HGET", keys.requests, job_id))
