"""A session's mailbox on a server, with a clock that only the test moves."""

from dataclasses import dataclass, replace

from memory import events, outbox
from memory.encryption.keyring import NO_KEYS
from memory.keys import Keyspace
from memory.mailbox.delayed import RipeJobs, ripe
from memory.mailbox.due import Due
from memory.mailbox.intake import Enqueued, Intake, OnBusy, Request
from memory.mailbox.mailbox import Mailbox
from memory.mailbox.outbox import End, TakenEnds
from memory.mailbox.outcomes import Acquired, Cleaned, Committed, Discarded, Ending, Swept
from memory.priority import Priority
from memory.records import history
from memory.records.event import Event, EventType, packed
from memory.records.history import Erased
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import pairs, raw, strings
from tests.support.mailbox.server_clock import ClockedConnection

START_MS = 1_800_000_000_000
LEASE_MS = 30_000
GRACE_MS = 5_000
GAP_MS = 5_000
MAX_ATTEMPTS = 3
KEEP = 1000
TTL_S = 3600
CAP = 100
MERGED_BYTES = 1000
CLAIM_MS = 5000
DEAD_BYTES = 40
"""Room for one envelope of `envelope_of`, and not for two."""
OWNER = "someone"


@dataclass
class Rig:
    """One session's mailbox, asked for at `now_ms`."""

    connection: Connection
    keyspace: Keyspace
    agent_id: str = "energy"
    session_id: str = "session-1"
    now_ms: int = START_MS

    def __post_init__(self) -> None:
        self.connection = ClockedConnection(self.connection, lambda: self.now_ms)

    @property
    def box(self) -> Mailbox:
        return Mailbox.of(self.keyspace, self.agent_id, self.session_id)

    @property
    def due(self) -> Due:
        return Due(self.keyspace)

    def other(self, session_id: str) -> "Rig":
        """The mailbox of another session, with a clock of its own."""
        return replace(self, session_id=session_id)

    def later(self, delay_ms: int) -> None:
        self.now_ms += delay_ms

    def enqueue(self, job: str, envelope: bytes | None = None, *, cap: int = CAP) -> Enqueued:
        envelope = envelope_of(job) if envelope is None else envelope
        commands = self.box.enqueue(job, envelope, cap=cap, grace_ms=GRACE_MS)
        return self.connection.run_last(*commands)

    def take_in(
        self,
        job: str,
        on_busy: OnBusy = OnBusy.ENQUEUE,
        *,
        text: str | None = None,
        who: str = "someone",
        cap: int = CAP,
        merged_bytes: int = MERGED_BYTES,
        callbacks: bytes = b"",
        owner: str = OWNER,
        priority: Priority = Priority.NORMAL,
        **limits: int,
    ) -> Enqueued:
        """Send a job that asks `text`, its own id where it is None."""
        request = request_of(job if text is None else text, who)
        intake = Intake(
            job,
            envelope_of(job),
            cap,
            on_busy,
            request,
            merged_bytes,
            TTL_S,
            callbacks,
            owner,
            priority=priority,
            **limits,
        )
        commands = self.box.take_in(intake, grace_ms=GRACE_MS)
        return self.connection.run_last(*commands)

    def delay(
        self, job: str, wait_ms: int, on_busy: OnBusy = OnBusy.ENQUEUE, *, cap: int = CAP
    ) -> Enqueued:
        """Send a job that is due in `wait_ms`."""
        due_ms, request = self.now_ms + wait_ms, request_of(job)
        intake = Intake(
            job,
            envelope_of(job),
            cap,
            on_busy,
            request,
            due_ms=due_ms,
            wait_ms=wait_ms,
            look_ms=wait_ms,
        )
        return self.connection.run_last(*self.box.take_in(intake, grace_ms=GRACE_MS))

    def ripe(self) -> RipeJobs:
        return self.connection.run(ripe(self.box.keys, limit=100))

    def delayed(self) -> dict[str, int]:
        """When each delayed job is due."""
        args = ("ZRANGE", self.box.keys.delayed, 0, -1, "WITHSCORES")
        found = pairs(self.ask(*args))
        return {job.decode(): int(float(due_ms)) for job, due_ms in found}

    def events(self) -> list[Event]:
        """All that lies in the session's stream."""
        command = events.read(self.box.keys, events.FROM_START, block_ms=1)
        return self.connection.run(command)

    def told(self) -> list[tuple[str, str]]:
        """The events as (type, job)."""
        return [(event.type.value, event.job_id) for event in self.events()]

    def acquire(
        self,
        job: str,
        token: str,
        *,
        history_n: int = 20,
        max_attempts: int = MAX_ATTEMPTS,
        lease_ms: int = LEASE_MS,
    ) -> Acquired:
        commands = self.box.acquire(
            job,
            token,
            lease_ms=lease_ms,
            history_n=history_n,
            max_attempts=max_attempts,
            ttl_s=TTL_S,
            grace_ms=GRACE_MS,
            dead_bytes=DEAD_BYTES,
        )
        return self.connection.run_last(*commands)

    def renew(self, token: str) -> bool:
        return self.connection.run(self.box.renew(token, lease_ms=LEASE_MS))

    def commit(
        self, token: str, job: str, *, keep: int = KEEP, event: bytes | None = None
    ) -> Committed:
        commands = self.box.commit(
            token,
            job,
            turn_of(job),
            event=done_event(job) if event is None else event,
            keep=keep,
            ttl_s=TTL_S,
            grace_ms=GRACE_MS,
        )
        return self.connection.run_last(*commands)

    def fail(
        self,
        token: str,
        *,
        delay_ms: int = 0,
        refund: bool = False,
        is_outage: bool = False,
        error: str = "",
    ) -> bool:
        commands = self.box.fail(
            token,
            delay_ms=delay_ms,
            refund=refund,
            is_outage=is_outage,
            error=error,
            grace_ms=GRACE_MS,
        )
        return self.connection.run_last(*commands)

    def cancel(self, job: str, token: str = "") -> Discarded:
        return self._discard(job, "cancelled", token, Ending.CANCELLED)

    def bury(
        self,
        job: str,
        token: str = "",
        *,
        reason: str = "refused",
        dead_bytes: int = DEAD_BYTES,
    ) -> Discarded:
        return self._discard(job, reason, token, Ending.DEAD, dead_bytes=dead_bytes)

    def give_up(self, job: str, token: str = "", *, reason: str = "expired") -> Discarded:
        """DISCARD as failed, with no dead letter."""
        return self._discard(job, reason, token, Ending.FAILED)

    def _discard(
        self,
        job: str,
        reason: str,
        token: str,
        ending: Ending,
        *,
        dead_bytes: int = DEAD_BYTES,
    ) -> Discarded:
        commands = self.box.discard(
            job,
            reason,
            token,
            owner=token or OWNER,
            ending=ending,
            ttl_s=TTL_S,
            grace_ms=GRACE_MS,
            dead_bytes=dead_bytes,
        )
        return self.connection.run_last(*commands)

    def erase(self, write_id: str) -> Erased:
        erase = history.erase(self.box.keys, write_id=write_id, grace_ms=GRACE_MS)
        return self.connection.run(erase)

    def take_ends(self, owner: str = OWNER, *, claim_ms: int = CLAIM_MS) -> TakenEnds:
        return self.connection.run(outbox.take(self.box.keys, owner=owner, claim_ms=claim_ms))

    def ends(self) -> dict[str, End]:
        """All ends in the session's outbox, whoever is to deliver them."""
        stored = self.connection.run(Command(strings, ("HGETALL", self.box.keys.outbox)))
        pairs = zip(stored[::2], stored[1::2], strict=True)
        return {
            job.decode(): End.parse(self.box.keys, job.decode(), end.split(b" ", 3)[3])
            for job, end in pairs
        }

    def say(self, token: str, *said: Event, number: int = 1) -> bool:
        """PUBLISH; False: dropped."""
        publish = events.publish(self.box.keys, said, ttl_s=TTL_S, token=token, number=number)
        return self.connection.run(publish)

    def sweep(self) -> Swept:
        return self.connection.run(self.box.sweep(GAP_MS))

    def clean(self, idle_ms: int, *, ttl_ms: int = TTL_S * 1000) -> Cleaned:
        return self.connection.run(self.box.clean(idle_ms, ttl_ms=ttl_ms))

    def history(self) -> list[bytes]:
        args = ("LRANGE", self.box.keys.history, 0, -1)
        return self.connection.run(Command(strings, args))

    def pending(self) -> list[str]:
        return self.connection.run(self.box.pending())

    def due_at_ms(self) -> float | None:
        """The score of this mailbox among those to look at."""
        args = ("ZSCORE", self.keyspace.due, self.box.keys.history)
        reply = self.ask(*args)
        return None if reply is None else float(raw(reply))

    def ask(self, *args: str | bytes | int) -> object:
        """The plain reply to a command."""
        return self.connection.run(Command(lambda reply: reply, args))

    def dump(self) -> dict[bytes, object]:
        """Every key with its serialized value: equal dumps mean that nothing was written."""
        keys = strings(self.ask("KEYS", f"{self.keyspace.prefix}:*"))
        return {key: self.ask("DUMP", key) for key in sorted(keys)}

    def ttl_ms(self, key: str) -> int:
        """How long a key lives; -1: for ever, -2: not there."""
        reply = self.ask("PTTL", key)
        assert isinstance(reply, int)
        return reply


PLAIN = NO_KEYS.cipher_of("")
"""Encrypts nothing."""


def envelope_of(job: str) -> bytes:
    """Bytes that are no text and no JSON: the mailbox must not care."""
    return b"\x00\xff envelope of " + job.encode() + b"\r\n"


def done_event(job: str, text: str = "an answer") -> bytes:
    """The last event of a job that has its turn."""
    return packed(Event(EventType.DONE, job, 1, text), PLAIN)


def request_of(text: str, who: str = "someone") -> Request:
    """What is kept of somebody's asking a text."""
    words = text.encode()
    return Request.of(what=words, who=who.encode(), size_bytes=len(words))


def turn_of(job: str) -> tuple[bytes, bytes]:
    """The two messages of a job's turn, as JSON."""
    fields = b'"job_id":"' + job.encode() + b'"'
    return b'{"role":"user",' + fields + b"}", b'{"role":"assistant",' + fields + b"}"
