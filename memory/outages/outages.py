"""Model servers that are away, and the sessions whose heads wait until one of them is back.

A job whose model's servers are away is given back, its attempt not counted, and its session is
parked at each of them. A server that is well, but full or without memory for one model, is away for
that model only. Of all workers one at a time looks whether a server is back (LOOK). When it
is, the sessions are woken in the order in which they were parked, a batch with each look. As with
slots, the list only says who is next: the job is still in its mailbox, whose sweeper waits longer
for it, so what is lost here delays a job and loses nothing. Why it is so is in docs/decisions.md.

What an operator has paused (memory/pauses) is waited for in the same way: a look asks then whether
it is paused still.

Pure, as `mailbox`: methods return commands, which an executor sends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from memory.errors import CorruptData
from memory.key_groups import OutageKeys
from memory.keys import Keyspace, SessionKeys
from memory.lifetimes import OUTAGE_TTL_MS
from memory.priority import Priority
from memory.records.index import Entry, forget, newest, oldest, touch_index
from memory.redis.command import Command, LuaScript, ignore_corrupt
from memory.redis.replies import after_ok, code_and_rest, integer, raw, text, unexpected_reply

PARKED_MS = 600_000
"""How long no sweeper wakes a mailbox whose head waits for its model's servers, at most."""
LOOK_LEASE_MS = 10_000
"""How long one look at a server may take before another worker looks."""
LOOK_PAUSE_MS = 1000
UNWATCHED_MS = 30_000
"""A server that no worker has looked at for so long is used by none any more."""
FIRST_BATCH, FIRST_OF_MODEL, MOST_AT_ONCE = 16, 2, 512
QUIET_MS, QUIET_OF_MODEL_MS = 5000, 60_000
"""How long a server must have answered before its outage is over: it may be going up and down."""
LOOKED_THROUGH = 100
"""So many that wait are looked through at once for those whose jobs have ended."""
MAX_SERVERS = 2000
PAUSED = "paused"
"""Stands in the place of a server's address where sessions wait for what is paused."""

PARK = LuaScript.load("outages", "park")
LOOK = LuaScript.load("outages", "look")
NOTE_LOOK = LuaScript.load("outages", "note_look")
SCRIPTS = (PARK, LOOK, NOTE_LOOK)


@dataclass(frozen=True, slots=True)
class Parked:
    """Since when the server is away (Unix time, ms), and whether that was not known before."""

    since_ms: int
    is_new: bool


class LookOutcome(StrEnum):
    """Whether the caller is to look at a server, and if not, why."""

    NONE = "NONE"
    LATER = "LATER"
    LOOK = "LOOK"


@dataclass(frozen=True, slots=True)
class Look:
    """The answer to LOOK. `is_away`: the server has not answered since it was last asked."""

    outcome: LookOutcome
    is_away: bool = False


class NotedOutcome(StrEnum):
    """How it stands with a server after a look."""

    NONE = "NONE"
    AWAY = "AWAY"
    BACK = "BACK"
    OVER = "OVER"


@dataclass(frozen=True, slots=True)
class NotedLook:
    """The answer to NOTE_LOOK.

    AWAY, BACK and OVER fill `since_ms`; BACK fills `to_wake`, in order; OVER fills `lasted_ms` and
    `jobs`, how many have waited.
    """

    outcome: NotedOutcome
    since_ms: int = 0
    to_wake: tuple[Entry, ...] = ()
    lasted_ms: int = 0
    jobs: int = 0


@dataclass(frozen=True, slots=True)
class ServerOutage:
    """The outage of one server. `is_away` is false where it is back and sessions are woken."""

    outage: "Outage"
    since_ms: int
    is_away: bool


