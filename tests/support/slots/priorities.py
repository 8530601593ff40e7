"""The world of the slots with sessions of all classes: who is served, and who is lifted.

P5: the classes get their shares, as a reckoning of its own says. P6:
none waits for ever. P7: a session that gets a slot is as urgent as the most urgent of its jobs.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from memory.keys import SessionKeys
from memory.priority import RANKS, ClassTurns, Priority, Shares
from memory.redis.command import Command, LuaScript
from memory.redis.replies import strings
from memory.slots.slots import Slots
from tests.support.mailbox import actors
from tests.support.mailbox.delivering import urgency_of
from tests.support.mailbox.journal import Violation
from tests.support.mailbox.world import SCRIPTS, START_MS, Faults, NotedKeyspace, Wire
from tests.support.slots.simulation import (
    DRAIN_MS,
    FAULTY_MS,
    SLOT_SCRIPTS,
    Books,
    Report,
    SlotWorld,
    _check,
    _keep_sweeping,
    work,
)

SHARES = Shares(5, 3, 1)
LIFTED_WITHIN_MS = 500
"""So long a wake-up that lifts a session may be under way."""
MARKS = {b"!": Priority.INTERACTIVE, b"#": Priority.BATCH}
SESSIONS = 12
JOBS = 5


@dataclass(frozen=True)
class PriorityPlan:
    """What happens in a run."""

    faults: Faults = field(default_factory=Faults)
    is_exact: bool = True
    """Whether nothing is lost or late, so that each session is as urgent as its jobs."""
    mutants: Mapping[str, LuaScript] = field(default_factory=dict)


class ClassBooks(Books):
    """Which class was served while which waited."""

    def __post_init__(self) -> None:
        self.turns = ClassTurns(SHARES)
        self.passed: dict[Priority, int] = dict.fromkeys(RANKS, 0)
        self.counted: Counter[Priority] = Counter()

    def class_was_granted(self, priority: Priority, waiting: Mapping[Priority, int]) -> None:
        """A session of this class got a slot; `waiting`: how many of each class waited."""
        self.counted[priority] += 1
        some = [one for one in self.turns.order() if waiting[one]]
        if len(some) < 2:
            self.turns.nobody_waits()
        else:
            if some[0] is not priority:
                raise Violation(f"P5: {priority} got a slot, the turn was {some[0]}'s")
            self.turns.served(priority, waiting=some)
        for other in RANKS:
            if other is priority or not waiting[other]:
                self.passed[other] = 0
                continue
            self.passed[other] += 1
            whole = SHARES.interactive + SHARES.normal + SHARES.batch
            most = whole // getattr(SHARES, other) + 2
            if self.passed[other] > most:
                raise Violation(f"P6: {other} waits while {self.passed[other]} others got a slot")


class PriorityWorld(SlotWorld):
    """A world whose jobs say in their names how urgent they are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.classes = ClassBooks(is_fair=False)
        self.classes.__post_init__()
        self.is_exact = False
        self._waiting: dict[Priority, int] = {}
        self._urgent_since: dict[str, int] = {}

    def slots(self) -> Slots:
        return replace(super().slots(), shares=SHARES)

    def execute(self, commands: list[Command[object]]) -> list[object]:  # type: ignore[override]  # as it is called
        """As all, and with a look at who waits before each grant."""
        results: list[object] = []
        for command in commands:
            if command.script is not None and command.script.name == "grant_slots":
                counts = self.wire.ask(*(one.wire() for one in self.slots().waiting_of()))
                self._waiting = dict(zip(RANKS, counts, strict=True))  # type: ignore[arg-type]  # ints
            results += super().execute([command])
            if command.script is not None and command.script.name in ("enqueue", "commit"):
                self._note_urgency(command)
        return results

    def _book(self, command: Command[object], result: object) -> None:
        super()._book(command, result)
        assert command.script is not None
        if command.script.name != "grant_slots":
            return
        assert isinstance(result, list)
        for keys in result:
            priority = self._class_of(keys)
            self.classes.class_was_granted(priority, self._waiting)
            self._waiting[priority] -= 1
            self._check_urgency(keys, priority)

    def _class_of(self, keys: SessionKeys) -> Priority:
        at = self.slots().keys.enqueued_at
        (stored,) = self.wire.ask(("HGET", at, f"{keys.agent_id}:{keys.session_id}"))
        assert isinstance(stored, bytes)
        return MARKS.get(stored[:1], Priority.NORMAL)

    def _most_urgent(self, keys: SessionKeys) -> Priority | None:
        (queued,) = self.wire.ask(("ZRANGE", keys.queue, 0, -1))
        jobs = [urgency_of(job.decode()) for job in strings(queued)]
        return min(jobs, key=lambda one: one.rank, default=None)

    def _note_urgency(self, command: Command[object]) -> None:
        keys = self.keyspace.parse_history(command.keys[0])
        self._urgent_since[keys.session_id] = self.now_ms

    def _check_urgency(self, keys: SessionKeys, priority: Priority) -> None:
        if not self.is_exact or self._most_urgent(keys) in (priority, None):
            return
        # The job that makes it urgent has just come; its wake-up is under way.
        if self.now_ms - self._urgent_since.get(keys.session_id, 0) > LIFTED_WITHIN_MS:
            raise Violation(f"P7: {keys.session_id} waited as {priority}")


def simulate_priorities(wire: Wire, seed: int, plan: PriorityPlan) -> tuple[Report, Counter[str]]:
    """Run one seed; what came of it, and how many slots each class got. Raises Violation."""
    wire.ask(("FLUSHALL",))
    known = {script.name: script for script in SCRIPTS} | SLOT_SCRIPTS | dict(plan.mutants)
    world = PriorityWorld(wire, NotedKeyspace(), seed, plan.faults, work, known)  # type: ignore[arg-type]  # it gets this very world
    world.servers, world.is_exact = ("http://ollama:11434",), plan.is_exact
    world.books.is_fair = False
    producing = _start_producers(world)
    for _ in range(2):
        _keep_sweeping(world)
    world.run(lambda: not producing and world.ledger.is_drained(), for_ms=FAULTY_MS)
    world.faults = Faults()
    if not world.run(world.ledger.is_drained, for_ms=DRAIN_MS):
        raise Violation("I10: faults are over, and jobs are still pending")
    took_ms = world.now_ms - START_MS
    world.run(lambda: False, for_ms=20_000)
    _check(world)
    report = Report(world.ledger.commits, world.books.granted, world.longest_free_ms, took_ms)
    return report, Counter({str(one): n for one, n in world.classes.counted.items()})


def _start_producers(world: PriorityWorld) -> set[str]:
    """Each session has jobs of all classes; most of them are of one."""
    producing = {f"{'abc'[number % 3]}-{number}" for number in range(SESSIONS)}
    for number, session in enumerate(sorted(producing)):
        mostly = RANKS[number % 3]
        classes = [
            mostly if world.random.random() < 0.7 else world.random.choice(RANKS)
            for _ in range(JOBS)
        ]
        jobs = [f"{session}-j{at}-{priority}" for at, priority in enumerate(classes)]
        world.start(
            actors.produce(world, session, jobs),
            on_end=lambda _, session=session: producing.discard(session),  # type: ignore[misc]
        )
    return producing
