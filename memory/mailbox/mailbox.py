"""A session's mailbox: its jobs in order, one turn each, whatever dies in between.

The record of a job lies here until its turn is committed; a Celery message only wakes a worker.
Everything here is pure: methods return commands, which an executor sends. Several are sent together
in this order, and the last one has the answer: SCHEDULE goes before the operation that it guards.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from memory.keys import Keyspace, SessionKeys
from memory.lifetimes import DEAD_MS, DEDUPE_MS
from memory.mailbox import due_list
from memory.mailbox.intake import Claim, Enqueued, EnqueueOutcome, Intake, claim
from memory.mailbox.outcomes import (
    Acquired,
    Cleaned,
    CommitOutcome,
    Committed,
    Discarded,
    Ending,
    StopPolicy,
    Swept,
    read_stop,
)
from memory.mailbox.words import MAX_ENVELOPE_BYTES, encrypted_error, encrypted_reason
from memory.records.events import MAX_EVENTS
from memory.records.history import elements, encrypted, find_reply
from memory.records.limits import MAX_HISTORY_BYTES
from memory.redis.command import Command, LuaScript
from memory.redis.replicas import replicated
from memory.redis.replies import count, flag, nothing, strings, unexpected_reply

ACQUIRE = LuaScript.load("mailbox", "acquire")
RENEW = LuaScript.load("mailbox", "renew")
COMMIT = LuaScript.load("mailbox", "commit")
FAIL = LuaScript.load("mailbox", "fail")
DISCARD = LuaScript.load("mailbox", "discard")
STOP = LuaScript.load("mailbox", "stop")
SWEEP = LuaScript.load("mailbox", "sweep")
CLEAN = LuaScript.load("mailbox", "clean")
TRIM = LuaScript.load("mailbox", "trim")
SCRIPTS = (ACQUIRE, RENEW, COMMIT, FAIL, DISCARD, STOP, SWEEP, CLEAN, TRIM)

DEAD_MAX = 1000
"""Dead letters kept per session; the oldest go first."""
# Enough for a job that was done lately; each follower whose events are gone pays for the search.
REPLY_SEARCH_MESSAGES = 1000
MAX_ERROR_CHARS = 500
TAKEN_IN = (EnqueueOutcome.NEW, EnqueueOutcome.PENDING, EnqueueOutcome.DONE)
RECORDED = (CommitOutcome.OK, CommitOutcome.ALREADY)
NO_CAP = 1_000_000_000
"""For raw jobs, which are not bounded: their sender could not be refused any more."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The commands on one session's mailbox, each safe to repeat after a lost reply.

    Each may raise CorruptData when sent: a key holds another type, and nothing was written."""

    keyspace: Keyspace
    keys: SessionKeys

    @classmethod
    def of(cls, keyspace: Keyspace, agent_id: str, session_id: str) -> "Mailbox":
        """The mailbox of a session. Raises InvalidInput for an id that cannot be in a key."""
        return cls(keyspace, keyspace.session(agent_id, session_id))

    def enqueue(
        self, job_id: str, envelope: bytes, *, cap: int, grace_ms: int
    ) -> tuple[Command[int], Command[Enqueued]]:
        """`take_in` with nothing but a bound: the job waits behind those that are there."""
        return self.take_in(Intake(job_id, envelope, cap), grace_ms=grace_ms)

    def take_in(self, intake: Intake, *, grace_ms: int) -> tuple[Command[int], Command[Enqueued]]:
        """Take a job in, and do to the others what it asks for. On a cluster `claim` its id first.

        MemoryFull when sent and Redis is out of memory. At position 0 publish its wake-up. A job
        that is not due is kept, and a worker looks when it is.
        """
        # SCHEDULE comes first: a sender that dies then leaves a mailbox to be found.
        pointer = None if self.keyspace.is_cluster else self.keyspace.job(intake.job_id)
        take_in = intake.command(self.keys, pointer, grace_ms=grace_ms)
        is_ours = intake.cap != NO_CAP  # a raw job is in the broker too until it is answered
        return (
            intake.look(self.keyspace, self.keys, grace_ms=grace_ms),
            replicated(take_in, self.keys.lease, TAKEN_IN, is_required=is_ours),
        )

    def claim(self, intake: Intake) -> Command[Claim] | None:
        """Claim the job's id, before `take_in`, in a trip of its own; None: `take_in` does it."""
        if not self.keyspace.is_cluster:
            return None
        keep_ms, pointer = DEDUPE_MS + intake.wait_ms, self.keyspace.job(intake.job_id)
        return claim(pointer, intake.identity(self.keys), keep_ms=keep_ms)

    def acquire(
        self,
        job_id: str,
        token: str,
        *,
        lease_ms: int,
        history_n: int,
        max_attempts: int,
        ttl_s: int,
        grace_ms: int,
        dead_bytes: int = MAX_ENVELOPE_BYTES,
    ) -> tuple[Command[None], Command[int], Command[Acquired]]:
        """Ask to run a job. `token` is new for each try; a repeat carries the same one.

        RUN brings `history_n` messages along; `ttl_s` is the session's; a dead letter keeps of an
        envelope over `dead_bytes` only the size.
        """
        ask = ACQUIRE.command(
            Acquired.from_reply,
            self.keys,
            job=job_id,
            token=token,
            lease_ms=lease_ms,
            history_n=history_n,
            max_attempts=max_attempts,
            grace_ms=grace_ms,
            events_max=MAX_EVENTS,
            ttl_s=self.keys.held_s(ttl_s),
            dedupe_ms=DEDUPE_MS,
            dead_ms=DEAD_MS,
            dead_max=DEAD_MAX,
            dead_bytes=self.keys.cipher.largest_record(dead_bytes),
        )
        # Not SET, which Redis refuses when it is out of memory: work in hand goes on.
        keep = Command(nothing, ("PEXPIRE", self.keyspace.job(job_id), DEDUPE_MS, "GT"))
        return keep, self.look(grace_ms), ask

    def renew(self, token: str, *, lease_ms: int) -> Command[bool]:
        """Prolong the lease; False: it is lost, stop working."""
        return RENEW.command(flag, self.keys, token=token, lease_ms=lease_ms, dedupe_ms=DEDUPE_MS)

    def commit(
        self,
        token: str,
        job_id: str,
        records: Iterable[bytes],
        *,
        event: bytes,
        keep: int,
        most_bytes: int = MAX_HISTORY_BYTES,
        ttl_s: int,
        grace_ms: int,
    ) -> tuple[Command[int], Command[Committed]]:
        """Append the turn (at least one message of JSON), done. The last `keep` messages stay, with
        `most_bytes` at most: the oldest turns go, never this one.

        The turn and its last `event` (`event.packed`), in stream and outbox, are there together,
        or none is. The caller delivers the end within `grace_ms`.
        """
        commit = COMMIT.command(
            Committed.from_reply,
            self.keys,
            token=token,
            job=job_id,
            keep=keep,
            most_bytes=most_bytes,
            ttl_s=self.keys.held_s(ttl_s),
            grace_ms=grace_ms,
            dedupe_ms=DEDUPE_MS,
            events_max=MAX_EVENTS,
            event=event,
            records=encrypted(self.keys, records),
        )
        look = self.look(grace_ms)
        return look, replicated(commit, self.keys.lease, RECORDED, is_required=False)

    def fail(
        self,
        token: str,
        *,
        delay_ms: int,
        refund: bool,
        grace_ms: int,
        slot_wait_ms: int = 0,
        is_outage: bool = False,
        is_paused: bool = False,
        error: str = "",
    ) -> tuple[Command[int], Command[bool]]:
        """Give the lease back; the job may run again in `delay_ms`. Later jobs wait behind it.

        False: the token holds no lease any more. `refund`: this attempt does not count. For
        `slot_wait_ms` no sweeper wakes the job: it waits for a slot of its model, for its servers
        (`is_outage`) or for the end of a pause, and is woken then. A dead letter will have the
        `error` of an attempt that counts.
        """
        return self.look(delay_ms + slot_wait_ms + grace_ms), FAIL.command(
            flag,
            self.keys,
            token=token,
            delay_ms=delay_ms,
            refund=int(refund),
            slot_wait_ms=slot_wait_ms,
            is_outage=int(is_outage),
            is_paused=int(is_paused),
            error=encrypted_error(self.keys, error[:MAX_ERROR_CHARS]),
            dedupe_ms=DEDUPE_MS,
        )

    def discard(
        self,
        job_id: str,
        reason: str,
        token: str = "",
        *,
        owner: str,
        ending: Ending,
        ttl_s: int,
        grace_ms: int,
        dead_bytes: int = MAX_ENVELOPE_BYTES,
    ) -> tuple[Command[int], Command[Discarded]]:
        """Take a job out without a turn. A dead letter keeps of an envelope over `dead_bytes` only
        the size.

        `token` is the holder's where the caller runs the job; without one a running job is
        answered RUNNING. `owner` is to deliver the end within `grace_ms`.
        """
        return self.look(grace_ms), DISCARD.command(
            Discarded.from_reply,
            self.keys,
            job=job_id,
            reason=encrypted_reason(self.keys, job_id, reason),
            token=token,
            owner=owner,
            ending=ending,
            grace_ms=grace_ms,
            events_max=MAX_EVENTS,
            ttl_s=self.keys.held_s(ttl_s),
            dedupe_ms=DEDUPE_MS,
            dead_ms=DEAD_MS,
            dead_max=DEAD_MAX,
            dead_bytes=self.keys.cipher.largest_record(dead_bytes),
        )

    def stop(self, job_id: str, policy: StopPolicy) -> Command[bool]:
        """Ask the worker that runs the job to stop it, and its next worker too. False: no worker
        runs it now."""
        return STOP.command(flag, self.keys, job=job_id, policy=policy, dedupe_ms=DEDUPE_MS)

    def stop_asked(self, job_id: str) -> Command[StopPolicy | None]:
        """How the job is to be stopped; None where nobody asked."""
        return Command(
            lambda reply: read_stop(reply, job_id), ("HMGET", self.keys.lease, "stop_job", "stop")
        )

    def sweep(self, gap_ms: int) -> Command[Swept]:
        """Ask whether the mailbox needs a wake-up; `due.Due.settle` notes the answer."""
        return SWEEP.command(Swept.from_reply, self.keys, gap_ms=gap_ms, dedupe_ms=DEDUPE_MS)

    def unwake(self) -> Command[None]:
        """Take back what a SWEEP noted of a wake-up that was not published: others wait for it."""
        return Command(nothing, ("HDEL", self.keys.lease, "woken_at", "wakes"))

    def clean(self, idle_ms: int, *, ttl_ms: int) -> Command[Cleaned]:
        """Delete the conversation if nothing is pending, and its use and TTL allow it."""
        return CLEAN.command(Cleaned.from_reply, self.keys, idle_ms=idle_ms, ttl_ms=ttl_ms)

    def trim(self, slack: int) -> Command[int]:
        """Forget the requests of jobs that are done and forgotten, if there are more than `slack`
        of them. How many were forgotten."""
        return TRIM.command(count, self.keys, slack=slack)

    def pending(self) -> Command[list[str]]:
        """The ids of all jobs that are not done, in order; the first is the head."""
        args = ("ZRANGE", self.keys.queue, 0, -1)
        return Command(lambda reply: [job.decode() for job in strings(reply)], args)

    def is_committed(self, job_id: str) -> Command[bool | None]:
        """True: the job has its turn. False: it was cancelled or is dead. None: it is not done."""
        return Command(_read_mark, ("ZSCORE", self.keys.done, job_id))

    def is_pending(self, job_id: str) -> Command[bool]:
        """Whether the job is in the mailbox, or delayed. Asked before `is_committed`, one of both
        is so unless the mailbox was lost, for a job that ends gets its mark in the same step."""
        return Command(flag, ("HEXISTS", self.keys.jobs, job_id))

    def reply_of(self, job_id: str, *, limit: int = REPLY_SEARCH_MESSAGES) -> Command[bytes | None]:
        """The committed reply of a done job, as `find_reply` finds it in the last messages."""
        last = elements(self.keys, -limit, -1)
        return Command(lambda reply: find_reply(last.parse(reply), job_id), last.args)

    def look(self, delay_ms: int) -> Command[int]:
        """Have a sweeper look at the mailbox in `delay_ms`. Goes before what it guards."""
        return due_list.look(self.keyspace.due, self.keys.history, delay_ms=delay_ms)


def _read_mark(reply: object) -> bool | None:
    # The sign of a done mark says how the job ended.
    match reply:
        case None:
            return None
        case float() | bytes():
            return float(reply) > 0
    raise unexpected_reply(reply)
