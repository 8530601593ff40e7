"""The books of the ends of jobs: who a job is, how it ended, what was stored and sent for it.

`Ends` looks on at every call, as the ledger does; the store of the results and the broker of what
follows a job are here too.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import hiredis

from memory.errors import CorruptData
from memory.keys import Keyspace, SessionKeys
from memory.mailbox.intake import Enqueued, EnqueueOutcome
from memory.mailbox.netstrings import netstrings
from memory.mailbox.outbox import End
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
from memory.records.event import ENDINGS, Event, parsed
from memory.records.history import Erased
from memory.redis.command import Command
from tests.support.mailbox.violation import Violation

TAKES_IN = {"enqueue", "interrupt", "supersede", "merge", "delay"}


@dataclass(frozen=True)
class Claim:
    """By which right somebody delivers: a name, and until when it surely holds, ms."""

    owner: str
    until_ms: int


@dataclass
class Publication:
    """What follows a job was sent: with which outcome, by whom."""

    kind: str
    claim: Claim


@dataclass
class Job:
    """What is known of one job."""

    history_key: str
    digest: str | None = None
    """None where it was only cancelled."""
    has_callbacks: bool = False
    kind: str = ""
    """How it ended, as the type of its last event; empty while it waits or runs."""
    into: str = ""
    ended_ms: int = 0
    erased_at: int = -1
    """The number of the call by which it was erased."""
    had_event_at: int = -1
    """The number of the call that wrote its last event into the stream."""
    may_have_letter: bool = True
    results: list[tuple[str, str]] = field(default_factory=list)
    stored_ms: int | None = None
    sent: list[Publication] = field(default_factory=list)
    unsure: set[str] = field(default_factory=set)
    """Who stored a result without a claim, and has not asked yet whether that was right: where it
    dies before, nobody does."""


class Ends:
    """Looks on at every call, stores results, sends what follows."""

    def __init__(self, ask: Callable[..., list[object]], keyspace: Keyspace) -> None:
        self._ask = ask
        self._keyspace = keyspace
        self.jobs: dict[str, Job] = {}
        self.is_clock_set = False
        """Whether the server's clock is set meanwhile: then no claim surely holds."""
        self._calls = 0
        self._queue: dict[str, list[str]] = {}
        self._untouched: dict[str, object] = {}
        self._erasures: set[str] = set()
        self._removed_at: dict[str, int] = defaultdict(int)
        """The number of the last call that removed a session's stream."""

    # ---- looking on

    def before(self, commands: Sequence[Command[object]]) -> None:
        """Look at what is about to be changed."""
        self._untouched = {}
        for command in commands:
            name = command.script.name if command.script else ""
            if name in TAKES_IN and self._is_anothers(command):
                owner = self.jobs[str(command.args[0])].history_key
                self._untouched = self._dump(owner, command.keys[0])
            if name in TAKES_IN or name == "erase":
                self._queue[command.keys[0]] = self._pending(command)

    def after(
        self, commands: Sequence[Command[object]], results: Sequence[object], now_ms: int
    ) -> None:
        """Book the answers."""
        for command, result in zip(commands, results, strict=True):
            self._calls += 1
            if command.script is not None and not isinstance(result, CorruptData):
                self._book(command, result, now_ms)

    def _book(self, command: Command[object], result: object, now_ms: int) -> None:
        job = str(command.args[0])
        history_key = command.keys[0] if command.keys else ""
        match result:
            case Enqueued():
                self._book_enqueued(command, result, now_ms)
            case Committed(CommitOutcome.OK):
                self._end(history_key, str(command.args[1]), "done", now_ms)
            case Acquired(AcquireOutcome.DEAD):
                self._end(history_key, job, "failed", now_ms)
            case Discarded(DiscardOutcome.DISCARDED):
                ending = _argument(command, "ending")
                kind = "cancelled" if ending == "cancelled" else "failed"
                self._end(history_key, job, kind, now_ms)
                self.jobs[job].may_have_letter = ending == "dead"
            case Cleaned(CleanOutcome.DELETED):
                self._removed_at[history_key] = self._calls
            case Erased() if job not in self._erasures:
                self._erasures.add(job)
                self._book_erased(history_key, now_ms)

    def _book_enqueued(self, command: Command[object], result: Enqueued, now_ms: int) -> None:
        job, history_key = str(command.args[0]), command.keys[0]
        if self._is_anothers(command):
            if result.outcome is not EnqueueOutcome.CONFLICT:
                raise Violation(f"I13: {job} is another's, and was answered {result.outcome}")
            owner = self.jobs[job].history_key
            if self._dump(owner, history_key) != self._untouched:
                raise Violation(f"I13: {job} is another's, and its sender changed something")
            return
        if result.outcome is EnqueueOutcome.CONFLICT:
            raise Violation(f"I13: {job} was refused to the one whose it is")
        if result.outcome is not EnqueueOutcome.NEW:
            return
        callbacks = _argument(command, "its_callbacks")
        self.jobs[job] = Job(history_key, _identity(command), has_callbacks=bool(callbacks))
        assert command.script is not None
        is_merge = command.script.name == "merge"
        for other in self._queue[history_key]:
            if other not in self._pending(command):
                self._end(history_key, other, "merged" if is_merge else "cancelled", now_ms)
                self.jobs[other].into = job if is_merge else ""

    def _book_erased(self, history_key: str, now_ms: int) -> None:
        waiting = self._queue[history_key]
        self._removed_at[history_key] = self._calls
        for job in waiting:
            self._end(history_key, job, "erased", now_ms)
        for job, one in self.jobs.items():
            if one.history_key == history_key and one.kind and job not in waiting:
                one.kind, one.into, one.ended_ms, one.stored_ms = "erased", "", now_ms, None
                one.erased_at = self._calls

    def _end(self, history_key: str, job: str, kind: str, now_ms: int) -> None:
        one = self.jobs.setdefault(job, Job(history_key))
        if one.kind:
            raise Violation(f"I11: {job} ended as {one.kind}, and again as {kind}")
        one.kind, one.ended_ms, one.had_event_at = kind, now_ms, self._calls
        if kind == "erased":
            one.erased_at = self._calls

    def _is_anothers(self, command: Command[object]) -> bool:
        known = self.jobs.get(str(command.args[0]))
        if known is None or known.digest is None:
            return False
        return (known.history_key, known.digest) != (command.keys[0], _identity(command))

    def _pending(self, command: Command[object]) -> list[str]:
        return pending(self._ask, self._keyspace, command)

    def _dump(self, *history_keys: str) -> dict[str, object]:
        keys = [key for history in history_keys for key in all_keys(self._keyspace, history)]
        return dict(zip(keys, self._ask(*(("DUMP", key) for key in keys)), strict=True))

    # ---- storing and sending

    def store(self, keys: SessionKeys, end: End, claim: Claim, now_ms: int) -> None:
        """The store of the results keeps what it is given, as Celery's does."""
        if end.job_id not in self.jobs:
            return  # of a session that is not watched
        one = self.jobs[end.job_id]
        self._check_right(keys, end, claim, now_ms)
        result = (end.event.type.value, str(end.event.data.get("into", end.event.text)))
        if one.results[-1:] == [result]:
            return
        is_in_time = now_ms < claim.until_ms and not self.is_clock_set
        if one.results and result[0] != "erased" and is_in_time:
            rule = "I15" if one.results[-1][0] == "erased" else "I11"
            raise Violation(f"{rule}: {end.job_id} was {one.results}, and is stored as {result}")
        if one.results and result[0] != "erased":
            one.unsure.add(claim.owner)
        one.results.append(result)
        if result[0] == one.kind and one.stored_ms is None:
            one.stored_ms = now_ms

    def note_delivered(self, job: str, claim: Claim) -> None:
        """Somebody has asked whether what it stored was right."""
        if job in self.jobs:
            self.jobs[job].unsure.discard(claim.owner)

    def send(self, keys: SessionKeys, end: End, job: str, claim: Claim, now_ms: int) -> None:
        """The broker takes what follows a job, under an id made from it."""
        if job not in self.jobs:
            return
        self._check_right(keys, end, claim, now_ms)
        one = self.jobs[job]
        for before in one.sent:
            until_ms = 0 if self.is_clock_set else min(before.claim.until_ms, claim.until_ms)
            if before.claim.owner != claim.owner and now_ms < until_ms:
                raise Violation(
                    f"I12: what follows {job} was sent by two that had the claim: "
                    f"{before.claim} and at {now_ms} {claim}"
                )
        one.sent.append(Publication(end.event.type.value, claim))

    def _check_right(self, keys: SessionKeys, end: End, claim: Claim, now_ms: int) -> None:
        """Who has a claim has it alone: the outbox names it."""
        if self.is_clock_set or now_ms >= claim.until_ms:
            return
        (stored,) = self._ask(("HGET", keys.outbox, end.job_id))
        one = self.jobs[end.job_id]
        was_erased = one.kind == "erased" != end.event.type.value
        # Somebody that was late has delivered it all the same.
        is_delivered = stored is None and bool(one.results)
        if was_erased or is_delivered:
            return
        if stored is None or stored.split(b" ")[2] != claim.owner.encode():  # type: ignore[attr-defined]  # bytes
            raise Violation(f"I12: {claim.owner} has the claim on {end.job_id}, another too")

    # ---- when all is done

    def latest_ms(self, since_ms: int, but: set[str]) -> int:
        """How long the latest result took from the end of its job, or from `since_ms`."""
        waits = [0]
        for one in self.jobs.values():
            if one.kind and one.stored_ms is not None and one.history_key not in but:
                waits.append(one.stored_ms - max(one.ended_ms, since_ms))
        return max(waits)

    def check(self, keys: SessionKeys) -> None:
        """I11, I12 and I15 of one session, once nothing is pending."""
        (stored,) = self._ask(("HKEYS", keys.outbox))
        if stored:
            raise Violation(f"I11: ends of {stored} are not delivered")
        letters = self._ask(("LRANGE", keys.dead, 0, -1))[0]
        assert isinstance(letters, list)
        for letter in (next(netstrings(letter)).decode() for letter in letters):
            if not self.jobs[letter].may_have_letter:
                raise Violation(f"I16: {letter} has failed for good, and has a dead letter")
        told = self._last_events(keys)
        for job, one in self.jobs.items():
            if one.history_key == keys.history and one.kind:
                self._check_job(keys, job, one, told.get(job, []))

    def _check_job(self, keys: SessionKeys, job: str, one: Job, told: list[Event]) -> None:
        results = [kind for kind, _ in one.results]
        if (results[-1:] != [one.kind] and not one.unsure) or len(set(results)) > 2:
            raise Violation(f"I11: {job} ended as {one.kind}, its results are {results}")
        if one.kind == "merged" and one.results[-1][1] != one.into:
            raise Violation(f"I11: {job} was merged into {one.into}, its result says otherwise")
        (mark,) = self._ask(("ZSCORE", keys.done, job))
        if mark is None or (one.kind == "done" and float(mark) < 0):  # type: ignore[arg-type]  # bytes
            raise Violation(f"I11: {job} ended as {one.kind}, its mark is {mark!r}")
        is_there = one.had_event_at > self._removed_at[keys.history]
        if is_there and [event.type.value for event in told] != [one.kind]:
            raise Violation(f"I11: {job} ended as {one.kind}, its last events are {told}")
        self._check_callbacks(job, one)

    def _check_callbacks(self, job: str, one: Job) -> None:
        if not one.has_callbacks:
            return
        carrier, seen = one, {job}
        while carrier.kind == "merged" and carrier.into not in seen:
            seen.add(carrier.into)
            carrier = self.jobs[carrier.into]
        if not one.sent:
            raise Violation(f"I12: nothing was sent of what follows {job}, which ended {one.kind}")
        kinds = {sent.kind for sent in one.sent}
        if not kinds & {carrier.kind, "erased"} and carrier.kind != "erased":
            raise Violation(f"I12: what follows {job} was sent as {kinds}, not {carrier.kind}")

    def _last_events(self, keys: SessionKeys) -> dict[str, list[Event]]:
        (entries,) = self._ask(("XRANGE", keys.events, "-", "+"))
        assert isinstance(entries, list)
        last: dict[str, list[Event]] = defaultdict(list)
        for _, fields in entries:
            event = parsed(fields[1], keys.cipher)
            if event.type in ENDINGS:
                last[event.job_id].append(event)
        return last

    def check_erased(self, keys: SessionKeys, word: Callable[[str], str]) -> None:
        """I15: no word of an erased job is in any key of its session, nor in its result."""
        stored = [self._text(key) for key in all_keys(self._keyspace, keys.history)]
        for job, one in self.jobs.items():
            if one.history_key != keys.history or one.kind != "erased":
                continue
            if any(word(job).encode() in text for text in stored):
                raise Violation(f"I15: words of {job} are left after it was erased")
            if one.results and word(job) in one.results[-1][1] and not one.unsure:
                raise Violation(f"I15: the result of {job} is left after it was erased")

    def _text(self, key: str) -> bytes:
        (kind,) = self._ask(("TYPE", key))
        reads: dict[object, tuple[str | int, ...]] = {
            b"list": ("LRANGE", key, 0, -1),
            b"hash": ("HGETALL", key),
            b"zset": ("ZRANGE", key, 0, -1),
            b"stream": ("XRANGE", key, "-", "+"),
            b"string": ("GET", key),
        }
        return b"" if kind == b"none" else repr(self._ask(reads[kind])[0]).encode()


