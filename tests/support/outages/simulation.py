"""The world of the mailbox with a model server that goes away and comes back.

Jobs that meet it while it is away wait for it; lookers find out that it is back, and wake them. The
books say who waits in which order, who looks, and whose attempts may count.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from memory.mailbox.outcomes import Acquired, AcquireOutcome, Committed, SweepOutcome, Swept
from memory.outages import outages
from memory.outages.outages import LookOutcome, NotedLook, NotedOutcome, Outage, ServerOutage
from memory.records.event import packed
from memory.redis.command import Command, LuaScript
from memory.slots import slots
from tests.support.mailbox import actors
from tests.support.mailbox.delivering import TTL_S, done_event, sweep_outboxes
from tests.support.mailbox.journal import Violation
from tests.support.mailbox.simulation import EVERYTHING, plan_jumps
from tests.support.mailbox.world import (
    GRACE_MS,
    LEASE_MS,
    START_MS,
    Actor,
    Ask,
    Do,
    Faults,
    NotedKeyspace,
    Publish,
    Sleep,
    Wire,
    World,
)

SERVER = "http://ollama:11434"
SESSIONS = tuple(f"s{number}" for number in range(8))
LOOK_MS = outages.LOOK_PAUSE_MS
BACKSTOP_MS = 12_000
"""For how long no sweeper wakes a session that waits, in a world where processes die."""
NO_BACKSTOP_MS = 600_000
"""The same where none dies: nobody may need it."""
FAULTY_MS = 60_000
DRAIN_MS = 800_000
RECOVERY_MS = 60_000
"""Where no process stops, all is done in this time after the last fault."""
OUTAGES_MS = ((100, 3000), (4500, 2000), (8000, 6000))
"""When the server goes away, and for how long."""
TRIES = 5

OUTAGE_SCRIPTS = {script.name: script for script in outages.SCRIPTS}


@dataclass(frozen=True)
class OutagePlan:
    """What happens in a run."""

    faults: Faults = EVERYTHING
    jobs: int = 8
    cancels: int = 6
    model_fails: float = 0.1
    is_full: bool = False
    """Whether the server is only full: it answers looks at its health, and no calls."""
    backstop_ms: int = BACKSTOP_MS
    jumps: tuple[int, ...] = ()
    """How far the server's clock is set each time, ms."""
    drain_ms: int = DRAIN_MS
    """Within what time after the faults every job is done."""
    mutants: Mapping[str, LuaScript] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What came of it: turns, how often a session waited, and how long all of it took."""

    commits: int
    parked: int
    took_ms: int


@dataclass
class Books:
    """Who waits in which order, who looks since when, which attempts at a job have counted."""

    is_peaceful: bool
    waiting: list[str] = field(default_factory=list)
    is_clock_set: bool = False
    looked_at_until_ms: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    parked: int = 0

    def parks(self, session: str) -> None:
        self.parked += 1
        if session in self.waiting:
            self.waiting.remove(session)
        self.waiting.append(session)

    def begins(self, job: str, attempt: int) -> None:
        if self.is_peaceful and attempt != self.failed[job] + 1:
            raise Violation(f"O1: attempt {attempt} at {job}, of which {self.failed[job]} failed")

    def looks(self, now_ms: int) -> None:
        if now_ms < self.looked_at_until_ms and not self.is_clock_set:
            raise Violation("O2: two look at the same time")
        self.looked_at_until_ms = now_ms + outages.LOOK_LEASE_MS

    def woken(self, sessions: Sequence[str]) -> None:
        if list(sessions) != self.waiting[: len(sessions)]:
            raise Violation(f"O3: {sessions} are woken, and {self.waiting} wait")


class OutageWorld(World):
    """A world with one model server."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.is_up = True
        self.is_full = False
        self.backstop_ms = BACKSTOP_MS
        self.books = Books(is_peaceful=self.faults == Faults())

    @property
    def outage(self) -> Outage:
        return Outage(self.keyspace, SERVER)

    def set_up(self, *, is_up: bool) -> None:
        self.is_up = is_up

    def execute(self, commands: Sequence[Command[object]]) -> list[object]:
        """Command by command: the ledger books those of the mailbox, the books the others."""
        results: list[object] = []
        for command in commands:
            if command.script is None or command.script.name not in OUTAGE_SCRIPTS:
                results += super().execute((command,))
                self._book_removal(command)
                continue
            (reply,) = self.wire.ask(self._mutated(command).wire())
            results.append(command.parse(reply))
            self._book(command, results[-1])
        return results

    def _book(self, command: Command[object], result: object) -> None:
        match result:
            case outages.Parked():
                self.books.parks(str(command.args[0]).partition(":")[2])
            case outages.Look(LookOutcome.LOOK):
                self.books.looks(self.now_ms)
            case NotedLook():
                self._book_look(result)

    def _book_removal(self, command: Command[object]) -> None:
        if command.script is not None and command.script.name == "forget":
            (left,) = self.wire.ask(("ZRANGE", self.outage.keys.parked, 0, -1))
            assert isinstance(left, list)
            names = [one.decode().partition(":")[2] for one in left]
            self.books.waiting = [one for one in self.books.waiting if one in names]

    def _book_look(self, noted: NotedLook) -> None:
        self.books.looked_at_until_ms = 0
        if noted.outcome is NotedOutcome.BACK:
            self.books.woken([entry.member.partition(":")[2] for entry in noted.to_wake])