@dataclass(frozen=True, slots=True)
class Outage:
    """The commands on the outage of one server, if there is one; with a `model` for that alone.

    With PAUSED for its server it is a pause, and `model` says of what, in one word or two.

    Each may raise CorruptData when sent: a key holds another type than ours.
    """

    keyspace: Keyspace
    server: str
    model: str = ""

    @classmethod
    def of(cls, keyspace: Keyspace, name: str) -> "Outage":
        """The one of this `name`."""
        # Neither an address nor the name of a model has a space in it.
        server, _, model = name.partition(" ")
        return cls(keyspace, server, model)

    @classmethod
    def of_pause(cls, keyspace: Keyspace, target: str) -> "Outage":
        """That of what is paused, as memory/pauses writes it."""
        return cls(keyspace, PAUSED, target)

    @property
    def is_pause(self) -> bool:
        """Whether an operator has made it."""
        return self.server == PAUSED

    @property
    def name(self) -> str:
        """What tells it from all others: the server's address, and the model."""
        return f"{self.server} {self.model}".strip()

    @property
    def keys(self) -> OutageKeys:
        """Its keys."""
        return self.keyspace.outage(self.name)

    def note(self) -> Command[int]:
        """Put the server on the list of those that are away; send it before `park`."""
        # Before: who dies in between leaves a server that is looked at for nothing, not a session
        # that nobody looks for.
        return ignore_corrupt(touch_index(self.keyspace.outages, self.name), 0)

    def park(
        self,
        session: SessionKeys,
        *,
        is_first: bool,
        pause_ms: int = 0,
        place_us: int = 0,
        priority: Priority = Priority.NORMAL,
    ) -> Command[Parked]:
        """Have a session wait until the server is back, behind all that are as urgent or more; its
        lease was given back before.

        `is_first`: its job has not waited before; `pause_ms`: how long the server wants to be left
        alone; `place_us`: its place among those that are as urgent, when its job was sent, or 0 for
        the last.
        """
        name = session.history.removeprefix(f"{self.keyspace.prefix}:history:")
        return PARK.command(
            _read_parked,
            self.keys,
            session=name,
            priority=priority,
            is_first=int(is_first),
            pause_ms=max(LOOK_PAUSE_MS, pause_ms),
            place_us=place_us,
            ttl_ms=OUTAGE_TTL_MS,
        )

    def look(self, *, is_ours: bool) -> Command[Look]:
        """Ask to be the one that looks at the server. One that is not ours is looked at, and then
        counts as back, when no worker has done so for UNWATCHED_MS."""
        unwatched_ms = 0 if is_ours else UNWATCHED_MS
        return LOOK.command(
            _read_look, self.keys, lease_ms=LOOK_LEASE_MS, unwatched_ms=unwatched_ms
        )

    def note_look(self, *, answers: bool) -> Command[NotedLook]:
        """Note what the look has shown. Wake the sessions `to_wake`, and then `take_off`."""
        is_of_model = bool(self.model) and not self.is_pause
        return NOTE_LOOK.command(
            _read_noted,
            self.keys,
            answers=int(answers),
            pause_ms=LOOK_PAUSE_MS,
            batch=FIRST_OF_MODEL if is_of_model else FIRST_BATCH,
            most=MOST_AT_ONCE,
            quiet_ms=QUIET_OF_MODEL_MS if is_of_model else QUIET_MS,
            ttl_ms=OUTAGE_TTL_MS,
        )

    def take_off(self, woken: Sequence[Entry]) -> Command[int]:
        """Take sessions off the list, except those that were parked again since they were read."""
        return forget(self.keys.parked, woken)

    def state(self) -> Command[ServerOutage | None]:
        """The outage as it stands; None where the server is not away."""
        return Command(self._read_state, ("HMGET", self.keys.outage, "since", "back_at"))

    def waiting(self) -> Command[int]:
        """How many sessions wait."""
        return Command(integer, ("ZCARD", self.keys.parked))

    def parked(self, *, skip: int) -> Command[list[Entry]]:
        """Some of those that wait, behind the first `skip` of them."""
        return oldest(self.keys.parked, skip=skip, limit=LOOKED_THROUGH)

    def session(self, entry: Entry) -> SessionKeys | None:
        """The session that a parked entry names; None where another program has written it."""
        return self.keyspace.find_session(f"{self.keyspace.prefix}:history:{entry.member}")

    def _read_state(self, reply: object) -> ServerOutage | None:
        match reply:
            case [None, _]:
                return None
            case [bytes(since_ms), back_at] if since_ms.isdigit():
                return ServerOutage(self, int(since_ms), back_at is None)
        raise unexpected_reply(reply)


def servers_away(keyspace: Keyspace) -> Command[list[Entry]]:
    """The names of the outages of late, the latest first."""
    return newest(keyspace.outages, limit=MAX_SERVERS)


def _read_parked(reply: object) -> Parked:
    match after_ok(reply):
        case [int(since_ms), int(is_new)]:
            return Parked(since_ms, is_new == 1)
    raise unexpected_reply(reply)


def _read_look(reply: object) -> Look:
    outcome, rest = code_and_rest(LookOutcome, reply)
    match outcome, rest:
        case LookOutcome.NONE, []:
            return Look(outcome)
        case ((LookOutcome.LATER | LookOutcome.LOOK), [int(is_away)]):
            return Look(outcome, is_away == 1)
    raise unexpected_reply(reply)


def _read_noted(reply: object) -> NotedLook:
    outcome, rest = code_and_rest(NotedOutcome, reply)
    match outcome, rest:
        case NotedOutcome.NONE, []:
            return NotedLook(outcome)
        case NotedOutcome.AWAY, [int(since_ms)]:
            return NotedLook(outcome, since_ms)
        case NotedOutcome.BACK, [int(since_ms), *woken] if len(woken) % 2 == 0:
            return NotedLook(outcome, since_ms, _entries(woken))
        case NotedOutcome.OVER, [int(since_ms), int(lasted_ms), int(jobs)]:
            return NotedLook(outcome, since_ms, lasted_ms=lasted_ms, jobs=jobs)
    raise unexpected_reply(reply)


def _entries(woken: Sequence[object]) -> tuple[Entry, ...]:
    try:
        return tuple(
            Entry(text(name), float(raw(place)))
            for name, place in zip(woken[::2], woken[1::2], strict=True)
        )
    except ValueError as exc:
        raise CorruptData("the position of a waiting session is not a number") from exc
