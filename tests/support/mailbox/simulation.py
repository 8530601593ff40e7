"""One simulated run: sessions, disturbances, faults for a while, then peace; the books checked."""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from memory.mailbox.due import IDLE_MS
from memory.mailbox.intake import OnBusy
from memory.redis.command import LuaScript
from tests.support.mailbox import actors, delaying, delivering
from tests.support.mailbox.ends import all_keys
from tests.support.mailbox.journal import Violation
from tests.support.mailbox.world import (
    LEASE_MS,
    MOST_LEASES,
    Actor,
    Faults,
    NotedKeyspace,
    Wire,
    World,
)

SESSIONS = ("s1", "s2", "s3")
JOBS_PER_SESSION = 8
FAULTY_MS = 60_000
DRAIN_MS = IDLE_MS + 120_000
"""A producer that stops between SCHEDULE and ENQUEUE for longer than a sweep, and dies before it
publishes, is noticed when the idle entry is looked at again. All else takes seconds."""
LATEST_END_MS = 5000
"""S, g, the claim of a deliverer that died, and the time in which a sweeper comes back."""
HOUR_MS = 3_600_000
JUMPS_WITHIN_MS = 8_000
TAKES_OVER = [one for one in OnBusy if one is not OnBusy.ENQUEUE]
LATE_MS = 11_000
"""No message is later than this."""
RECOVERY_MS = 60_000
"""Where no process stops, all is done in this time after the last fault: some attempts at some
jobs, of which each may take a lease, a sweep and a wake-up."""

EVERYTHING = Faults(
    kill=0.01,
    stop=0.005,
    lose_request=0.02,
    lose_reply=0.02,
    fail_publish=0.02,
    lose_message=0.05,
    double_message=0.05,
    late_message=0.05,
)


@dataclass(frozen=True)
class Plan:
    """What happens in a run."""

    faults: Faults = EVERYTHING
    model_fails: float = 0.1
    model_refuses: float = 0.05
    expires: float = 0.0
    raw_sends: int = 3
    cancels: int = 3
    cleans: int = 3
    sweepers: int = 2
    is_cluster: bool = False
    takeovers: int = 0
    delays: int = 0
    """How many jobs are sent before they are due."""
    jumps: tuple[int, ...] = ()
    """How far the server's clock is set each time, ms."""
    killed_at_jump: float = 0.0
    """How many of the processes die at the same moment."""
    drain_ms: int = DRAIN_MS
    """Within what time after the faults every job is done."""
    erasures: int = 0
    reuses: int = 0
    twins: int = 0
    damages: int = 0
    damaged_lists_ms: int = 0
    sweep: Callable[[World], Actor] = actors.sweep
    mutants: Mapping[str, LuaScript] = field(default_factory=dict)


CLOCK_PLAN = Plan(faults=replace(EVERYTHING, stop=0.0, kill=0.03), drain_ms=RECOVERY_MS)
"""Nobody stops between SCHEDULE and ENQUEUE, so all that is lost is found within seconds."""
KILLED_PLAN = Plan(
    faults=Faults(), model_fails=0, model_refuses=0, raw_sends=0, cancels=0, killed_at_jump=0.5
)
PEACE_PLAN = Plan(faults=Faults(), model_fails=0.3)


@dataclass(frozen=True)
class Report:
    """What came of it."""

    commits: int
    longest_idle_ms: int
    longest_still_ms: int
    latest_end_ms: int


def jumps_of(seed: int) -> tuple[int, ...]:
    """Three times that the clock is set, in both directions, by seconds or by up to an hour."""
    draw = random.Random(seed)
    sizes_ms = (draw.choice((draw.randint(1000, 60_000), HOUR_MS)) for _ in range(3))
    return tuple(draw.choice((-1, 1)) * size_ms for size_ms in sizes_ms)


def simulate(wire: Wire, seed: int, plan: Plan) -> Report:
    """Run one seed. Raises Violation where an invariant does not hold."""
    wire.ask(("FLUSHALL",))
    world = World(
        wire,
        NotedKeyspace(is_cluster=plan.is_cluster),
        seed,
        plan.faults,
        actors.work,
        plan.mutants,
        model_fails=plan.model_fails,
        model_refuses=plan.model_refuses,
        expires=plan.expires,
    )
    damaged = SESSIONS[2:] if plan.damages else ()
    broken = {world.box(session).keys.history for session in damaged}
    world.ends.is_clock_set = bool(plan.jumps)
    world.unwatched = {key for one in broken for key in all_keys(world.keyspace, one)}
    producing = _start_everyone(world, plan)
    world.run(lambda: not producing and world.ledger.is_drained(broken), for_ms=FAULTY_MS)
    world.faults, peace_ms = Faults(), world.now_ms
    if not world.run(lambda: world.ledger.is_drained(broken), for_ms=plan.drain_ms):
        pending = [sorted(session.pending) for session in world.ledger.sessions.values()]
        raise Violation(f"I10: faults are over, and still pending: {pending}")
    world.run(lambda: False, for_ms=LATE_MS + plan.damaged_lists_ms)
    _check(world, broken)
    ledger, latest_ms = world.ledger, world.ends.latest_ms(peace_ms, broken)
    # A sweeper that was stopped when the faults ended goes on later.
    stopped_ms = MOST_LEASES * LEASE_MS if plan.faults.stop else 0
    if latest_ms > LATEST_END_MS + stopped_ms and not plan.damaged_lists_ms + len(plan.jumps):
        raise Violation(f"I11: a result was stored {latest_ms} ms after its job's end")
    return Report(ledger.commits, ledger.longest_idle_ms, ledger.longest_still_ms, latest_ms)