def simulate(wire: Wire, seed: int, plan: OutagePlan) -> Report:
    """Run one seed. Raises Violation where an invariant does not hold."""
    wire.ask(("FLUSHALL",))
    world = OutageWorld(
        wire,
        NotedKeyspace(),
        seed,
        plan.faults,
        work,  # type: ignore[arg-type]  # it gets this very world
        {**OUTAGE_SCRIPTS, **plan.mutants},
        model_fails=plan.model_fails,
        model_refuses=0.0,
    )
    world.backstop_ms, world.is_full = plan.backstop_ms, plan.is_full
    world.ends.is_clock_set = world.books.is_clock_set = bool(plan.jumps)
    producing = _start_everyone(world, plan)
    last_ms = START_MS + sum(OUTAGES_MS[-1])
    world.run(
        lambda: not producing and world.ledger.is_drained() and world.now_ms > last_ms,
        for_ms=FAULTY_MS,
    )
    world.faults = Faults()
    if not world.run(world.ledger.is_drained, for_ms=plan.drain_ms):
        pending = [sorted(session.pending) for session in world.ledger.sessions.values()]
        raise Violation(f"I10: faults are over, and still pending: {pending}")
    took_ms = world.now_ms - START_MS
    world.run(lambda: False, for_ms=2 * outages.LOOK_LEASE_MS + outages.QUIET_MS + 2 * LOOK_MS)
    _check(world)
    return Report(world.ledger.commits, world.books.parked, took_ms)


def _start_everyone(world: OutageWorld, plan: OutagePlan) -> set[str]:
    producing = set(SESSIONS)
    for session in SESSIONS:
        jobs = [f"{session}-j{number}" for number in range(plan.jobs)]
        world.start(
            actors.produce(world, session, jobs),
            on_end=lambda _, session=session: producing.discard(session),  # type: ignore[misc]
        )
    for sweeper in (actors.sweep, sweep_outboxes, look, look):
        _keep(world, sweeper)
    for at_ms, for_ms in OUTAGES_MS:
        goes_ms = START_MS + at_ms + world.random.randint(0, 1000)
        world.at(goes_ms, lambda: world.set_up(is_up=False))
        world.at(goes_ms + for_ms, lambda: world.set_up(is_up=True))
    for _ in range(plan.cancels):
        session = world.random.choice(SESSIONS)
        job = f"{session}-j{world.random.randrange(plan.jobs)}"
        world.start(actors.cancel(world, session, job), delay_ms=world.random.randint(0, 9000))
    plan_jumps(world, plan.jumps)
    return producing


def _keep(world: OutageWorld, who: Callable[[OutageWorld], Actor], delay_ms: int = 0) -> None:
    """One that is killed comes back after a second."""
    world.start(who(world), on_end=lambda _: _keep(world, who, 1000), delay_ms=delay_ms)


def _check(world: OutageWorld) -> None:
    for history_key in list(world.ledger.sessions):
        keys = world.keyspace.parse_history(history_key)
        world.ledger.check_history(keys)
        world.ends.check(keys)
    world.ledger.check_accepted()
    keys = world.outage.keys
    left = world.wire.ask(("EXISTS", keys.outage), ("EXISTS", keys.parked))
    if any(left):
        raise Violation(f"O4: outage, parked are not empty when all is done: {left}")


