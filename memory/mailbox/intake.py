"""Taking a job into a mailbox: what it brings along, and what it does to the others there. Pure."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from memory.errors import CorruptData
from memory.keys import Keyspace, SessionKeys
from memory.lifetimes import DEDUPE_MS, SESSION_TTL_S
from memory.mailbox import due_list
from memory.mailbox.netstrings import netstrings
from memory.mailbox.outcomes import JobToWake
from memory.mailbox.words import CANNOT_TAKE_APART, about_envelope, encrypted_callbacks
from memory.priority import Priority
from memory.records import events
from memory.redis.command import Command, LuaScript
from memory.redis.replies import code_and_rest, integer, raw, unexpected_reply

ENQUEUE = LuaScript.load("mailbox", "enqueue")
INTERRUPT = LuaScript.load("mailbox", "interrupt")
SUPERSEDE = LuaScript.load("mailbox", "supersede")
MERGE = LuaScript.load("mailbox", "merge")
DELAY = LuaScript.load("mailbox", "delay")
CLAIM = LuaScript.load("mailbox", "claim")
SCRIPTS = (ENQUEUE, INTERRUPT, SUPERSEDE, MERGE, DELAY, CLAIM)

SHORTEST_DELAY_MS = 1000
"""A delayed job is looked at no sooner: DELAY has certainly come then."""

# MERGE and the piece `intake` read these fields by position.
_DIGEST_BYTES, _ASKER_BYTES, _MAX_SIZE = 16, 8, 99_999_999
_POINTER_AT = len(f"{'0' * 32}:{'0' * 16}:{'0' * 8}:")


class EnqueueOutcome(StrEnum):
    """Whether a job is in the mailbox now."""

    NEW = "NEW"
    PENDING = "PENDING"
    DONE = "DONE"
    CONFLICT = "CONFLICT"
    FULL = "FULL"


# Not frozen, as `Command` is not.
@dataclass(slots=True)
class Enqueued:
    """The answer to ENQUEUE, INTERRUPT, SUPERSEDE, MERGE and DELAY.

    `seq_us` and `position` are those of NEW and PENDING; at position 0 the caller publishes the
    wake-up, and at -1 the job is delayed. `is_committed` says of DONE whether there is a turn
    (else cancelled, merged or dead).
    `pending` is the number of jobs at FULL, `first` the first of them.
    `stopping` is a job that its worker must stop now, `wake` one that must be woken now: it is to
    stop, or its session has become more urgent; `ended` says how many ends are in the session's
    outbox, of jobs that this one has taken out among them.
    """

    outcome: EnqueueOutcome
    seq_us: int = 0
    position: int = -1
    is_committed: bool = False
    pending: int = 0
    first: str = ""
    stopping: str = ""
    wake: str = ""
    ended: int = 0

    @classmethod
    def from_reply(cls, reply: object) -> "Enqueued":
        """Read the reply of any of the five."""
        outcome, rest = code_and_rest(EnqueueOutcome, reply)
        match outcome, rest:
            case EnqueueOutcome.DONE, [int(mark_ms)]:
                return cls(outcome, is_committed=mark_ms > 0)
            case EnqueueOutcome.CONFLICT, []:
                return cls(outcome)
            case EnqueueOutcome.FULL, [int(pending), bytes(first)]:
                return cls(outcome, pending=pending, first=first.decode())
            case (
                (EnqueueOutcome.NEW | EnqueueOutcome.PENDING),
                [int(seq_us), int(position), bytes(stopping), bytes(wake), int(ended)],
            ):
                return cls(
                    outcome,
                    seq_us,
                    position,
                    stopping=stopping.decode(),
                    wake=wake.decode(),
                    ended=ended,
                )
        raise unexpected_reply(reply)


class Claim(StrEnum):
    """Whether an id is this request's."""

    CLAIMED = "CLAIMED"
    KNOWN = "KNOWN"
    CONFLICT = "CONFLICT"


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


_SCRIPT_OF = {
    OnBusy.INTERRUPT: INTERRUPT,
    OnBusy.ROLLBACK: SUPERSEDE,
    OnBusy.REPLACE_PENDING: SUPERSEDE,
    OnBusy.MERGE: MERGE,
}


@dataclass(frozen=True, slots=True)
class Request:
    """What is kept of a request to know it again: its digest, who asks, and its size in bytes."""

    digest: str = "0" * 2 * _DIGEST_BYTES
    asker: str = "0" * 2 * _ASKER_BYTES
    size_bytes: int = 0

    @classmethod
    def of(cls, *, what: bytes, who: bytes, size_bytes: int) -> "Request":
        """Requests with one `what` are the same; only requests with one `who` may be merged."""
        digest = hashlib.blake2b(what, digest_size=_DIGEST_BYTES).hexdigest()
        asker = hashlib.blake2b(who, digest_size=_ASKER_BYTES).hexdigest()
        return cls(digest, asker, min(size_bytes, _MAX_SIZE))

    def packed(self) -> str:
        """As the operations read it."""
        return f"{self.digest}:{self.asker}:{self.size_bytes:08d}"


