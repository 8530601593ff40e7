"""The world of the mailbox with a model that has few places: who gets one, who waits, who dies.

Workers take a place before they ask the model; the books say who holds one and who stands in line.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from memory import places
from memory.call import Call, Script
from memory.keys import Keyspace, SessionKeys
from memory.mailbox import Mailbox
from memory.outcomes import Acquired, AcquireOutcome, Committed, Discarded, SweepOutcome, Swept
from memory.places import InLine, Places
from tests.contract import mailbox_actors as actors
from tests.contract.mailbox_ledger import Violation
from tests.contract.mailbox_simulation import EVERYTHING
from tests.contract.mailbox_world import (
    GRACE_MS,
    LEASE_MS,
    START_MS,
    SWEEP_MS,
    Actor,
    Ask,
    Faults,
    Publish,
    Sleep,
    Step,
    Wire,
    World,
)

LINE_MS = 12_000
FAULTY_MS = 60_000
DRAIN_MS = 800_000
LIMIT = 2
SUMMONS = 5

Ending: TypeAlias = Callable[[int], Sequence[Call[object]]]
"""What is sent at a time, µs, to end a lease."""

PLACE_SCRIPTS = {script.name: script for script in places.SCRIPTS}


@dataclass(frozen=True)
class PlacePlan:
    """What happens in a run."""

    faults: Faults = EVERYTHING
    jobs: int = 4
    servers: int = 1
    cancels: int = 6
    model_fails: float = 0.1
    mutants: Mapping[str, Script] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What came of it: turns, calls out of the line, how long a place was free in vain, and how
    long all of it took."""

    commits: int
    called: int
    longest_free_ms: int
    took_ms: int


@dataclass
class Books:
    """Who holds a place until when, who stands in line since when, and what is unfair."""

    is_fair: bool
    holders: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    since: dict[str, Counter[str]] = field(default_factory=dict)
    called: int = 0

    def taken(self, token: str, now_ms: int) -> None:
        self.holders[token] = now_ms + LEASE_MS
        alive = [holder for holder, until_ms in self.holders.items() if until_ms > now_ms]
        if len(alive) > LIMIT:
            raise Violation(f"P1: {len(alive)} hold a place: {alive}")

    def stood(self, session: str, arrived: str) -> None:
        agent = session.partition(":")[0]
        if not self.waiting[agent]:
            self.since[agent] = Counter()
        self.waiting[agent][session] = arrived

    def was_called(self, session: str) -> None:
        agent = session.partition(":")[0]
        self.called += 1
        arrived = self.waiting[agent].pop(session, "")
        if not self.is_fair:
            return
        if any(other < arrived for other in self.waiting[agent].values()):
            raise Violation(f"P3: {session} was called before one that arrived earlier")
        for other, counted in self.since.items():
            if other != agent and self.waiting[other]:
                counted[agent] += 1
                if counted[agent] > 1:
                    raise Violation(f"P2: {agent} was called twice while {other} waited")
        self.since[agent] = Counter()


