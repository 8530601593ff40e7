"""The mailbox in a simulated world: seeded kills, pauses, losses and duplicates, and a real server.

The seeds are fixed, so a failure can be repeated: its message names the seed.
"""

import re
from dataclasses import replace

import pytest

from memory.mailbox.mailbox import ACQUIRE, COMMIT
from memory.mailbox.outcomes import AcquireOutcome, CommitOutcome, JobToWake
from tests.support.effort import effort
from tests.support.mailbox.journal import Violation
from tests.support.mailbox.mutants import (
    ACQUIRE_HEAD_CHECK,
    COMMIT_HEAD_CHECK,
    Mutant,
    by_name,
    look_when_due,
    mutants_by_clock,
    mutants_by_idleness,
    mutants_by_violation,
    without,
)
from tests.support.mailbox.mutants_of_ends import DEADLY, mutants_of_ends
from tests.support.mailbox.rig import (
    GRACE_MS,
    LEASE_MS,
    START_MS,
    TTL_S,
    Rig,
    done_event,
    turn_of,
)
from tests.support.mailbox.simulation import (
    CLOCK_PLAN,
    HOUR_MS,
    KILLED_PLAN,
    PEACE_PLAN,
    Plan,
    jumps_of,
    simulate,
)
from tests.support.mailbox.violation import first_violation
from tests.support.mailbox.world import GRACE_MS as PATIENCE_MS
from tests.support.mailbox.world import LEASE_MS as WORLD_LEASE_MS
from tests.support.mailbox.world import SWEEP_MS, Wire

pytest_plugins = ["tests.support.mailbox.fixtures"]