# Not frozen, as `Command` is not.
@dataclass(slots=True)
class Intake:
    """A job that is to be taken in, if no more than `cap` are pending.

    `callbacks` says what follows the job in Celery, as lines of JSON, or is empty.
    `merged_bytes` bounds messages that are merged, `merged_envelope_bytes` all that is kept of
    them; `ttl_s` is that of the session's events. `owner` names who delivers the ends of the jobs
    that this one takes out (`outbox.take`). With `due_ms`, Unix time, the job is only kept until
    then, whatever it does to others later (`delayed.ripe`): for
    about `wait_ms`. A worker looks at it in `look_ms`.
    """

    job_id: str
    envelope: bytes = field(repr=False)
    cap: int
    on_busy: OnBusy = OnBusy.ENQUEUE
    request: Request = Request()
    merged_bytes: int = 0
    ttl_s: int = SESSION_TTL_S
    callbacks: bytes = field(default=b"", repr=False)
    owner: str = field(default_factory=lambda: os.urandom(16).hex())
    merged_envelope_bytes: int = 2**31
    due_ms: int | None = None
    wait_ms: int = 0
    look_ms: int = 0
    priority: Priority = Priority.NORMAL

    def identity(self, keys: SessionKeys) -> str:
        """What the id's pointer holds: the id is this request's in this session."""
        return f"{self.request.digest} {keys.history}"

    def look(self, keyspace: Keyspace, keys: SessionKeys, *, grace_ms: int) -> Command[int]:
        """Have somebody look at the session: in `grace_ms`, or when the job is due."""
        if self.due_ms is None:
            return due_list.look(keyspace.due, keys.history, delay_ms=grace_ms)
        delay_ms = max(self.look_ms, SHORTEST_DELAY_MS)
        return due_list.look(keyspace.delayed, keys.history, delay_ms=delay_ms)

    def command(
        self, keys: SessionKeys, pointer: str | None, *, grace_ms: int
    ) -> Command[Enqueued]:
        """The one operation that does it, with all that it does to others.

        `pointer` is the key of the job's pointer, None where `claim` has set it. Who ends other
        jobs has `grace_ms` to deliver their ends.
        """
        is_delayed = self.due_ms is not None
        script = DELAY if is_delayed else _SCRIPT_OF.get(self.on_busy, ENQUEUE)
        options: dict[str, int | str] = {}
        if self.due_ms is not None:
            options["due_ms"] = self.due_ms
        elif script is SUPERSEDE:
            options["is_all"] = int(self.on_busy is OnBusy.ROLLBACK)
        elif script is MERGE:
            options["most_bytes"] = self.merged_bytes
            options["most_kept_bytes"] = self.merged_envelope_bytes
        if script in (SUPERSEDE, MERGE):
            options |= {"owner": self.owner, "grace_ms": grace_ms}
        return script.command(
            Enqueued.from_reply,
            keys,
            more_keys=() if pointer is None else (pointer,),
            job=self.job_id,
            envelope=keys.cipher.encrypted(self.envelope, about_envelope(self.job_id)),
            its_callbacks=encrypted_callbacks(keys, self.callbacks),
            # REJECT is ENQUEUE into an empty mailbox only, so it needs no script.
            cap=1 if self.on_busy is OnBusy.REJECT and not is_delayed else self.cap,
            request=self.request.packed(),
            priority=self.priority,
            # The script adds the position: only it knows how many jobs are before this one.
            event=events.queued_head(self.job_id)
            if self.due_ms is None
            else events.scheduled(self.job_id, self.due_ms),
            events_max=events.MAX_EVENTS,
            ttl_s=keys.held_s(self.ttl_s),
            dedupe_ms=DEDUPE_MS,
            **options,
        )


@dataclass(frozen=True, slots=True)
class MergedEnvelope:
    """A stored envelope taken apart: the job's own, and those of the jobs merged into it."""

    envelope: bytes = field(repr=False)
    merged: tuple[JobToWake, ...] = ()

    @classmethod
    def parse(cls, stored: bytes) -> "MergedEnvelope":
        """Read what MERGE has written; an envelope that carries nothing is itself.

        Raises CorruptData.
        """
        # An envelope is a JSON object and begins with a brace, a netstring with its size.
        if not stored[:1].isdigit():
            return cls(stored)
        try:
            own, *others = netstrings(stored)
            return cls(own, tuple(_merged(others)))
        except (ValueError, RecursionError) as exc:
            raise CorruptData(CANNOT_TAKE_APART) from exc


def _merged(others: Sequence[bytes]) -> list[JobToWake]:
    """The merged jobs, the oldest first; what one of them carried comes before it."""
    found: list[JobToWake] = []
    for job_id, stored in zip(others[::2], others[1::2], strict=True):
        carried = MergedEnvelope.parse(stored)
        found += [*carried.merged, JobToWake(job_id.decode(), carried.envelope)]
    return found


def claim(pointer: str, identity: str, *, keep_ms: int = DEDUPE_MS) -> Command[Claim]:
    """Have a job's id stand for one request of one session, for `keep_ms`. Safe to repeat.

    Only for a cluster, before the job is taken in: there the pointer is on another server.
    """
    return CLAIM.command(
        lambda reply: code_and_rest(Claim, reply)[0],
        pointer,
        identity=identity,
        dedupe_ms=keep_ms,
    )


def was_erased(keys: SessionKeys, job_id: str) -> Command[bool]:
    """Whether the session was erased after the job was sent."""
    return Command(lambda reply: reply == b"erased", ("HGET", keys.requests, job_id))


def merged_into(keys: SessionKeys, job_id: str) -> Command[str | None]:
    """The job that this one was merged into; None where it was not."""

    def read(reply: object) -> str | None:
        into = b"" if reply is None else raw(reply)[_POINTER_AT:]
        return into.decode() or None

    return Command(read, ("HGET", keys.requests, job_id))


def lead_on(keys: SessionKeys, job_id: str, request: Request, into: str) -> Command[int]:
    """Let a job that is over lead to the one that takes its place, as a merged one does. Safe to
    repeat."""
    return Command(integer, ("HSET", keys.requests, job_id, f"{request.packed()}:{into}"))