class PlaceWorld(World):
    """A world whose sessions are named `<agent>-<number>`, with one model."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.books = Books(is_fair=self.faults == Faults())
        self.free_since_ms: int | None = None
        self.longest_free_ms = 0
        self.servers: tuple[str, ...] = ()

    def box(self, session: str, now_us: int) -> Mailbox:
        return replace(Mailbox(self.keyspace, self.keys_of(session)), now_us=now_us)

    def keys_of(self, session: str) -> SessionKeys:
        return self.keyspace.session(session.partition("-")[0], session)

    def places(self, now_us: int) -> Places:
        return Places(
            self.keyspace, "llama3.2:1b", self.servers, LIMIT // len(self.servers), now_us
        )

    def execute(self, calls: Sequence[Call[object]]) -> list[object]:
        """Place by place: the mailbox' operations are the ledger's, the others the books'."""
        results: list[object] = []
        for call in calls:
            if call.script is None or call.script.name not in PLACE_SCRIPTS:
                results += super().execute((call,))
                continue
            (reply,) = self.wire.ask(self._mutated(call).wire())
            results.append(call.parse(reply))
            self._book(call, results[-1])
        self._note_free()
        return results

    def _book(self, call: Call[object], result: object) -> None:
        assert call.script is not None
        who = str(call.args[0])
        match call.script.name, result:
            case "place", str():
                self.books.taken(str(call.args[1]), self.now_ms)
            case "hold", True:
                self.books.taken(who, self.now_ms)
            case "leave", True:
                self.books.holders.pop(who, None)
            case "stand", InLine(ahead):
                if ahead < 0:
                    raise Violation("nobody stands before the first")
                self.books.stood(who, str(call.args[1]))
            case "call", list(sessions):
                for keys in sessions:
                    self.books.was_called(f"{keys.agent_id}:{keys.session_id}")

    def _note_free(self) -> None:
        keys = self.places(0).keys
        *each, waiting = self.wire.ask(
            *(("ZCARD", places) for places in keys.places), ("ZCARD", keys.line)
        )
        assert all(isinstance(taken, int) for taken in each)
        if any(taken > LIMIT // len(each) for taken in each):  # type: ignore[operator]  # ints
            raise Violation(f"P1: {each} places are taken or kept")
        taken = sum(each)  # type: ignore[arg-type]  # ints
        if taken < LIMIT and waiting:
            self.free_since_ms = self.now_ms if self.free_since_ms is None else self.free_since_ms
        elif self.free_since_ms is not None:
            self.longest_free_ms = max(self.longest_free_ms, self.now_ms - self.free_since_ms)
            self.free_since_ms = None


def simulate(wire: Wire, seed: int, plan: PlacePlan) -> Report:
    """Run one seed. Raises Violation where an invariant does not hold."""
    wire.ask(("FLUSHALL",))
    world = PlaceWorld(
        wire,
        Keyspace(),
        seed,
        plan.faults,
        work,  # type: ignore[arg-type]  # it gets this very world
        {**PLACE_SCRIPTS, **plan.mutants},
        model_fails=plan.model_fails,
        model_refuses=0.05,
    )
    world.servers = tuple(f"http://ollama{n}:11434" for n in range(plan.servers))
    producing = _start_everyone(world, plan)
    world.run(lambda: not producing and world.ledger.is_drained(), for_ms=FAULTY_MS)
    world.faults = Faults()
    if not world.run(world.ledger.is_drained, for_ms=DRAIN_MS):
        pending = [sorted(session.pending) for session in world.ledger.sessions.values()]
        raise Violation(f"I10: faults are over, and still pending: {pending}")
    took_ms = world.now_ms - START_MS
    world.run(lambda: False, for_ms=LEASE_MS + LINE_MS)
    _check(world)
    return Report(world.ledger.commits, world.books.called, world.longest_free_ms, took_ms)


def _start_everyone(world: PlaceWorld, plan: PlacePlan) -> set[str]:
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
    return producing


def _keep_sweeping(world: PlaceWorld, delay_ms: int = 0) -> None:
    """Mailboxes and lines; a sweeper that is killed comes back after a second."""
    for sweeper in (actors.sweep, sweep_line):
        _keep(world, sweeper, delay_ms)


def _keep(world: PlaceWorld, sweeper: Callable[[PlaceWorld], Actor], delay_ms: int) -> None:
    world.start(sweeper(world), on_end=lambda _: _keep(world, sweeper, 1000), delay_ms=delay_ms)


def _check(world: PlaceWorld) -> None:
    for history_key in list(world.ledger.sessions):
        world.ledger.check_history(world.keyspace.parse_history(history_key))
    world.ledger.check_accepted()
    keys = world.places(0).keys
    left = world.wire.ask(*(("EXISTS", key) for key in (*keys.places, keys.line, keys.arrivals)))
    if any(left):
        raise Violation(f"P4: places, line, arrivals are not empty when all is done: {left}")


# ---- who lives there


def work(world: PlaceWorld, message: Publish) -> Actor:
    """One Celery message: take the job and a place, ask the model, commit; or stand in line."""
    session, job, token = message.session, message.job, world.new_token()
    *_, acquired = yield Ask(
        lambda now_us: world.box(session, now_us).acquire(
            job,
            message.envelope,
            token,
            lease_ms=LEASE_MS,
            history_n=actors.KEEP,
            max_attempts=actors.MAX_ATTEMPTS,
            grace_ms=GRACE_MS,
        )
    )
    assert isinstance(acquired, Acquired)
    if acquired.outcome is not AcquireOutcome.RUN:
        yield from actors.wake(session, acquired.next or acquired.head)
        return
    keys = world.keys_of(session)
    last_us, server = yield Ask(
        lambda now_us: (
            places.last_turn_us(keys),
            world.places(now_us).take(keys, token, lease_ms=LEASE_MS),
        )
    )
    assert isinstance(last_us, int)
    if server is not None:
        yield from ask_model(world, message, token, acquired)
    else:
        yield from stand(world, message, token, max(acquired.seq_us, last_us))


def stand(world: PlaceWorld, message: Publish, token: str, arrived_us: int) -> Actor:
    """Give the lease back, stand in line, and bring in whoever is called."""
    keys = world.keys_of(message.session)
    *_, called = yield Ask(
        lambda now_us: (
            *world.box(message.session, now_us).fail(
                token, delay_ms=0, refund=True, line_ms=LINE_MS, grace_ms=GRACE_MS
            ),
            world.places(now_us).stand(keys, arrived_us=arrived_us),
            world.places(now_us).call_next(reserve_ms=GRACE_MS),
        )
    )
    yield from bring(world, called)


def ask_model(world: PlaceWorld, message: Publish, token: str, acquired: Acquired) -> Actor:
    """The model answers, fails for a while, or refuses; the place is left with the lease."""
    session = message.session
    left_ms = world.random.randint(20, 400) if world.random.random() < 0.9 else 1500
    while left_ms > 0:
        yield Sleep(min(left_ms, actors.RENEW_MS))
        left_ms -= actors.RENEW_MS
        if left_ms > 0:
            is_ours, has_place = yield Ask(
                lambda now_us: (
                    world.box(session, now_us).renew(token, lease_ms=LEASE_MS),
                    world.places(now_us).hold(token, lease_ms=LEASE_MS),
                )
            )
            if not is_ours or not has_place:
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


def give_up(world: PlaceWorld, token: str, message: Publish | None) -> Actor:
    """Lease or place were lost: leave what is left of both."""
    before: Ending = failure(world, message.session, token) if message else lambda _: ()
    *_, called = yield Ask(lambda now_us: (*before(now_us), *leaving(world, token, now_us)))
    yield from bring(world, called)
    if message is not None:
        yield Publish(message.session, message.job, message.envelope)


def leaving(world: PlaceWorld, token: str, now_us: int) -> tuple[Call[object], Call[object]]:
    at = world.places(now_us)
    return at.leave(token, took_ms=100), at.call_next(reserve_ms=GRACE_MS)


def end(world: PlaceWorld, message: Publish, token: str, ending: Ending) -> Actor:
    """What ends the lease, with the place left before it."""
    _, called, *_, ended = yield Ask(
        lambda now_us: (*leaving(world, token, now_us), *ending(now_us))
    )
    if isinstance(ended, Committed | Discarded):
        yield from actors.wake(message.session, ended.next)
    yield from bring(world, called)


def failure(world: PlaceWorld, session: str, token: str) -> Ending:
    """FAIL, to come back as Celery's retry does."""
    return lambda now_us: world.box(session, now_us).fail(
        token, delay_ms=actors.RETRY_MS, refund=False, grace_ms=GRACE_MS
    )


def refusal(world: PlaceWorld, message: Publish, token: str) -> Ending:
    """A dead letter by the holder."""
    return lambda now_us: world.box(message.session, now_us).discard(
        message.job, "refused", token, cancelled=False, grace_ms=GRACE_MS
    )


def turn(world: PlaceWorld, message: Publish, token: str, acquired: Acquired) -> Ending:
    """COMMIT of a turn that says which turns it was made from."""
    records = actors.records_of(message.job, acquired)
    return lambda now_us: world.box(message.session, now_us).commit(
        token, message.job, records, keep=actors.KEEP, ttl_s=actors.TTL_S, grace_ms=GRACE_MS
    )


def bring(world: PlaceWorld, called: object) -> Actor:
    """The usher: wake who was called; pass the place on where there is nothing to run."""
    assert isinstance(called, list)
    for keys in called:
        is_coming = yield from summon(world, keys)
        if not is_coming:
            *_, others = yield Ask(
                lambda now_us, keys=keys: (  # type: ignore[misc]
                    world.places(now_us).pass_on(keys),
                    world.places(now_us).call_next(reserve_ms=GRACE_MS),
                )
            )
            yield from bring(world, others)


def summon(world: PlaceWorld, keys: SessionKeys) -> Generator[Step, list[object], bool]:
    """Whether the head of a session was woken."""
    session = keys.session_id
    for _ in range(SUMMONS):
        *_, swept = yield Ask(
            lambda now_us: places.summon(world.box(session, now_us), grace_ms=GRACE_MS)
        )
        assert isinstance(swept, Swept)
        if swept.outcome is SweepOutcome.WAKE and swept.head is not None:
            (is_published,) = yield Publish(session, swept.head.job_id)
            if not is_published:
                yield Ask(lambda now_us: (world.box(session, now_us).unwake(),))
            return True
        if swept.outcome is not SweepOutcome.BUSY:
            return False
        yield Sleep(50)
    return False


def sweep_line(world: PlaceWorld) -> Actor:
    """Call whoever is next, for ever."""
    while True:
        yield Sleep(SWEEP_MS)
        _, called = yield Ask(
            lambda now_us: (
                world.places(now_us).lapse(),
                world.places(now_us).call_next(reserve_ms=GRACE_MS),
            )
        )
        yield from bring(world, called)
