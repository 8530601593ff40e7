"""The books of a simulated world: what every operation answered, held against the invariants."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import orjson

from memory.errors import CorruptData
from memory.keys import Keyspace, SessionKeys
from memory.mailbox.intake import Enqueued, EnqueueOutcome, MergedEnvelope
from memory.mailbox.outcomes import (
    Acquired,
    AcquireOutcome,
    Cleaned,
    CleanOutcome,
    CommitOutcome,
    Committed,
    Discarded,
    DiscardOutcome,
)
from memory.records.history import Erased
from memory.redis.command import Command
from tests.support.mailbox.ends import pending
from tests.support.mailbox.violation import Violation

__all__ = ["Ledger", "Session", "Violation"]


@dataclass
class Session:
    """What the ledger knows of one session from the answers alone."""

    pending: set[str] = field(default_factory=set)
    delayed: set[str] = field(default_factory=set)
    seq_us: dict[str, int] = field(default_factory=dict)
    committed: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    merged_into: dict[str, str] = field(default_factory=dict)
    """In the order in which they were sent."""
    archived: list[list[bytes]] = field(default_factory=list)
    is_running: bool = False
    not_before_ms: int = 0
    idle_since_ms: int | None = None
    still_since_ms: int | None = None


class Ledger:
    """Looks on at every call, and at the history in the end."""

    def __init__(self, ask: Callable[..., list[object]], keyspace: Keyspace) -> None:
        self._ask = ask
        self._keyspace = keyspace
        self.sessions: dict[str, Session] = defaultdict(Session)
        self.accepted: set[tuple[str, str]] = set()
        self.commits = 0
        self.longest_idle_ms = 0
        self._queue: list[str] = []
        self._erasures: set[str] = set()
        self.longest_still_ms = 0
        self._seen: tuple[object, object] = (None, None)

    def of(self, history_key: str) -> Session:
        """The books of the session with this history key."""
        return self.sessions[history_key]

    def before(self, commands: Sequence[Command[object]]) -> None:
        """Look at what is about to be changed."""
        for command in commands:
            name = command.script.name if command.script else ""
            if name in ("supersede", "merge", "erase"):
                self._queue = self._pending(command)
            if name == "commit":
                _, queue, _, _, lease, *_ = command.keys
                self._seen = tuple(  # type: ignore[assignment]  # two replies
                    self._ask(("HMGET", lease, "token", "job"), ("ZRANGE", queue, 0, 0))
                )
            if name in ("clean", "erase"):
                self._seen = (self._ask(("LRANGE", command.keys[0], 0, -1))[0], None)

    def after(
        self, commands: Sequence[Command[object]], results: Sequence[object], now_ms: int
    ) -> None:
        """Book the answers."""
        for command, result in zip(commands, results, strict=True):
            if command.script is None or isinstance(result, CorruptData):
                continue
            if not command.keys or not self._keyspace.find_session(self._history_key(command)):
                continue
            history_key = self._history_key(command)
            session = self.sessions[history_key]
            self._book(session, command, result, now_ms)
            self._note_idle(session, now_ms)
            self._note_still(session, result, now_ms)

    def accept(self, history_key: str, job: str) -> None:
        """The producer of a job was told that it is in safe hands (I2)."""
        self.accepted.add((history_key, job))

    def is_drained(self, but: Collection[str] = ()) -> bool:
        """Whether no job is pending, as far as the answers tell; `but` says where one may be."""
        return not any(
            session.pending | session.delayed
            for history, session in self.sessions.items()
            if history not in but
        )

    def check_history(self, keys: SessionKeys) -> None:
        """I1, I3 and I4 from the messages as they lie in Redis."""
        session = self.sessions[keys.history]
        (current,) = self._ask(("LRANGE", keys.history, 0, -1))
        assert isinstance(current, list)
        epochs = [*session.archived, current]
        jobs = [job for epoch in epochs for job in _jobs(epoch)]
        if len(jobs) != len(set(jobs)):
            raise Violation(f"I1: a job has two turns: {jobs}")
        if set(jobs) != session.committed:
            raise Violation(f"turns {jobs} are not the commits {session.committed}")
        order = [session.seq_us[job] for job in jobs]
        if order != sorted(order):
            raise Violation(f"I3: turns are out of order: {jobs}")
        for epoch in epochs:
            self._check_what_was_seen(epoch)

    def check_accepted(self, but: Collection[str] = ()) -> None:
        """I2, once everything is drained: every job that was accepted is done."""
        for history_key, job in sorted(self.accepted):
            session = self.sessions[history_key]
            known = session.committed | session.gone | session.pending | session.delayed
            if history_key not in but and job not in known:
                raise Violation(f"I2: {job} of {history_key} was accepted and is lost")

    def check_merged(self, keys: SessionKeys) -> None:
        """Every job that was merged leads to one that is done."""
        session = self.sessions[keys.history]
        for job, into in session.merged_into.items():
            if into not in session.committed | session.gone:
                raise Violation(f"I2: {job} was merged into {into}, which is not done")

    def _check_what_was_seen(self, epoch: Sequence[bytes]) -> None:
        jobs = _jobs(epoch)
        for position, job in enumerate(jobs):
            seen = orjson.loads(epoch[2 * position])["seen"]
            if seen != jobs[:position]:
                raise Violation(f"I4: {job} was made from {seen}, not from {jobs[:position]}")

    def _book(  # noqa: C901 - one answer after the other
        self, session: Session, command: Command[object], result: object, now_ms: int
    ) -> None:
        job = str(command.args[0])
        match result:
            case Enqueued(EnqueueOutcome.NEW):
                if job in session.committed | session.gone:
                    raise Violation(f"I1: {job} is done and was taken in again")
                is_delayed = command.script is not None and command.script.name == "delay"
                (session.delayed if is_delayed else session.pending).add(job)
                if not is_delayed:
                    session.delayed.discard(job)
                self._book_taken_out(session, command, result)
            case Acquired():
                self._book_acquired(session, job, result)
            case Committed():
                self._book_commit(session, str(command.args[1]), str(command.args[0]), result)
            case True if command.script is not None and command.script.name == "fail":
                session.is_running = False
                session.not_before_ms = now_ms + int(command.args[1])
            case Discarded(DiscardOutcome.DISCARDED):
                self._book_gone(session, job)
                session.is_running = session.is_running and command.args[2] == ""
            case Erased() if job not in self._erasures:
                self._erasures.add(job)
                for one in self._queue:
                    self._book_gone(session, one)
                session.is_running = False
                assert isinstance(self._seen[0], list)
                session.archived.append(self._seen[0])
            case Cleaned(CleanOutcome.DELETED):
                history = self._seen[0]
                assert isinstance(history, list)
                session.archived.append(history)

    def _book_taken_out(
        self, session: Session, command: Command[object], enqueued: Enqueued
    ) -> None:
        if command.script is None or command.script.name not in ("supersede", "merge"):
            return
        left = self._pending(command)
        out = [job for job in self._queue if job not in left]
        for job in out:
            self._book_gone(session, job)
        if command.script.name == "merge":
            session.merged_into |= dict.fromkeys(out, str(command.args[0]))
        elif enqueued.stopping:
            session.is_running = False

    def _pending(self, command: Command[object]) -> list[str]:
        return pending(self._ask, self._keyspace, command)

    def _check_carried(self, session: Session, job: str, envelope: bytes) -> None:
        """A job that runs has the messages of all that were merged into it, or into those."""
        carried = {one.job_id for one in MergedEnvelope.parse(envelope).merged}
        expected: set[str] = set()
        found = {job}
        while found:
            found = {one for one, into in session.merged_into.items() if into in found}
            expected |= found
        if carried != expected:
            raise Violation(f"I2: {job} carries {sorted(carried)}, not {sorted(expected)}")

    def _book_acquired(self, session: Session, job: str, acquired: Acquired) -> None:
        match acquired.outcome:
            case AcquireOutcome.RUN:
                if job in session.committed | session.gone:
                    raise Violation(f"I1: {job} is done and runs again")
                self._check_carried(session, job, acquired.envelope)
                session.pending.add(job)
                session.seq_us[job] = acquired.seq_us
                session.is_running = True
            case AcquireOutcome.DEAD:
                self._book_gone(session, job)
                session.is_running = False
            case AcquireOutcome.DONE if job not in session.committed:
                raise Violation(f"{job} is not committed and was answered DONE")

    def _book_commit(self, session: Session, job: str, token: str, committed: Committed) -> None:
        was_committed = job in session.committed
        if was_committed != (committed.outcome is CommitOutcome.ALREADY):
            raise Violation(
                f"a {'repeated' if was_committed else 'first'} commit of {job} "
                f"was answered {committed.outcome}"
            )
        if committed.outcome is not CommitOutcome.OK:
            return
        if self._seen != ([token.encode(), job.encode()], [job.encode()]):
            raise Violation(f"I5: {job} was committed by {token} while {self._seen}")
        session.committed.add(job)
        session.pending.discard(job)
        session.is_running = False
        session.not_before_ms = 0
        self.commits += 1

    def _book_gone(self, session: Session, job: str) -> None:
        if job in session.committed | session.gone:
            raise Violation(f"{job} is done and was given up")
        session.gone.add(job)
        session.pending.discard(job)
        session.delayed.discard(job)
        session.not_before_ms = 0

    def _note_idle(self, session: Session, now_ms: int) -> None:
        if session.pending and not session.is_running:
            if session.idle_since_ms is None:
                session.idle_since_ms = max(now_ms, session.not_before_ms)
            return
        if session.idle_since_ms is not None:
            self.longest_idle_ms = max(self.longest_idle_ms, now_ms - session.idle_since_ms)
            session.idle_since_ms = None

    def _note_still(self, session: Session, result: object, now_ms: int) -> None:
        """How long a session with work has seen no attempt begin and no job end."""
        match result:
            case Acquired(AcquireOutcome.RUN) | Committed(CommitOutcome.OK):
                is_moving = True
            case Acquired(AcquireOutcome.DEAD) | Discarded(DiscardOutcome.DISCARDED):
                is_moving = True
            case _:
                is_moving = False
        if is_moving and session.still_since_ms is not None:
            still_ms = now_ms - session.still_since_ms
            self.longest_still_ms = max(self.longest_still_ms, still_ms)
            session.still_since_ms = None
        if not session.pending:
            session.still_since_ms = None
        elif session.still_since_ms is None:
            session.still_since_ms = now_ms

    def _history_key(self, command: Command[object]) -> str:
        key = command.keys[0]
        return key[key.index("{") + 1 : -1] if "{" in key else key


def _jobs(messages: Sequence[bytes]) -> list[str]:
    """The jobs of the turns, two messages each."""
    jobs = [str(orjson.loads(message)["job_id"]) for message in messages]
    if jobs[::2] != jobs[1::2]:
        raise Violation(f"turns are torn apart: {jobs}")
    return jobs[::2]
