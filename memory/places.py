"""Places at a model: how many calls each server gets at once, from all workers, and who is next.

There is one line for a model, whatever the number of its servers. A place is taken under the token
of a session's lease, renewed with that lease, and left in the pipeline that ends the turn. A
session that gets none stands in line: the agents are served in turn, and of each agent the job that
arrived first. Who leaves is told who is called; a place is kept for those for a while. A mailbox
whose head stands in line is still a mailbox: its sweeper only has more patience, so nothing that is
lost here can keep a job for good.

Pure, as `mailbox`: methods name calls, which an executor sends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from memory import scripts
from memory.call import Argument, Call, Script, forgiving
from memory.codes import raw, read_flag, read_ok, read_ok_integer, senseless
from memory.index import Entry, newest, touch_index
from memory.keys import Keyspace, PlaceKeys, SessionKeys
from memory.mailbox import Mailbox
from memory.outcomes import Swept
from memory.replies import integer

TTL_MS = 24 * 3600 * 1000
LINE_MS = 120_000
"""How long a mailbox whose head stands in line is left to be called."""
LINES_MAX = 1000

PLACE = Script.load("place")
HOLD = Script.load("hold")
STAND = Script.load("stand")
LEAVE = Script.load("leave")
LAPSE = Script.load("lapse")
CALL = Script.load("call")
SCRIPTS = (PLACE, HOLD, STAND, LEAVE, LAPSE, CALL)


@dataclass(frozen=True, slots=True)
class InLine:
    """Where a session stands: so many are called before it, which takes about `wait_ms`; None
    where no call has ended yet."""

    ahead: int
    wait_ms: int | None


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How full a model is: places taken or kept at each server, sessions in line, mean length of a
    call."""

    taken: tuple[int, ...]
    waiting: int
    call_ms: float | None

    def wait_ms(self, limit: int) -> float | None:
        """About how long a session waits that comes now; None where nobody can say."""
        if not self.waiting and any(taken < limit for taken in self.taken):
            return 0.0
        if self.call_ms is None:
            return None
        return (self.waiting + 1) * self.call_ms / (limit * len(self.taken))


@dataclass(frozen=True, slots=True)
class Places:
    """The calls on the places at one model, of which each of the `servers` has `limit`.

    `now_us` replaces the server's clock, for simulation. Each is safe to repeat after a lost reply;
    each may raise CorruptData when sent: a key holds another type than ours.
    """

    keyspace: Keyspace
    model: str
    servers: tuple[str, ...]
    limit: int
    now_us: int | None = None

    @property
    def keys(self) -> PlaceKeys:
        """The keys of the model at these servers."""
        return self.keyspace.places(self.model, self.servers)

    def take(
        self, session: SessionKeys, token: str, *, lease_ms: int, servers: Sequence[str] = ()
    ) -> Call[str | None]:
        """Take a place for the holder of a session's lease, at one of `servers`, the best first.

        The server; None: give the lease back, then stand.
        """
        others = [server for server in self.servers if servers and server not in servers]
        known = (*(servers or self.servers), *others)
        choice = len(known) - len(others)
        keys = self.keyspace.places(self.model, known)
        return Call(
            lambda reply: _read_taken(reply, known),
            (self._name(session), token, lease_ms, self.limit, choice, TTL_MS, self._clock()),
            (keys.line, keys.turns, keys.arrivals, keys.pace, *keys.places),
            PLACE,
        )

    def hold(self, token: str, *, lease_ms: int) -> Call[bool]:
        """Prolong a place; False: it is lost."""
        return Call(read_flag, (token, lease_ms, TTL_MS, self._clock()), self.keys.places, HOLD)

    def stand(self, session: SessionKeys, *, arrived_us: int) -> Call[InLine]:
        """Have a session stand in line; its lease was given back before."""
        keys = self.keys
        return Call(
            _read_in_line,
            (self._name(session), f"{arrived_us:016d}", self.limit, TTL_MS),
            (keys.line, keys.turns, keys.arrivals, keys.pace, *keys.places),
            STAND,
        )

    def leave(self, token: str, *, took_ms: int) -> Call[bool]:
        """Give a place back that was taken for so long; `call_next` goes with it."""
        return self._leave(token, took_ms)

    def pass_on(self, session: SessionKeys) -> Call[bool]:
        """Give the place back that is kept for a session which will not come; as `leave`."""
        return self._leave(self._name(session), "")

    def lapse(self) -> Call[int]:
        """Take back what nobody gave back: how many places. `call_next` goes with it."""
        keys = self.keys
        args = (TTL_MS, self._clock())
        return Call(
            read_ok_integer, args, (keys.line, keys.turns, keys.arrivals, *keys.places), LAPSE
        )

    def call_next(self, *, reserve_ms: int, servers: Sequence[str] = ()) -> Call[list[SessionKeys]]:
        """Call who is next to each place that is free at `servers`: the sessions to wake.

        A place is kept for each for `reserve_ms`.
        """
        keys = self.keyspace.places(self.model, servers or self.servers)
        args = (self.limit, reserve_ms, TTL_MS, self._clock())
        return Call(self._read_called, args, (keys.line, keys.turns, *keys.places), CALL)

    def note(self) -> Call[int]:
        """Put the model on the sweeper's list; to be sent before `stand`."""
        return forgiving(touch_index(self.keyspace.lines, self.keys.tag), 0)

    def waiting(self) -> Call[int]:
        """How many sessions stand in line."""
        return Call(integer, ("ZCARD", self.keys.line))

    def taken(self) -> list[Call[int]]:
        """How many places are taken or kept at each server."""
        return [Call(integer, ("ZCARD", places)) for places in self.keys.places]

    def mean_ms(self) -> Call[float | None]:
        """How long a place is taken in the mean."""
        return Call(_read_mean, ("HGET", self.keys.pace, "mean_ms"))

    def _leave(self, who: str, took_ms: Argument) -> Call[bool]:
        keys = self.keys
        args = (who, took_ms, TTL_MS)
        return Call(read_flag, args, (keys.arrivals, keys.pace, *keys.places), LEAVE)

    def _read_called(self, reply: object) -> list[SessionKeys]:
        before = f"{self.keyspace.prefix}:history:"
        names = [raw(name).decode(errors="replace") for name in read_ok(reply)]
        return [self.keyspace.parse_history(before + name) for name in names]

    def _name(self, session: SessionKeys) -> str:
        return session.history.removeprefix(f"{self.keyspace.prefix}:history:")

    def _clock(self) -> int | str:
        return "" if self.now_us is None else self.now_us


