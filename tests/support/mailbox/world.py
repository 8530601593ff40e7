"""A world of processes around real mailboxes, with a virtual clock and seeded faults.

Processes are generators that yield steps; between any two of them they may be killed, stopped for
longer than a lease, or lose a request or a reply. The scripts run on a real server.
"""

import heapq
import itertools
import random
import socket
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import hiredis

from memory.errors import CorruptData
from memory.keys import Keyspace, SessionKeys
from memory.mailbox import delayed, due_list, intake, mailbox, outbox
from memory.mailbox.due import Due
from memory.mailbox.mailbox import Mailbox
from memory.redis.command import Command, LuaScript
from tests.support.mailbox.ends import Ends
from tests.support.mailbox.journal import Ledger
from tests.support.mailbox.scripts import RECORD_SCRIPTS
from tests.support.mailbox.server_clock import at, timed

SCRIPTS = (
    *intake.SCRIPTS,
    *mailbox.SCRIPTS,
    *due_list.SCRIPTS,
    *outbox.SCRIPTS,
    *delayed.SCRIPTS,
    *RECORD_SCRIPTS,
)
LEASE_MS = 3000
MOST_LEASES = 3
"""How many leases' time a process that is stopped stands still at most."""
SWEEP_MS = 500
GRACE_MS = 500
GAP_MS = 500
REQUEST_TIMEOUT_MS = 100
WORKER_RESTART_MS = 300
START_MS = 1_800_000_000_000


@dataclass(frozen=True)
class Ask:
    """Send calls to Redis; the step is answered with their results."""

    commands: Sequence[Command[object]]


@dataclass(frozen=True)
class Sleep:
    """Do nothing for a while."""

    ms: int


@dataclass(frozen=True)
class Publish:
    """Put a wake-up into the broker; the step is answered with whether that worked."""

    session: str
    job: str
    envelope: bytes | None = None
    delay_ms: int = 0


@dataclass(frozen=True)
class Do:
    """Ask another server than Redis; the step is answered with what `act` gives.

    As with Ask, a request or a reply may be lost, and then it is done again.
    """

    act: Callable[[], object]


Step = Ask | Sleep | Publish | Do
Actor = Generator[Step, list[object], None]


@dataclass(frozen=True)
class Faults:
    """How likely each is: per step of a process, or per message."""

    kill: float = 0.0
    stop: float = 0.0
    lose_request: float = 0.0
    lose_reply: float = 0.0
    fail_publish: float = 0.0
    lose_message: float = 0.0
    double_message: float = 0.0
    late_message: float = 0.0


class NotedKeyspace(Keyspace):
    """Makes the names of each session once: a run asks hundreds of times for one of three."""

    def session(self, agent_id: str, session_id: str) -> SessionKeys:
        return _session(self, agent_id, session_id)

    def find_session(self, history_key: str) -> SessionKeys | None:
        return _found(self, history_key)


@cache
def _session(keyspace: Keyspace, agent_id: str, session_id: str) -> SessionKeys:
    return Keyspace.session(keyspace, agent_id, session_id)


@cache
def _found(keyspace: Keyspace, history_key: str) -> SessionKeys | None:
    return Keyspace.find_session(keyspace, history_key)


