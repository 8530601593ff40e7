"""The world of the mailbox with operators who pause everything and resume it, or forget to.

Workers know of a pause a moment later; lookers find out that it is over, and wake who waits. The
books say what is paused, who waits, whose attempts may count, and who may begin.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from memory.mailbox import looks
from memory.mailbox.outcomes import Acquired, AcquireOutcome, Committed
from memory.outages import outages
from memory.outages.outages import NotedLook, NotedOutcome, Outage
from memory.pauses import pauses
from memory.pauses.pauses import Pause, PauseKind, PauseTarget
from memory.records.event import packed
from memory.redis.command import Command, LuaScript
from tests.support.mailbox import actors
from tests.support.mailbox.delivering import TTL_S, done_event, sweep_outboxes
from tests.support.mailbox.journal import Violation
from tests.support.mailbox.simulation import EVERYTHING
from tests.support.mailbox.world import (
    GRACE_MS,
    LEASE_MS,
    START_MS,
    Actor,
    Ask,
    Faults,
    NotedKeyspace,
    Publish,
    Sleep,
    Wire,
)
from tests.support.outages.simulation import (
    BACKSTOP_MS,
    DRAIN_MS,
    FAULTY_MS,
    LOOK_MS,
    OUTAGE_SCRIPTS,
    SESSIONS,
    OutageWorld,
    Report,
    wake,
)

ALL = PauseTarget(PauseKind.ALL)
SEEN_MS = 1000
"""So soon has each worker seen that something is paused."""
PAUSES_MS = ((50, 3000, 0), (4500, 0, 2500), (9000, 5000, 60_000))
"""When all is paused, when after that it is resumed (0: by nobody), and for how long it is paused
(0: until it is resumed)."""
AT_ONCE_MS = 10
"""How much later than its job was sent a session may stand among those that wait."""
SCRIPTS = {**OUTAGE_SCRIPTS, **{script.name: script for script in pauses.SCRIPTS}}


@dataclass(frozen=True)
class PausePlan:
    """What happens in a run."""

    faults: Faults = EVERYTHING
    jobs: int = 6
    cancels: int = 6
    backstop_ms: int = BACKSTOP_MS
    drain_ms: int = DRAIN_MS
    mutants: Mapping[str, LuaScript] = field(default_factory=dict)


class PauseWorld(OutageWorld):
    """A world in which all may be paused; its model always answers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.paused_since_ms: int | None = None
        self.places_us: dict[str, int] = {}
        """When the job was sent with which each session waits."""
        self.came = 0
        """How many jobs have come to wait since the pause was noted."""
        self.is_known = False
        """What workers that have not just asked take for true."""

    @property
    def outage(self) -> Outage:
        return Outage.of_pause(self.keyspace, str(ALL))

    def begins(self) -> None:
        """A turn begins; peaceful workers have seen a pause by then."""
        since_ms = self.paused_since_ms
        if self.books.is_peaceful and since_ms is not None and self.now_ms > since_ms + SEEN_MS:
            raise Violation(f"P1: a turn begins {self.now_ms - since_ms} ms after all was paused")

    def execute(self, commands: Sequence[Command[object]]) -> list[object]:
        """Those of operators are booked; the others as they are with outages."""
        if not commands:
            return []
        first = commands[0]
        if first.script is not None and first.script.name == "pause":
            (reply,) = self.wire.ask(self._mutated(first).wire())
            made = first.parse(reply)
            assert isinstance(made, Pause)
            for_ms = int(first.args[1])
            if made.until_ms != (self.now_ms + for_ms if for_ms else None):
                raise Violation(f"P3: all is paused for {for_ms} ms, until {made.until_ms}")
            self.paused_since_ms = made.since_ms
            if made.until_ms is not None:
                self.at(made.until_ms, self._is_over)
            return [made]
        results = super().execute(commands)
        if first.args[0] == "HDEL" and first.args[1] == self.keyspace.pauses:
            self.paused_since_ms = None
        return results

    def _is_over(self) -> None:
        self.paused_since_ms = None

    def _book(self, command: Command[object], result: object) -> None:
        match result:
            case outages.Parked():
                self.books.parked += 1
                self._book_place(str(command.args[0]), int(command.args[4]))
            case outages.Look():
                super()._book(command, result)
            case NotedLook(NotedOutcome.BACK):
                self.books.looked_at_until_ms = 0
                self._check_order(result)
            case NotedLook():
                self.books.looked_at_until_ms = 0
                if result.outcome is NotedOutcome.OVER:
                    self._check_count(result)

    def _book_place(self, member: str, place_us: int) -> None:
        self.came += self.places_us.get(member) != place_us
        self.places_us[member] = place_us

    def _book_removal(self, command: Command[object]) -> None:
        super()._book_removal(command)
        if command.script is not None and command.script.name == "forget":
            left = self.wire.ask(("ZRANGE", self.outage.keys.parked, 0, -1))[0]
            assert isinstance(left, list)
            names = {one.decode() for one in left}
            self.places_us = {one: at for one, at in self.places_us.items() if one in names}

    def _check_count(self, noted: NotedLook) -> None:
        """Who was woken in vain, and waits on, is counted once."""
        if noted.jobs > self.came:
            raise Violation(f"P4: {noted.jobs} jobs have waited, and {self.came} have come")
        self.came = 0

    def _check_order(self, noted: NotedLook) -> None:
        """Those that are woken are the first, each in the place of a job of its own."""
        for entry in noted.to_wake:
            name = entry.member.partition(":")[2]
            (last,) = self.wire.ask(("ZREVRANGE", self.box(name).keys.queue, 0, 0, "WITHSCORES"))
            assert isinstance(last, list)
            latest_us = float(last[1]) + AT_ONCE_MS * 1000 if last else float("inf")
            if entry.seen_ms > latest_us:
                raise Violation(f"P2: {name} waits behind those whose jobs came later")


