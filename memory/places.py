"""Places at a model: how many calls it gets at once, from all workers, and who is next.

A place is taken under the token of a session's lease, renewed with that lease, and left in the
pipeline that ends the turn. A session that gets none stands in line: the agents are served in
turn, and of each agent the job that arrived first. Who leaves is told who is called; a place is
kept for those for a while. A mailbox whose head stands in line is still a mailbox: its sweeper only
has more patience, so nothing that is lost here can keep a job for good.

Pure, as `mailbox`: methods name calls, which an executor sends.
"""

from dataclasses import dataclass
from urllib.parse import unquote

from memory import scripts
from memory.call import Argument, Call, Script
from memory.codes import raw, read_flag, read_ok, senseless
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
CALL = Script.load("call")
SCRIPTS = (PLACE, HOLD, STAND, LEAVE, CALL)


@dataclass(frozen=True, slots=True)
class InLine:
    """Where a session stands: so many are called before it, which takes about `wait_ms`; None
    where no call has ended yet."""

    ahead: int
    wait_ms: int | None


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How full a model is: places taken or kept, sessions in line, mean length of a call."""

    taken: int
    waiting: int
    call_ms: float | None

    def wait_ms(self, limit: int) -> float | None:
        """About how long a session waits that comes now; None where nobody can say."""
        if not self.waiting and self.taken < limit:
            return 0.0
        return None if self.call_ms is None else (self.waiting + 1) * self.call_ms / limit


@dataclass(frozen=True, slots=True)
class Places:
    """The calls on the places at one model of one server, of which there are `limit`.

    `now_us` replaces the server's clock, for simulation. Each is safe to repeat after a lost reply;
    each may raise CorruptData when sent: a key holds another type than ours.
    """

    keyspace: Keyspace
    keys: PlaceKeys
    limit: int
    now_us: int | None = None

    def take(self, session: SessionKeys, token: str, *, lease_ms: int) -> Call[bool]:
        """Take a place for the holder of a session's lease; False: give that back, then stand."""
        args = (self._name(session), token, lease_ms, self.limit, TTL_MS, self._clock())
        return Call(read_flag, args, self._keys(), PLACE)

    def hold(self, token: str, *, lease_ms: int) -> Call[bool]:
        """Prolong a place; False: it is lost."""
        return Call(read_flag, (token, lease_ms, TTL_MS, self._clock()), (self.keys.places,), HOLD)

    def stand(self, session: SessionKeys, *, arrived_us: int) -> Call[InLine]:
        """Have a session stand in line; whoever gets another place first leaves it there."""
        args = (self._name(session), f"{arrived_us:016d}", self.limit, TTL_MS)
        return Call(_read_in_line, args, self._keys(), STAND)

    def leave(self, token: str, *, took_ms: int) -> Call[bool]:
        """Give a place back that was taken for so long; `call_next` goes with it."""
        return self._leave(token, took_ms)

    def pass_on(self, session: SessionKeys) -> Call[bool]:
        """Give the place back that is kept for a session which will not come; as `leave`."""
        return self._leave(self._name(session), "")

    def call_next(self, *, reserve_ms: int) -> Call[list[SessionKeys]]:
        """Call who is next to each free place: the sessions to wake.

        A place is kept for each for `reserve_ms`.
        """
        args = (self.limit, reserve_ms, TTL_MS, self._clock())
        return Call(self._read_called, args, self._keys()[:4], CALL)

    def note(self) -> Call[int]:
        """Put the model on the sweeper's list; to be sent before `stand`."""
        return touch_index(self.keyspace.lines, self.keys.tag)

    def waiting(self) -> Call[int]:
        """How many sessions stand in line."""
        return Call(integer, ("ZCARD", self.keys.line))

    def occupancy(self) -> tuple[Call[int], Call[int], Call[float | None]]:
        """What `Occupancy` is made of."""
        return (
            Call(integer, ("ZCARD", self.keys.places)),
            self.waiting(),
            Call(_read_mean, ("HGET", self.keys.pace, "mean_ms")),
        )

    def _leave(self, who: str, took_ms: Argument) -> Call[bool]:
        keys = (self.keys.places, self.keys.arrivals, self.keys.pace)
        return Call(read_flag, (who, took_ms, TTL_MS), keys, LEAVE)

    def _read_called(self, reply: object) -> list[SessionKeys]:
        before = f"{self.keyspace.prefix}:history:"
        names = [raw(name).decode(errors="replace") for name in read_ok(reply)]
        return [self.keyspace.parse_history(before + name) for name in names]

    def _name(self, session: SessionKeys) -> str:
        return session.history.removeprefix(f"{self.keyspace.prefix}:history:")

    def _keys(self) -> tuple[str, ...]:
        keys = self.keys
        return (keys.places, keys.line, keys.turns, keys.arrivals, keys.pace)

    def _clock(self) -> int | str:
        return "" if self.now_us is None else self.now_us


def lines(keyspace: Keyspace) -> Call[list[Entry]]:
    """The models in whose line somebody stood, the last first; a member is a `PlaceKeys.tag`."""
    return newest(keyspace.lines, until_ms=None, skip=0, limit=LINES_MAX)


def server_and_model(tag: str) -> tuple[str, str]:
    """Which model of which server a `PlaceKeys.tag` names."""
    server, _, model = tag.partition(":")
    return unquote(server), unquote(model)


def summon(mailbox: Mailbox, *, grace_ms: int) -> tuple[Call[int], Call[None], Call[Swept]]:
    """SWEEP for a mailbox whose head is called out of line: it need not wait any more.

    As after every wake-up, the sweeper looks again when `grace_ms` have passed.
    """
    keys = mailbox.keys
    look = scripts.look(
        mailbox.keyspace.due,
        history_key=keys.history,
        delay_ms=grace_ms,
        now_us=mailbox.now_us,
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


def _read_in_line(reply: object) -> InLine:
    match read_ok(reply):
        case [int(ahead), int(wait_ms)]:
            return InLine(ahead, None if wait_ms < 0 else wait_ms)
    raise senseless(reply)


def _read_mean(reply: object) -> float | None:
    return None if reply is None else float(raw(reply))
