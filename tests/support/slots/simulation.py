"""The world of the mailbox with a model that has few slots: who gets one, who waits, who dies.

Workers take a slot before they ask the model; the books say which session holds one and which wait.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from memory.keys import SessionKeys
from memory.mailbox import looks
from memory.mailbox.mailbox import Mailbox
from memory.mailbox.outcomes import (
    Acquired,
    AcquireOutcome,
    Committed,
    Discarded,
    Ending,
    SweepOutcome,
    Swept,
)
from memory.records.event import packed
from memory.redis.command import Command, LuaScript
from memory.slots import slots
from memory.slots.occupancy import SlotWait
from memory.slots.slots import Slots
from tests.support.mailbox import actors
from tests.support.mailbox.delivering import TTL_S, done_event, sweep_outboxes
from tests.support.mailbox.journal import Violation
from tests.support.mailbox.simulation import EVERYTHING, plan_jumps
from tests.support.mailbox.world import (
    GRACE_MS,
    LEASE_MS,
    START_MS,
    SWEEP_MS,
    Actor,
    Ask,
    Faults,
    NotedKeyspace,
    Publish,
    Sleep,
    Step,
    Wire,
    World,
)

SLOT_WAIT_MS = 12_000
FAULTY_MS = 60_000
DRAIN_MS = 800_000
RECOVERY_MS = 60_000
"""Where no process stops, all is done in this time after the last fault."""
LIMIT = 2
SUMMONS = 5

LeaseEnd: TypeAlias = Sequence[Command[object]]
"""What is sent to end a lease."""

SLOT_SCRIPTS = {script.name: script for script in slots.SCRIPTS}


@dataclass(frozen=True)
class SlotPlan:
    """What happens in a run."""

    faults: Faults = EVERYTHING
    jobs: int = 4
    servers: int = 1
    cancels: int = 6
    model_fails: float = 0.1
    jumps: tuple[int, ...] = ()
    """How far the server's clock is set each time, ms."""
    killed_at_jump: float = 0.0
    """How many of the processes die at the same moment."""
    drain_ms: int = DRAIN_MS
    """Within what time after the faults every job is done."""
    mutants: Mapping[str, LuaScript] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What came of it: turns, grants, how long a slot was free while a session waited, and how
    long all of it took."""

    commits: int
    granted: int
    longest_free_ms: int
    took_ms: int


@dataclass
class Books:
    """Which token holds a slot until when, which session waits since when, and what is unfair."""

    is_fair: bool
    holders: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    since: dict[str, Counter[str]] = field(default_factory=dict)
    granted: int = 0

    def taken(self, token: str, now_ms: int) -> None:
        self.holders[token] = now_ms + LEASE_MS
        alive = [holder for holder, until_ms in self.holders.items() if until_ms > now_ms]
        if len(alive) > LIMIT:
            raise Violation(f"P1: {len(alive)} hold a slot: {alive}")

    def clock_went_on(self, by_ms: int) -> None:
        for token in self.holders:
            self.holders[token] -= by_ms

    def waits(self, session: str, arrived: str) -> None:
        agent = session.partition(":")[0]
        if not self.waiting[agent]:
            self.since[agent] = Counter()
        self.waiting[agent][session] = arrived

    def was_granted(self, session: str) -> None:
        agent = session.partition(":")[0]
        self.granted += 1
        arrived = self.waiting[agent].pop(session, "")
        if not self.is_fair:
            return
        if any(other < arrived for other in self.waiting[agent].values()):
            raise Violation(f"P3: {session} got a slot before one that arrived earlier")
        for other, counted in self.since.items():
            if other != agent and self.waiting[other]:
                counted[agent] += 1
                if counted[agent] > 1:
                    raise Violation(f"P2: {agent} got two slots while {other} waited")
        self.since[agent] = Counter()


class SlotWorld(World):
    """A world whose sessions are named `<agent>-<number>`, with one model."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.books = Books(is_fair=self.faults == Faults())
        self.free_since_ms: int | None = None
        self.longest_free_ms = 0
        self.servers: tuple[str, ...] = ()

    def box(self, session: str) -> Mailbox:
        return Mailbox(self.keyspace, self.keys_of(session))

    def keys_of(self, session: str) -> SessionKeys:
        return self.keyspace.session(session.partition("-")[0], session)

    def slots(self) -> Slots:
        return Slots(self.keyspace, "llama3.2:1b", self.servers, LIMIT // len(self.servers))

    def set_clock(self, by_ms: int) -> None:
        """Forward, every slot is lost: its holder may not have noticed yet."""
        super().set_clock(by_ms)
        self.books.clock_went_on(max(0, by_ms))

    def execute(self, commands: Sequence[Command[object]]) -> list[object]:
        """Command by command: the ledger books those of the mailbox, the books the others."""
        results: list[object] = []
        for command in commands:
            if command.script is None or command.script.name not in SLOT_SCRIPTS:
                results += super().execute((command,))
                continue
            (reply,) = self.wire.ask(self._mutated(command).wire())
            results.append(command.parse(reply))
            self._book(command, results[-1])
        self._note_free()
        return results

    def _book(self, command: Command[object], result: object) -> None:
        assert command.script is not None
        who = str(command.args[0])
        match command.script.name, result:
            case "take_slot", str():
                self.books.taken(str(command.args[1]), self.now_ms)
            case "renew_slot", True:
                self.books.taken(who, self.now_ms)
            case "release_slot", True:
                self.books.holders.pop(who, None)
            case "wait_for_slot", SlotWait(ahead):
                if ahead < 0:
                    raise Violation("no session is before the first waiter")
                self.books.waits(who, str(command.args[2]))
            case "grant_slots", list(sessions):
                for keys in sessions:
                    self.books.was_granted(f"{keys.agent_id}:{keys.session_id}")

    def _note_free(self) -> None:
        keys = self.slots().keys
        *each, waiting = self.wire.ask(
            *(("ZCARD", slots) for slots in keys.slots), ("ZCARD", keys.waiters)
        )
        assert all(isinstance(taken, int) for taken in each)
        if any(taken > LIMIT // len(each) for taken in each):  # type: ignore[operator]  # ints
            raise Violation(f"P1: {each} slots are taken or reserved")
        taken = sum(each)  # type: ignore[arg-type]  # ints
        if taken < LIMIT and waiting:
            self.free_since_ms = self.now_ms if self.free_since_ms is None else self.free_since_ms
        elif self.free_since_ms is not None:
            self.longest_free_ms = max(self.longest_free_ms, self.now_ms - self.free_since_ms)
            self.free_since_ms = None


def simulate(wire: Wire, seed: int, plan: SlotPlan) -> Report:
    """Run one seed. Raises Violation where an invariant does not hold."""
    wire.ask(("FLUSHALL",))
    world = SlotWorld(
        wire,
        NotedKeyspace(),
        seed,
        plan.faults,
        work,  # type: ignore[arg-type]  # it gets this very world
        {**SLOT_SCRIPTS, **plan.mutants},
        model_fails=plan.model_fails,
        model_refuses=0.05,
    )
    world.servers = tuple(f"http://ollama{n}:11434" for n in range(plan.servers))
    world.books.is_fair = world.books.is_fair and not plan.jumps
    world.ends.is_clock_set = bool(plan.jumps)
    producing = _start_everyone(world, plan)
    world.run(lambda: not producing and world.ledger.is_drained(), for_ms=FAULTY_MS)
    world.faults = Faults()
    if not world.run(world.ledger.is_drained, for_ms=plan.drain_ms):
        pending = [sorted(session.pending) for session in world.ledger.sessions.values()]
        raise Violation(f"I10: faults are over, and still pending: {pending}")
    took_ms = world.now_ms - START_MS
    world.run(lambda: False, for_ms=LEASE_MS + SLOT_WAIT_MS)
    _check(world)
    return Report(world.ledger.commits, world.books.granted, world.longest_free_ms, took_ms)


def _start_everyone(world: SlotWorld, plan: SlotPlan) -> set[str]:
    names = [f"busy-{n}" for n in range(6)] + ["calm-0", "calm-1", "rare-0"]
    producing = set(names)
    for session in names:
        jobs = [f"{session}-j{number}" for number in range(plan.jobs)]
        world.start(
            actors.produce(world, session, jobs),
            on_end=lambda _, session=session: producing.discard(session),  # type: ignore[misc]
        )
    for _ in range(2):
        _keep_sweeping(world)
    for _ in range(plan.cancels):
        session = world.random.choice(names)
        job = f"{session}-j{world.random.randrange(plan.jobs)}"
        world.start(actors.cancel(world, session, job), delay_ms=world.random.randint(0, 4000))
    plan_jumps(world, plan.jumps, plan.killed_at_jump)
    return producing


def _keep_sweeping(world: SlotWorld, delay_ms: int = 0) -> None:
    """Mailboxes and slots; a sweeper that is killed comes back after a second."""
    for sweeper in (actors.sweep, sweep_slots, sweep_outboxes):
        _keep(world, sweeper, delay_ms)


def _keep(world: SlotWorld, sweeper: Callable[[SlotWorld], Actor], delay_ms: int) -> None:
    world.start(sweeper(world), on_end=lambda _: _keep(world, sweeper, 1000), delay_ms=delay_ms)


def _check(world: SlotWorld) -> None:
    for history_key in list(world.ledger.sessions):
        keys = world.keyspace.parse_history(history_key)
        world.ledger.check_history(keys)
        world.ends.check(keys)
    world.ledger.check_accepted()
    at = world.slots().keys
    left = world.wire.ask(*(("EXISTS", key) for key in (*at.slots, at.waiters, at.enqueued_at)))
    if any(left):
        raise Violation(f"P4: slots, waiters, enqueued_at are not empty when all is done: {left}")


# ---- who lives there


def work(world: SlotWorld, message: Publish) -> Actor:
    """One Celery message: take the job and a slot, ask the model, commit; or wait for a slot."""
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
    keys = world.keys_of(session)
    last_us, server = yield Ask(
        (
            slots.last_turn_us(keys),
            world.slots().take(keys, token, lease_ms=LEASE_MS),
        )
    )
    assert isinstance(last_us, int)
    if server is not None:
        yield from ask_model(world, message, token, acquired)
    else:
        yield from stand(world, message, token, acquired, max(acquired.seq_us, last_us))


def stand(
    world: SlotWorld, message: Publish, token: str, acquired: Acquired, arrived_us: int
) -> Actor:
    """Give the lease back, wait, and wake the sessions that are granted a slot; and the own one,
    where it has become more urgent."""
    keys = world.keys_of(message.session)
    *_, granted = yield Ask(
        (
            *world.box(message.session).fail(
                token, delay_ms=0, refund=True, slot_wait_ms=SLOT_WAIT_MS, grace_ms=GRACE_MS
            ),
            world.slots().wait(keys, arrived_us=arrived_us, priority=acquired.priority),
            world.slots().grant_next(reserve_ms=GRACE_MS),
        )
    )
    yield from bring(world, granted)
    (mine,) = yield Ask((looks.asked_meanwhile(keys, message.job, acquired),))
    if mine is not None:
        yield Publish(message.session, message.job)


def ask_model(world: SlotWorld, message: Publish, token: str, acquired: Acquired) -> Actor:
    """The model answers, fails for a while, or refuses; the slot is released with the lease."""
    session = message.session
    left_ms = world.random.randint(20, 400) if world.random.random() < 0.9 else 1500
    while left_ms > 0:
        yield Sleep(min(left_ms, actors.RENEW_MS))
        left_ms -= actors.RENEW_MS
        if left_ms > 0:
            is_ours, has_slot = yield Ask(
                (
                    world.box(session).renew(token, lease_ms=LEASE_MS),
                    world.slots().renew(token, lease_ms=LEASE_MS),
                )
            )
            if not is_ours or not has_slot:
                yield from give_up(world, token, message if is_ours else None)
                return
    fate = world.random.random()
    if fate < world.model_fails:
        yield from end(world, message, token, failure(world, session, token))
        yield Publish(session, message.job, message.envelope, delay_ms=actors.RETRY_MS)
    elif fate < world.model_fails + world.model_refuses:
        yield from end(world, message, token, refusal(world, message, token))
    else:
        yield from end(world, message, token, turn(world, message, token, acquired))


def give_up(world: SlotWorld, token: str, message: Publish | None) -> Actor:
    """Lease or slot were lost: give back what is left of both."""
    before: LeaseEnd = failure(world, message.session, token) if message else ()
    *_, granted = yield Ask((*before, *leaving(world, token)))
    yield from bring(world, granted)
    if message is not None:
        yield Publish(message.session, message.job, message.envelope)


def leaving(world: SlotWorld, token: str) -> tuple[Command[object], Command[object]]:
    at = world.slots()
    return at.release(token, took_ms=100), at.grant_next(reserve_ms=GRACE_MS)


def end(world: SlotWorld, message: Publish, token: str, ending: LeaseEnd) -> Actor:
    """What ends the lease, with the slot released before it."""
    _, granted, *_, ended = yield Ask((*leaving(world, token), *ending))
    if isinstance(ended, Committed | Discarded):
        yield from actors.wake(message.session, ended.next)
    yield from bring(world, granted)


def failure(world: SlotWorld, session: str, token: str) -> LeaseEnd:
    """FAIL, to come back as Celery's retry does."""
    return world.box(session).fail(token, delay_ms=actors.RETRY_MS, refund=False, grace_ms=GRACE_MS)


def refusal(world: SlotWorld, message: Publish, token: str) -> LeaseEnd:
    """A dead letter by the holder."""
    return world.box(message.session).discard(
        message.job,
        "refused",
        token,
        owner=token,
        ending=Ending.DEAD,
        ttl_s=TTL_S,
        grace_ms=GRACE_MS,
    )


def turn(world: SlotWorld, message: Publish, token: str, acquired: Acquired) -> LeaseEnd:
    """COMMIT of a turn that says which turns it was made from."""
    records = actors.records_of(message.job, acquired)
    return world.box(message.session).commit(
        token,
        message.job,
        records,
        event=packed(done_event(message.job), world.box(message.session).keys.cipher),
        keep=actors.KEEP,
        ttl_s=TTL_S,
        grace_ms=GRACE_MS,
    )


def bring(world: SlotWorld, granted: object) -> Actor:
    """The slot notifier: wake the granted sessions; release the slot where nothing is to run."""
    assert isinstance(granted, list)
    for keys in granted:
        is_coming = yield from wake_granted(world, keys)
        if not is_coming:
            *_, others = yield Ask(
                (
                    world.slots().unreserve(keys),
                    world.slots().grant_next(reserve_ms=GRACE_MS),
                )
            )
            yield from bring(world, others)


def wake_granted(world: SlotWorld, keys: SessionKeys) -> Generator[Step, list[object], bool]:
    """Whether the head of a session was woken."""
    session = keys.session_id
    for _ in range(SUMMONS):
        *_, swept = yield Ask(slots.wake_waiting(world.box(session), grace_ms=GRACE_MS))
        assert isinstance(swept, Swept)
        if swept.outcome is SweepOutcome.WAKE and swept.head is not None:
            (is_published,) = yield Publish(session, swept.head.job_id)
            if not is_published:
                yield Ask((world.box(session).unwake(),))
            return True
        if swept.outcome is not SweepOutcome.BUSY:
            return False
        yield Sleep(50)
    return False


def sweep_slots(world: SlotWorld) -> Actor:
    """Grant free slots, for ever."""
    while True:
        yield Sleep(SWEEP_MS)
        _, granted = yield Ask(
            (
                world.slots().expire(lease_ms=LEASE_MS, most_reserve_ms=GRACE_MS),
                world.slots().grant_next(reserve_ms=GRACE_MS),
            )
        )
        yield from bring(world, granted)