def simulate(wire: Wire, seed: int, plan: PausePlan) -> Report:
    """Run one seed. Raises Violation where an invariant does not hold."""
    wire.ask(("FLUSHALL",))
    world = PauseWorld(
        wire,
        NotedKeyspace(),
        seed,
        plan.faults,
        work,  # type: ignore[arg-type]  # it gets this very world
        {**SCRIPTS, **plan.mutants},
    )
    world.backstop_ms = plan.backstop_ms
    producing = _start_everyone(world, plan)
    last_ms = START_MS + PAUSES_MS[-1][0] + PAUSES_MS[-1][1]
    world.run(
        lambda: not producing and world.ledger.is_drained() and world.now_ms > last_ms,
        for_ms=FAULTY_MS,
    )
    world.faults = Faults()
    world.start(resume(world))  # the last resort of an operator whose own was lost
    if not world.run(world.ledger.is_drained, for_ms=plan.drain_ms):
        pending = [sorted(session.pending) for session in world.ledger.sessions.values()]
        raise Violation(f"I10: nothing is paused, and still pending: {pending}")
    took_ms = world.now_ms - START_MS
    world.run(lambda: False, for_ms=2 * outages.LOOK_LEASE_MS + outages.QUIET_MS + 2 * LOOK_MS)
    _check(world)
    return Report(world.ledger.commits, world.books.parked, took_ms)


def _start_everyone(world: PauseWorld, plan: PausePlan) -> set[str]:
    producing = set(SESSIONS)
    for session in SESSIONS:
        jobs = [f"{session}-j{number}" for number in range(plan.jobs)]
        world.start(
            actors.produce(world, session, jobs),
            on_end=lambda _, session=session: producing.discard(session),  # type: ignore[misc]
        )
    for who in (actors.sweep, sweep_outboxes, look, look, know):
        _keep(world, who)
    for at_ms, resumed_ms, for_ms in PAUSES_MS:
        begins_ms = at_ms + world.random.randint(0, 500)
        world.start(pause(world, for_ms), delay_ms=begins_ms)
        if resumed_ms:
            world.start(resume(world), delay_ms=begins_ms + resumed_ms)
    for _ in range(plan.cancels):
        session = world.random.choice(SESSIONS)
        job = f"{session}-j{world.random.randrange(plan.jobs)}"
        world.start(actors.cancel(world, session, job), delay_ms=world.random.randint(0, 12_000))
    return producing