class Wire:
    """The shortest way to a server: a parser and a Unix socket, which takes a sixth less of a core
    than one of TCP."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(str(path))
        self._reader = hiredis.Reader(notEnoughData=Ellipsis)

    def ask(self, *wires: tuple[str | bytes | int | float, ...]) -> list[object]:
        """The replies to commands that are sent together; the first error is raised."""
        replies = self.exchange(*wires)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def exchange(self, *wires: tuple[str | bytes | int | float, ...]) -> list[object]:
        """The same, with an error as it is."""
        self._socket.sendall(b"".join(map(hiredis.pack_command, wires)))  # type: ignore[arg-type]
        return [self._read() for _ in wires]

    def close(self) -> None:
        self._socket.close()

    def _read(self) -> object:
        while (reply := self._reader.gets()) is Ellipsis:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the server has gone")
            self._reader.feed(data)
        return reply


@dataclass(eq=False)
class Process:
    """A running actor. `on_end` is told how it ended: whether it was killed."""

    actor: Actor
    on_end: Callable[[bool], None]
    was_killed: bool = False


@dataclass
class World:
    """The clock, the broker, the processes, and the one who keeps the books."""

    wire: Wire
    keyspace: Keyspace
    seed: int
    faults: Faults
    work: Callable[["World", Publish], Actor]
    mutants: Mapping[str, LuaScript] = field(default_factory=dict)
    model_fails: float = 0.0
    model_refuses: float = 0.0
    expires: float = 0.0
    """How many of the jobs are not begun in time."""
    workers: int = 8
    now_ms: int = START_MS
    clock_ms: int = 0
    """How far the server's clock is ahead of the world's time."""

    def is_too_late(self, attempt: int) -> bool:
        """Whether a job that has come to its turn has expired: its first attempt finds that."""
        return bool(self.expires) and attempt == 1 and self.random.random() < self.expires

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.ledger = Ledger(self.wire.ask, self.keyspace)
        self.ends = Ends(self.wire.ask, self.keyspace)
        self.messages: deque[Publish] = deque()
        self.unwatched: set[str] = set()
        """Keys of sessions whose books are not kept: somebody damages them."""
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._living: dict[Process, None] = {}
        self._tokens = itertools.count()
        known = {script.name: script for script in SCRIPTS} | dict(self.mutants)
        self._scripts = known
        self.wire.ask(*(("SCRIPT", "LOAD", timed(script).source) for script in known.values()))

    def box(self, session: str) -> Mailbox:
        """The mailbox of a session."""
        return Mailbox.of(self.keyspace, "a", session)

    def due(self) -> Due:
        """The list of the sweepers."""
        return Due(self.keyspace)

    def new_token(self) -> str:
        return f"t{next(self._tokens)}"

    def happens(self, likelihood: float) -> bool:
        return likelihood > 0 and self.random.random() < likelihood

    def at(self, time_ms: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time_ms, next(self._order), act))

    def start(
        self,
        actor: Actor,
        *,
        on_end: Callable[[bool], None] = lambda _: None,
        delay_ms: int = 0,
    ) -> None:
        process = Process(actor, on_end)
        self._living[process] = None
        self.at(self.now_ms + delay_ms, lambda: self._advance(process, None))

    def run(self, until: Callable[[], bool], *, for_ms: int) -> bool:
        """Let time pass until something is so; False if it is not after `for_ms`."""
        end_ms = self.now_ms + for_ms
        while not until():
            if not self._events or self._events[0][0] > end_ms:
                return False
            self.now_ms, _, act = heapq.heappop(self._events)
            act()
        return True

    def set_clock(self, by_ms: int) -> None:
        """Set the server's clock, as a fail-over to another host does."""
        self.clock_ms += by_ms

    def kill_some(self, how_likely: float) -> None:
        """Kill processes that are there now."""
        for process in [one for one in self._living if self.random.random() < how_likely]:
            self._kill(process)

    def deliver(self, message: Publish) -> None:
        """The broker's side of a publication: it may lose, double or delay a message."""
        if self.happens(self.faults.lose_message):
            return
        for _ in range(2 if self.happens(self.faults.double_message) else 1):
            is_late = self.happens(self.faults.late_message)
            delay_ms = self.random.randint(500, 10_000) if is_late else self.random.randint(1, 4)
            self.at(self.now_ms + message.delay_ms + delay_ms, lambda: self._arrive(message))

    def execute(self, commands: Sequence[Command[object]]) -> list[object]:
        """Run calls on the server, under the eyes of the ledger."""
        watched = [command for command in commands if self._is_watched(command)]
        self.ledger.before(watched)
        self.ends.before(watched)
        wires = [self._mutated(command).wire() for command in commands]
        replies = self.wire.exchange(*wires)
        results = [
            _parsed(command, reply) for command, reply in zip(commands, replies, strict=True)
        ]
        seen = [
            result
            for command, result in zip(commands, results, strict=True)
            if self._is_watched(command)
        ]
        self.ledger.after(watched, seen, self.now_ms)
        self.ends.after(watched, seen, self.now_ms)
        return results

    def _is_watched(self, command: Command[object]) -> bool:
        return not any(key in self.unwatched for key in command.keys[:1])

    def _mutated(self, command: Command[object]) -> Command[object]:
        if command.script is None:
            return command
        mutated = replace(command, script=self._scripts[command.script.name])
        return at(mutated, (self.now_ms + self.clock_ms) * 1000)

    def _arrive(self, message: Publish) -> None:
        self.messages.append(message)
        self._hire()

    def _hire(self) -> None:
        while self.workers and self.messages:
            self.workers -= 1
            message = self.messages.popleft()

            def ended(was_killed: bool, message: Publish = message) -> None:
                self._worker_ended(message, was_killed=was_killed)

            self.start(self.work(self, message), on_end=ended)

    def _worker_ended(self, message: Publish, *, was_killed: bool) -> None:
        if was_killed and self.happens(self.faults.late_message):
            self.at(self.now_ms + self.random.randint(500, 10_000), lambda: self._arrive(message))
        self.at(self.now_ms + (WORKER_RESTART_MS if was_killed else 0), self._worker_is_free)

    def _worker_is_free(self) -> None:
        self.workers += 1
        self._hire()

    def _advance(self, process: Process, answer: list[object] | None) -> None:
        if process.was_killed:
            return
        try:
            if answer and isinstance(answer[-1], CorruptData):
                step = process.actor.throw(answer[-1])
            else:
                step = next(process.actor) if answer is None else process.actor.send(answer)
        except (StopIteration, CorruptData):
            del self._living[process]
            process.on_end(process.was_killed)
            return
        self.at(self.now_ms + self.random.randint(0, 2), lambda: self._perform(process, step))

    def _perform(self, process: Process, step: Step) -> None:  # noqa: C901 - one step after the other
        if process.was_killed:
            return
        if self.happens(self.faults.kill):
            self._kill(process)
            return
        is_stopped = self.happens(self.faults.stop)
        pause_ms = self.random.randint(1, MOST_LEASES) * LEASE_MS if is_stopped else 0
        match step:
            case Sleep(ms):
                answer: list[object] | None = []
                pause_ms += ms
            case Publish():
                answer = [self._publish(step)]
            case Ask(commands):
                answer = self._ask(commands)
            case Do(act):
                answer = self._do(act)
        if answer is None:
            self.at(self.now_ms + REQUEST_TIMEOUT_MS, lambda: self._perform(process, step))
        elif self.happens(self.faults.kill):
            self._kill(process)
        else:
            self.at(self.now_ms + pause_ms, lambda: self._advance(process, answer))

    def _publish(self, message: Publish) -> bool:
        if self.happens(self.faults.fail_publish):
            return False
        self.deliver(message)
        return True

    def _ask(self, commands: Sequence[Command[object]]) -> list[object] | None:
        """The results; None where the request was lost on its way, or the reply."""
        if self.happens(self.faults.lose_request):
            self.execute(commands[: self.random.randrange(len(commands))])
            return None
        results = self.execute(commands)
        return None if self.happens(self.faults.lose_reply) else results

    def _do(self, act: Callable[[], object]) -> list[object] | None:
        if self.happens(self.faults.lose_request):
            return None
        results = [act()]
        return None if self.happens(self.faults.lose_reply) else results

    def _kill(self, process: Process) -> None:
        del self._living[process]
        process.was_killed = True
        process.actor.close()
        process.on_end(True)


def _parsed(command: Command[object], reply: object) -> object:
    """The result of a command; the error itself where it met a key of another type."""
    if isinstance(reply, Exception):
        if "WRONGTYPE" in str(reply):
            return CorruptData(str(reply))
        raise reply
    try:
        return command.parse(reply)
    except CorruptData as exc:
        return exc
