"""A session's mailbox: its jobs in order, one turn each, whatever dies in between.

The record of a job lies here until its turn is committed; a Celery message only wakes a worker.
Everything here is pure: methods name calls, which an executor sends. Where several are named they
are sent together in this order, and the last is the one that answers: LOOK goes before the
operation that it guards.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from memory.keys import Keyspace, SessionKeys
from memory.mailbox import scripts
from memory.mailbox.codes import raw, sequence_of, unexpected_reply
from memory.mailbox.enqueued import Enqueued
from memory.mailbox.intake import Intake, Request
from memory.mailbox.outcomes import (
    Acquired,
    Cleaned,
    Committed,
    Discarded,
    Failed,
    Stopping,
    StopPolicy,
    Swept,
    read_stop,
)
from memory.records.events import MAX_EVENTS
from memory.records.history import find_reply
from memory.redis.command import Command, ignore_corrupt

DEDUPE_MS = 7 * 24 * 3600 * 1000
"""How long the mark of a done job is kept: longer than any message is delivered again."""
DEAD_MS = 30 * 24 * 3600 * 1000
DEAD_MAX = 1000
"""Dead letters kept per session; the oldest go first."""
REPLY_SEARCH_MESSAGES = 1000
NO_CAP = 1_000_000_000
"""The bound where there is none: who sends past it is not there to be told."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The calls on one session's mailbox. `now_us` replaces the server's clock, for simulation.

    Each is safe to repeat after a lost reply. Each may raise CorruptData when sent: a key holds
    another type than ours, and nothing was written. `dedupe_ms` is at least as long as any
    message may be delivered again, and the same everywhere.
    """

    keyspace: Keyspace
    keys: SessionKeys
    now_us: int | None = None

    @classmethod
    def of(cls, keyspace: Keyspace, agent_id: str, session_id: str) -> "Mailbox":
        """The mailbox of a session. Raises InvalidInput for an id that cannot be in a key."""
        return cls(keyspace, keyspace.session(agent_id, session_id))

    def enqueue(
        self, job_id: str, envelope: bytes, *, cap: int, grace_ms: int, dedupe_ms: int = DEDUPE_MS
    ) -> tuple[Command[None], Command[int], Command[Enqueued]]:
        """`take_in` with nothing but a bound: the job waits behind those that are there."""
        return self.take_in(Intake(job_id, envelope, cap), grace_ms=grace_ms, dedupe_ms=dedupe_ms)

    def take_in(
        self, intake: Intake, *, grace_ms: int, dedupe_ms: int = DEDUPE_MS
    ) -> tuple[Command[None], Command[int], Command[Enqueued]]:
        """Take a job in, and do to the others what it asks for.

        MemoryFull when sent and Redis is out of memory. At position 0 publish its wake-up.
        """
        return (
            self._point(intake.job_id, dedupe_ms),
            self._look(grace_ms),
            intake.command(self.keys, dedupe_ms=dedupe_ms, now_us=self.now_us),
        )

    def acquire(
        self,
        job_id: str,
        envelope: bytes | None,
        token: str,
        *,
        lease_ms: int,
        history_n: int,
        max_attempts: int,
        grace_ms: int,
        dedupe_ms: int = DEDUPE_MS,
        dead_ms: int = DEAD_MS,
        dead_max: int = DEAD_MAX,
        request: Request | None = None,
    ) -> tuple[*tuple[Command[object], ...], Command[Acquired]]:
        """Ask to run a job. `token` is new for each try; a repeat bears the same one.

        With an `envelope` (a raw send_task, and its `request`) a job that is unknown is taken in
        first; our own wake-ups have none. `history_n` is how many messages RUN brings along.
        """
        ask = scripts.acquire(
            self.keys,
            job=job_id,
            token=token,
            lease_ms=lease_ms,
            history_n=history_n,
            max_attempts=max_attempts,
            dedupe_ms=dedupe_ms,
            dead_ms=dead_ms,
            dead_max=dead_max,
            now_us=self.now_us,
        )
        if envelope is None:
            return (self._keep_pointer(job_id, dedupe_ms), self._look(grace_ms), ask)
        raw_job = Intake(job_id, envelope, NO_CAP, request=request or Request())
        return (*self.take_in(raw_job, grace_ms=grace_ms, dedupe_ms=dedupe_ms), ask)

    def renew(self, token: str, *, lease_ms: int, dedupe_ms: int = DEDUPE_MS) -> Command[bool]:
        """Prolong the lease; False: it is lost, stop working."""
        return scripts.renew(
            self.keys, token=token, lease_ms=lease_ms, dedupe_ms=dedupe_ms, now_us=self.now_us
        )

    def commit(
        self,
        token: str,
        job_id: str,
        records: Iterable[bytes],
        *,
        keep: int,
        ttl_s: int,
        grace_ms: int,
        event: bytes = b"",
        dedupe_ms: int = DEDUPE_MS,
    ) -> tuple[Command[int], Command[Committed]]:
        """Append the turn (at least one message of JSON), keep the last `keep` messages, done.

        The turn and its last `event` (`events.packed`) are there together, or neither is.
        """
        return self._look(grace_ms), scripts.commit(
            self.keys,
            token=token,
            job=job_id,
            keep=keep,
            ttl_s=ttl_s,
            dedupe_ms=dedupe_ms,
            events_max=MAX_EVENTS,
            now_us=self.now_us,
            event=event,
            records=tuple(records),
        )

    def fail(
        self,
        token: str,
        *,
        delay_ms: int,
        refund: bool,
        grace_ms: int,
        slot_wait_ms: int = 0,
        dedupe_ms: int = DEDUPE_MS,
    ) -> tuple[Command[int], Command[Failed]]:
        """Give the lease back; the job may run again in `delay_ms`. Later jobs wait behind it.

        `refund`: this attempt does not count (a worker that shuts down). `line_ms`: so long no
        sweeper wakes the job, for it stands in the line of a model and will be called.
        """
        return self._look(delay_ms + slot_wait_ms + grace_ms), scripts.fail(
            self.keys,
            token=token,
            delay_ms=delay_ms,
            refund=refund,
            slot_wait_ms=slot_wait_ms,
            dedupe_ms=dedupe_ms,
            now_us=self.now_us,
        )

    def discard(
        self,
        job_id: str,
        reason: str,
        token: str = "",
        *,
        cancelled: bool,
        grace_ms: int,
        dedupe_ms: int = DEDUPE_MS,
        dead_ms: int = DEAD_MS,
        dead_max: int = DEAD_MAX,
    ) -> tuple[Command[int], Command[Discarded]]:
        """Take a job out without a turn: `cancelled`, or else kept as a dead letter.

        `token` is the holder's where the caller runs the job; without one a running job is
        answered RUNNING.
        """
        return self._look(grace_ms), scripts.discard(
            self.keys,
            job=job_id,
            reason=reason,
            token=token,
            is_dead=not cancelled,
            dedupe_ms=dedupe_ms,
            dead_ms=dead_ms,
            dead_max=dead_max,
            now_us=self.now_us,
        )

    def stop(
        self, job_id: str, policy: StopPolicy, *, dedupe_ms: int = DEDUPE_MS
    ) -> Command[Stopping]:
        """Ask whoever runs the job to stop it. It stays asked for, whoever runs it next."""
        return scripts.stop(
            self.keys, job=job_id, policy=policy, dedupe_ms=dedupe_ms, now_us=self.now_us
        )

    def stop_asked(self, job_id: str) -> Command[StopPolicy | None]:
        """How the job is to be stopped; None where nobody asked."""
        return Command(
            lambda reply: read_stop(reply, job_id), ("HMGET", self.keys.lease, "stop_job", "stop")
        )

    def sweep(self, gap_ms: int, *, dedupe_ms: int = DEDUPE_MS) -> Command[Swept]:
        """Ask whether the mailbox needs a wake-up; `due.Due.settle` notes the answer."""
        return scripts.sweep(self.keys, gap_ms=gap_ms, dedupe_ms=dedupe_ms, now_us=self.now_us)

    def unwake(self) -> Command[None]:
        """Take back what a SWEEP noted of a wake-up that could not be published."""
        return Command(_nothing, ("HDEL", self.keys.lease, "woken_at", "wakes"))

    def clean(self, idle_ms: int) -> Command[Cleaned]:
        """Delete the conversation if nothing is pending and nobody used it for `idle_ms`."""
        return scripts.clean(self.keys, idle_ms=idle_ms, now_us=self.now_us)

    def pending(self) -> Command[list[str]]:
        """The ids of all jobs that are not done, in order; the first is the head."""
        args = ("ZRANGE", self.keys.queue, 0, -1)
        return Command(lambda reply: sequence_of(lambda job: raw(job).decode(), reply), args)

    def is_committed(self, job_id: str) -> Command[bool | None]:
        """True: the job has its turn. False: it was cancelled or is dead. None: it is not done."""
        return Command(_read_mark, ("ZSCORE", self.keys.done, job_id))

    def reply_of(self, job_id: str, *, limit: int = REPLY_SEARCH_MESSAGES) -> Command[bytes | None]:
        """The committed reply of a done job, as `find_reply` finds it in the last messages."""
        args = ("LRANGE", self.keys.history, -limit, -1)
        return Command(lambda reply: find_reply(sequence_of(raw, reply), job_id), args)

    def _look(self, delay_ms: int) -> Command[int]:
        # Without the sweeper's list nothing is swept; jobs are taken in, woken and done as ever.
        look = scripts.look(
            self.keyspace.due,
            history_key=self.keys.history,
            delay_ms=delay_ms,
            now_us=self.now_us,
        )
        return ignore_corrupt(look, 0)

    def _point(self, job_id: str, dedupe_ms: int) -> Command[None]:
        pointer = self.keyspace.job(job_id)
        return Command(_nothing, ("SET", pointer, self.keys.history, "PX", dedupe_ms))

    def _keep_pointer(self, job_id: str, dedupe_ms: int) -> Command[None]:
        # Not SET, which Redis refuses when it is out of memory: work in hand goes on.
        return Command(_nothing, ("PEXPIRE", self.keyspace.job(job_id), dedupe_ms))


def locate(keyspace: Keyspace, job_id: str) -> Command[SessionKeys | None]:
    """The keys of the session whose mailbox has, or had, the job; None if nobody knows it."""

    def parse(reply: object) -> SessionKeys | None:
        return None if reply is None else keyspace.parse_history(raw(reply).decode())

    return Command(parse, ("GET", keyspace.job(job_id)))


def _read_mark(reply: object) -> bool | None:
    match reply:
        case None:
            return None
        case float() | bytes():
            return float(reply) > 0
    raise unexpected_reply(reply)


def _nothing(_: object) -> None:
    """For a command whose answer says nothing."""