def lines(keyspace: Keyspace) -> Call[list[Entry]]:
    """The models in whose line somebody stood, the last first; a member is a `PlaceKeys.tag`."""
    return newest(keyspace.lines, until_ms=None, skip=0, limit=LINES_MAX)


def model_of(tag: str) -> str:
    """The model that a `PlaceKeys.tag` names."""
    return unquote(tag)


def summon(mailbox: Mailbox, *, grace_ms: int) -> tuple[Call[int], Call[None], Call[Swept]]:
    """SWEEP for a mailbox whose head is called out of line: it need not wait any more.

    As after every wake-up, the sweeper looks again when `grace_ms` have passed.
    """
    keys = mailbox.keys
    look = forgiving(
        scripts.look(
            mailbox.keyspace.due,
            history_key=keys.history,
            delay_ms=grace_ms,
            now_us=mailbox.now_us,
        ),
        0,
    )
    forget: Call[None] = Call(lambda _: None, ("HDEL", keys.lease, "line_until"))
    return look, forget, mailbox.sweep(grace_ms)


def last_turn_us(keys: SessionKeys) -> Call[int]:
    """When a session's last turn was committed, µs; 0 where there was none for a week.

    A job arrives at a model when it was sent, or when the turn before it ended if that is later.
    """
    return Call(_read_last_turn, ("ZRANGE", keys.done, -1, -1, "WITHSCORES"))


def _read_last_turn(reply: object) -> int:
    match reply:
        case []:
            return 0
        case [bytes(), bytes(at_ms)]:
            return max(0, round(float(at_ms) * 1000))
    raise senseless(reply)


def _read_taken(reply: object, servers: Sequence[str]) -> str | None:
    match reply:
        case [b"FULL"]:
            return None
        case [b"TAKEN", int(number)] if 1 <= number <= len(servers):
            return servers[number - 1]
        case [b"CORRUPT", *_]:
            read_ok(reply)
    raise senseless(reply)


def _read_in_line(reply: object) -> InLine:
    match read_ok(reply):
        case [int(ahead), int(wait_ms)]:
            return InLine(ahead, None if wait_ms < 0 else wait_ms)
    raise senseless(reply)


def _read_mean(reply: object) -> float | None:
    return None if reply is None else float(raw(reply))