def _start_everyone(world: World, plan: Plan) -> set[str]:
    """Start all; the names that are still producing, to be looked at later."""
    producing = set(SESSIONS)
    for session in SESSIONS:
        jobs = [f"{session}-j{number}" for number in range(JOBS_PER_SESSION)]
        ended = _removing(session, producing)
        world.start(actors.produce(world, session, jobs), on_end=ended)
    for _ in range(plan.sweepers):
        for sweeper in (plan.sweep, delivering.sweep_outboxes):
            _keep_sweeping(world, sweeper)
    draw = world.random
    for number in range(plan.raw_sends):
        raw = actors.send_raw(draw.choice(SESSIONS), f"raw{number}")
        world.start(raw, delay_ms=draw.randint(0, 3000))
    for _ in range(plan.cancels):
        session = draw.choice(SESSIONS)
        job = f"{session}-j{draw.randrange(JOBS_PER_SESSION)}"
        world.start(actors.cancel(world, session, job), delay_ms=draw.randint(0, 3000))
    for number in range(plan.takeovers):
        on_busy = draw.choice(TAKES_OVER)
        session = draw.choice(SESSIONS)
        sender = actors.send_again(world, session, f"{session}-again{number}", on_busy)
        world.start(sender, delay_ms=draw.randint(0, 3000))
    for _ in range(plan.cleans):
        cleaner = actors.clean(world, draw.choice(SESSIONS))
        world.start(cleaner, delay_ms=draw.randint(0, 6000))
    plan_jumps(world, plan.jumps, plan.killed_at_jump)
    _start_those_who_delay(world, plan)
    _start_those_who_disturb(world, plan)
    return producing


def plan_jumps(world: World, jumps: Iterable[int], killed: float = 0.0) -> None:
    """Set the server's clock at some time, and kill some who are there then."""

    def jump(by_ms: int) -> None:
        world.set_clock(by_ms)
        world.kill_some(killed)

    for by_ms in jumps:
        at_ms = world.now_ms + world.random.randint(500, JUMPS_WITHIN_MS)
        world.at(at_ms, partial(jump, by_ms))


def _start_those_who_delay(world: World, plan: Plan) -> None:
    """Those who send before it is time, and those who take in what is due."""
    draw = world.random
    for _ in range(plan.sweepers if plan.delays else 0):
        _keep_sweeping(world, delaying.take_in_what_is_due)
    for number in range(plan.delays):
        session, on_busy = draw.choice(SESSIONS), draw.choice(TAKES_OVER)
        sender = delaying.send_later(world, session, f"{session}-later{number}", on_busy)
        world.start(sender, delay_ms=draw.randint(0, 3000))


def _start_those_who_disturb(world: World, plan: Plan) -> None:
    """Those who erase, who use ids again, and who damage keys."""
    draw = world.random
    histories = [world.box(session).keys.history for session in SESSIONS]
    for _ in range(plan.erasures):
        eraser = delivering.erase(world, draw.choice(SESSIONS))
        world.start(eraser, delay_ms=draw.randint(0, 4000))
    for number in range(plan.reuses):
        user = delivering.reuse(world, draw.choice(SESSIONS), number)
        world.start(user, delay_ms=draw.randint(500, 6000))
    for _ in range(plan.twins):
        twin = delivering.repeat_elsewhere(world)
        world.start(twin, delay_ms=draw.randint(500, 6000))
    for _ in range(plan.damages):
        at_ms = world.now_ms + draw.randint(0, 3000)
        world.at(at_ms, lambda: delivering.damage(world, histories[2]))
    if plan.damaged_lists_ms:
        at_ms = world.now_ms + draw.randint(0, 3000)
        world.at(at_ms, lambda: delivering.damage_lists(world))
        mended_ms = at_ms + plan.damaged_lists_ms
        world.at(mended_ms, lambda: delivering.mend_lists(world, histories))


def _removing(session: str, producing: set[str]) -> Callable[[bool], None]:
    def ended(_: bool) -> None:
        producing.discard(session)

    return ended


def _keep_sweeping(world: World, sweeper: Callable[[World], Actor], delay_ms: int = 0) -> None:
    """A sweeper that is killed comes back after a second."""
    world.start(
        sweeper(world),
        on_end=lambda _: _keep_sweeping(world, sweeper, 1000),
        delay_ms=delay_ms,
    )


def _check(world: World, broken: set[str]) -> None:
    for session in SESSIONS:
        mailbox = world.box(session)
        if mailbox.keys.history in broken:
            continue
        world.ledger.check_history(mailbox.keys)
        world.ledger.check_merged(mailbox.keys)
        world.ends.check(mailbox.keys)
        world.ends.check_erased(mailbox.keys, delivering.word)
        if pending := mailbox.pending().parse(world.wire.ask(mailbox.pending().wire())[0]):
            raise Violation(f"I10: {pending} came back after all was drained")
    world.ledger.check_accepted(broken)