PART, CLOCK_PART = 20, 10
SEEDS = effort(PART, long=240 * PART)
PEACEFUL_SEEDS = effort(4, long=20)
IDLE_MS = 100
MUTANT_SEEDS = 80
TAKEOVERS = 6
DISTURBED = (
    Plan(),
    Plan(faults=DEADLY, cancels=8, expires=0.2),
    Plan(erasures=2),
    Plan(faults=DEADLY, erasures=5),
    Plan(reuses=6, twins=4),
    Plan(reuses=6, twins=4, is_cluster=True),
    Plan(damages=3),
    Plan(delays=9, cancels=6, erasures=1),
    Plan(faults=DEADLY, delays=9, is_cluster=True),
    Plan(damaged_lists_ms=20_000),
)
"""Each with and without takeovers: a part has them all, once."""
STILL_MS = 1500 + 1000 + SWEEP_MS + WORLD_LEASE_MS + PATIENCE_MS + SWEEP_MS + 500
"""The longest call of the model, the restart of a sweeper and its first look; a lease from then on,
the grace, another look; some messages under way."""


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("first_seed", range(0, SEEDS, PART))
def test_the_invariants_hold_whatever_happens(wire: Wire, first_seed: int) -> None:
    """I1 to I5 throughout, and I10 to I16 when the faults are over; every other time with people
    who interrupt, roll back, replace and merge, and each time with one kind of disturbance."""
    commits = 0
    for seed in range(first_seed, first_seed + PART):
        plan = replace(DISTURBED[seed // 2 % len(DISTURBED)], takeovers=seed % 2 * TAKEOVERS)
        try:
            commits += simulate(wire, seed, plan).commits
        except Violation as violation:
            violation.add_note(f"seed {seed}")
            raise
    assert commits > PART * 10, "the runs do something"


@pytest.mark.long
def test_without_faults_no_mailbox_with_work_stands_idle(wire: Wire) -> None:
    """The next job starts at once; nothing waits for the sweeper."""
    for seed in range(PEACEFUL_SEEDS):
        plan = replace(PEACE_PLAN, takeovers=seed % 2 * TAKEOVERS)
        report = simulate(wire, seed, plan)
        assert report.longest_idle_ms <= IDLE_MS, f"seed {seed}"


def test_a_run_can_be_repeated(wire: Wire) -> None:
    """The same seed gives the same run."""
    assert simulate(wire, 7, Plan()) == simulate(wire, 7, Plan())


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("first_seed", range(0, SEEDS // 2, CLOCK_PART))
def test_the_invariants_hold_while_the_servers_clock_is_set(wire: Wire, first_seed: int) -> None:
    """By up to an hour, in both directions; and all is done within a minute after the faults."""
    for seed in range(first_seed, first_seed + CLOCK_PART):
        plan = replace(CLOCK_PLAN, takeovers=seed % 2 * TAKEOVERS, jumps=jumps_of(seed))
        try:
            simulate(wire, seed, plan)
        except Violation as violation:
            violation.add_note(f"seed {seed}, jumps {plan.jumps}")
            raise


@pytest.mark.long
@pytest.mark.parametrize("by_ms", [-HOUR_MS, -40_000, -2000, 2000, HOUR_MS])
def test_a_clock_that_is_set_while_workers_die_costs_one_lease(wire: Wire, by_ms: int) -> None:
    """I16: no session with work stands still for longer than that and two sweeps."""
    for seed in range(PEACEFUL_SEEDS):
        report = simulate(wire, seed, replace(KILLED_PLAN, jumps=(by_ms,)))
        assert report.longest_still_ms <= STILL_MS, f"seed {seed}"


def test_a_due_list_that_is_only_set_back_is_found_out_by_time(wire: Wire) -> None:
    """It costs two leases: one until the first look, and one from there."""
    plan = replace(KILLED_PLAN, jumps=(-HOUR_MS,), mutants=by_name(look_when_due()))
    still_ms = (simulate(wire, seed, plan).longest_still_ms for seed in range(MUTANT_SEEDS))
    assert any(still > STILL_MS for still in still_ms)


MUTANTS = mutants_by_violation() | mutants_by_clock() | mutants_of_ends()
IDLERS = mutants_by_idleness()
KNOWN = {
    "COMMIT answers ALREADY for a cancelled job": 43,
    "an idle entry is dropped at once": 20,
    "PUBLISH lets anybody speak": 7,
    "MERGE drops what follows the merged": 5,
    "who delivers too late is not told of the erasure": 4,
    "a sweeper stops at a damaged mailbox": 2,
}
"""The first seeds that found them, of those that few find or whose runs are long."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mailbox_without_one_of_its_rules_is_found_out(wire: Wire, name: str) -> None:
    """The test of the test: some seed ends in the violation that is expected of it."""
    assert re.search(MUTANTS[name].violation, violation_of(wire, MUTANTS[name], KNOWN.get(name, 0)))


def violation_of(wire: Wire, mutant: Mutant, known: int) -> str:
    """How the first of the seeds ends that ends badly."""
    plan = replace(mutant.plan, mutants=by_name(mutant.scripts))
    return first_violation(lambda seed: simulate(wire, seed, plan), MUTANT_SEEDS, known=known)


@pytest.mark.parametrize("name", IDLERS)
def test_a_mailbox_that_names_no_next_is_found_out_by_its_idleness(wire: Wire, name: str) -> None:
    """All invariants hold then, as the sweeper mends it; only time shows it."""
    mutant = IDLERS[name]
    plan = replace(mutant.plan, mutants=by_name(mutant.scripts))
    idle_ms = (simulate(wire, seed, plan).longest_idle_ms for seed in range(MUTANT_SEEDS))
    assert any(idle > IDLE_MS for idle in idle_ms)


def test_commit_without_its_head_check_is_found_out_directly(real_rig: Rig) -> None:
    """No simulation finds it, as ACQUIRE checks too."""
    for job in ("j1", "j2"):
        real_rig.enqueue(job)
    until_ms = START_MS + LEASE_MS
    real_rig.ask("HSET", real_rig.box.keys.lease, "token", "t2", "job", "j2", "until", until_ms)
    *_, commit = real_rig.box.commit(
        "t2",
        "j2",
        turn_of("j2"),
        event=done_event("j2"),
        keep=9,
        ttl_s=TTL_S,
        grace_ms=GRACE_MS,
    )
    assert real_rig.connection.run(commit).outcome is CommitOutcome.REORDER
    mutant = replace(commit, script=without(COMMIT, COMMIT_HEAD_CHECK))
    assert real_rig.connection.run(mutant).outcome is CommitOutcome.OK


def test_acquire_without_its_head_check_is_found_out_directly(real_rig: Rig) -> None:
    """No simulation finds it, as COMMIT checks too."""
    for job in ("j1", "j2"):
        real_rig.enqueue(job)
    acquire = real_rig.box.acquire(
        "j2", "t2", lease_ms=1, history_n=9, max_attempts=9, ttl_s=TTL_S, grace_ms=GRACE_MS
    )[-1]
    answer = real_rig.connection.run(acquire)
    assert (answer.outcome, type(answer.head)) == (AcquireOutcome.NOT_HEAD, JobToWake)
    mutant = replace(acquire, script=without(ACQUIRE, ACQUIRE_HEAD_CHECK))
    assert real_rig.connection.run(mutant).outcome is AcquireOutcome.RUN