def pending(
    ask: Callable[..., list[object]], keyspace: Keyspace, command: Command[object]
) -> list[str]:
    """The jobs that a command may end: those of its session's queue, and all that are delayed
    where it erases."""
    queues = [command.keys[1]]
    if command.script is not None and command.script.name == "erase":
        queues.append(keyspace.parse_history(command.keys[0]).delayed)
    return [job for queue in queues for job in _members(ask, queue)]


def _members(ask: Callable[..., list[object]], queue: str) -> list[str]:
    """The jobs in a queue; none where it is of another type."""
    try:
        (reply,) = ask(("ZRANGE", queue, 0, -1))
    except hiredis.ReplyError as error:
        if "WRONGTYPE" in str(error):
            return []
        raise
    assert isinstance(reply, list)
    return [job.decode() for job in reply]


NO_KEYS = ("agent_id", "session_id", "cipher", "is_archived")


def all_keys(keyspace: Keyspace, history_key: str) -> list[str]:
    """Every key of a session."""
    keys = keyspace.parse_history(history_key)
    names = [name for name in keys.__slots__ if name not in NO_KEYS]
    return [getattr(keys, name) for name in names]


def _argument(command: Command[object], name: str) -> object:
    assert command.script is not None
    return command.args[command.script.arguments.index(name)]


def _identity(command: Command[object]) -> str:
    return str(_argument(command, "request"))[:32]