def _keep(world: PauseWorld, who: Callable[[PauseWorld], Actor], delay_ms: int = 0) -> None:
    """One that is killed comes back after a second."""
    world.start(who(world), on_end=lambda _: _keep(world, who, 1000), delay_ms=delay_ms)


def _check(world: PauseWorld) -> None:
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


def pause(world: PauseWorld, for_ms: int) -> Actor:
    """An operator pauses all."""
    yield Ask((pauses.pause(world.keyspace, ALL, "why", for_ms=for_ms),))


def resume(world: PauseWorld) -> Actor:
    """An operator resumes all."""
    yield Ask((pauses.resume(world.keyspace, ALL),))


def know(world: PauseWorld) -> Actor:
    """What workers know, as old as the last look."""
    while True:
        yield Sleep(SEEN_MS // 4)
        (found,) = yield Ask((pauses.every(world.keyspace),))
        world.is_known = _is_any(world, found)


def _is_any(world: PauseWorld, found: object) -> bool:
    assert isinstance(found, list)
    return any(not one.is_over(world.now_ms) for one in found)


def work(world: PauseWorld, message: Publish) -> Actor:
    """One Celery message: take the job, ask the model, commit; or wait for the end of a pause."""
    session, job, token = message.session, message.job, world.new_token()
    box = world.box(session)
    *_, acquired = yield Ask(
        box.acquire(
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
        if world.is_known:
            yield from park(world, message, token, acquired)
            return
        world.begins()
    yield Sleep(world.random.randint(200, 900))
    *_, committed = yield Ask(
        box.commit(
            token,
            job,
            actors.records_of(job, acquired),
            event=packed(done_event(job), box.keys.cipher),
            keep=actors.KEEP,
            ttl_s=TTL_S,
            grace_ms=GRACE_MS,
        )
    )
    assert isinstance(committed, Committed)
    yield from actors.wake(session, committed.next)


def park(world: PauseWorld, message: Publish, token: str, acquired: Acquired) -> Actor:
    """Give the lease back, the attempt not counted, and wait; a job of which more was asked
    meanwhile is woken."""
    box = world.box(message.session)
    *_, mine = yield Ask(
        (
            world.outage.note(),
            *box.fail(
                token,
                delay_ms=0,
                refund=True,
                slot_wait_ms=world.backstop_ms,
                is_paused=True,
                grace_ms=GRACE_MS,
            ),
            world.outage.park(box.keys, is_first=True, place_us=acquired.seq_us),
            looks.asked_meanwhile(box.keys, message.job, acquired),
        )
    )
    if mine is not None:
        yield Publish(message.session, message.job, message.envelope)


def look(world: PauseWorld) -> Actor:
    """Look whether it is paused still, and wake those that wait when it is not, for ever."""
    while True:
        yield Sleep(LOOK_MS // 2)
        (answer,) = yield Ask((world.outage.look(is_ours=True),))
        assert isinstance(answer, outages.Look)
        if answer.outcome is not outages.LookOutcome.LOOK:
            continue
        (found,) = yield Ask((pauses.every(world.keyspace),))
        (noted,) = yield Ask((world.outage.note_look(answers=not _is_any(world, found)),))
        assert isinstance(noted, NotedLook)
        for entry in noted.to_wake:
            yield from wake(world, entry.member.partition(":")[2])
        if noted.to_wake:
            yield Ask((world.outage.take_off(noted.to_wake),))