# ---- who lives there


def work(world: OutageWorld, message: Publish) -> Actor:
    """One Celery message: take the job, ask the model, commit; or wait for its server."""
    session, job, token = message.session, message.job, world.new_token()
    *_, acquired = yield Ask(
        world.box(session).acquire(
            job,
            token,
            lease_ms=LEASE_MS,
            history_n=actors.KEEP,
            max_attempts=actors.MAX_ATTEMPTS,
            ttl_s=TTL_S,
            grace_ms=GRACE_MS,
        )
    )
    assert isinstance(acquired, Acquired)
    if acquired.outcome is not AcquireOutcome.RUN:
        yield from actors.wake(session, acquired.next or acquired.head)
        return
    if acquired.stop is None:
        world.books.begins(job, acquired.attempt)
    if world.random.random() < 0.5:
        (state,) = yield Ask((world.outage.state(),))
        if isinstance(state, ServerOutage) and state.is_away:
            yield from park(world, message, token)
            return
    yield from ask_model(world, message, token, acquired)


def ask_model(world: OutageWorld, message: Publish, token: str, acquired: Acquired) -> Actor:
    """The server is away, or goes away meanwhile; or the model fails, or answers."""
    box = world.box(message.session)
    was_up = world.is_up
    left_ms = world.random.randint(20, 400) if was_up else 5
    while left_ms > 0:
        yield Sleep(min(left_ms, actors.RENEW_MS))
        left_ms -= actors.RENEW_MS
        if left_ms > 0:
            (is_held,) = yield Ask((box.renew(token, lease_ms=LEASE_MS),))
            if not is_held:
                return
    if not (was_up and world.is_up):
        yield from park(world, message, token)
    elif world.random.random() < world.model_fails:
        world.books.failed[message.job] += 1
        yield from actors.fail(world, message, token)
    else:
        *_, committed = yield Ask(
            box.commit(
                token,
                message.job,
                actors.records_of(message.job, acquired),
                event=packed(done_event(message.job), box.keys.cipher),
                keep=actors.KEEP,
                ttl_s=TTL_S,
                grace_ms=GRACE_MS,
            )
        )
        assert isinstance(committed, Committed)
        yield from actors.wake(message.session, committed.next)


def park(world: OutageWorld, message: Publish, token: str) -> Actor:
    """Give the lease back, the attempt not counted, and wait; a job that is to stop is woken."""
    box = world.box(message.session)
    *_, stop = yield Ask(
        (
            world.outage.note(),
            *box.fail(
                token,
                delay_ms=0,
                refund=True,
                slot_wait_ms=world.backstop_ms,
                is_outage=True,
                grace_ms=GRACE_MS,
            ),
            world.outage.park(box.keys, is_first=True),
            box.stop_asked(message.job),
        )
    )
    if stop is not None:
        yield Publish(message.session, message.job, message.envelope)


def look(world: OutageWorld) -> Actor:
    """Look whether the server is back, and wake those that wait for it, for ever."""
    while True:
        yield Sleep(LOOK_MS // 2)
        (answer,) = yield Ask((world.outage.look(is_ours=True),))
        assert isinstance(answer, outages.Look)
        if answer.outcome is not LookOutcome.LOOK:
            continue
        (is_up,) = yield Do(lambda: world.is_up or world.is_full)
        yield Sleep(world.random.randint(1, 50))
        (noted,) = yield Ask((world.outage.note_look(answers=bool(is_up)),))
        assert isinstance(noted, NotedLook)
        for entry in noted.to_wake:
            yield from wake(world, entry.member.partition(":")[2])
        if noted.to_wake:
            yield Ask((world.outage.take_off(noted.to_wake),))


def wake(world: OutageWorld, session: str) -> Actor:
    """Wake the head of a session, if there is one."""
    for _ in range(TRIES):
        *_, swept = yield Ask(slots.wake_waiting(world.box(session), grace_ms=GRACE_MS))
        assert isinstance(swept, Swept)
        if swept.outcome is SweepOutcome.WAKE and swept.head is not None:
            (is_published,) = yield Publish(session, swept.head.job_id)
            if not is_published:
                yield Ask((world.box(session).unwake(),))
        if swept.outcome is not SweepOutcome.BUSY:
            return
        yield Sleep(50)
