"""Outages in a simulated world: seeded kills, pauses, losses and duplicates, and a real Redis.

O1 no attempt at a job counts that the server has not answered; O2 one looks at a time; O3 those
that wait are woken in their order; O4 nothing is left when all is done; I1 to I5 and I10 besides.
"""

import re
from dataclasses import replace

import pytest

from memory.mailbox.mailbox import FAIL
from memory.outages import outages
from memory.redis.command import LuaScript
from tests.support.effort import effort
from tests.support.mailbox.journal import Violation
from tests.support.mailbox.mutants import by_name, mutate
from tests.support.mailbox.scripts import FORGET
from tests.support.mailbox.simulation import jumps_of
from tests.support.mailbox.violation import first_violation
from tests.support.mailbox.world import Faults, Wire
from tests.support.outages.simulation import (
    EVERYTHING,
    NO_BACKSTOP_MS,
    RECOVERY_MS,
    OutagePlan,
    simulate,
)

pytest_plugins = ["tests.support.mailbox.fixtures"]

PART, CLOCK_PART = 12, 6
SEEDS = effort(PART, long=160 * PART)
PEACEFUL_SEEDS = effort(2, long=10)
MUTANT_SEEDS = 40
PEACE = OutagePlan(faults=Faults(), backstop_ms=NO_BACKSTOP_MS, drain_ms=RECOVERY_MS)
CLOCK = OutagePlan(faults=replace(EVERYTHING, stop=0.0, kill=0.03), drain_ms=RECOVERY_MS)
HARSH = OutagePlan(
    faults=Faults(kill=0.03, stop=0.06, lose_reply=0.05, late_message=0.2, double_message=0.2)
)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("first_seed", range(0, SEEDS, PART))
def test_the_invariants_hold_whatever_happens(wire: Wire, first_seed: int) -> None:
    """O2 to O4 and those of the mailbox; every job is done when the faults are over."""
    parked = 0
    for seed in range(first_seed, first_seed + PART):
        try:
            plan = HARSH if seed % 3 == 0 else OutagePlan()
            parked += simulate(wire, seed, replace(plan, is_full=seed % 4 == 1)).parked
        except Violation as violation:
            violation.add_note(f"seed {seed}")
            raise
    assert parked > PART * 10, "sessions wait"


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("first_seed", range(0, SEEDS // 2, CLOCK_PART))
def test_the_invariants_hold_while_the_servers_clock_is_set(wire: Wire, first_seed: int) -> None:
    """By up to an hour, in both directions; and all is done within a minute after the faults."""
    for seed in range(first_seed, first_seed + CLOCK_PART):
        try:
            simulate(wire, seed, replace(CLOCK, jumps=jumps_of(seed)))
        except Violation as violation:
            violation.add_note(f"seed {seed}, jumps {jumps_of(seed)}")
            raise


@pytest.mark.long
def test_without_faults_nothing_is_counted_and_nothing_is_forgotten(wire: Wire) -> None:
    """O1; and no sweeper is needed to find who waits."""
    for seed in range(PEACEFUL_SEEDS):
        assert simulate(wire, seed, replace(PEACE, is_full=seed % 2 == 1)).parked > 10


MUTANTS: dict[str, tuple[LuaScript, OutagePlan, str]] = {
    "FAIL counts the attempt": (
        mutate(FAIL, ("(tonumber(held[2]) or 0) - refund", "(tonumber(held[2]) or 0)")),
        PEACE,
        "O1",
    ),
    "PARK forgets the session": (
        mutate(
            outages.PARK,
            ("redis.call('ZADD', parked, string.format('%.0f', place), session)", ""),
        ),
        PEACE,
        "I10",
    ),
    "PARK lets the last overtake": (
        mutate(
            outages.PARK, ("math.max(from + now_us, (tonumber(last[2]) or from) + 1)", "-now_us")
        ),
        PEACE,
        "O3",
    ),
    "LOOK lets everybody look": (
        mutate(outages.LOOK, ("left + unwatched_ms > 0 and held[3]", "false")),
        PEACE,
        "O2",
    ),
    "who waits again meanwhile is taken off": (
        mutate(FORGET, ("score and tonumber(score) == tonumber(ARGV[i + 1])", "score")),
        replace(PEACE, is_full=True),
        "I10|O4",
    ),
    "nobody looks again where the first has died": (
        mutate(
            outages.LOOK,
            (
                "'look_at', now_ms + lease_ms, 'look_ms', lease_ms",
                "'look_at', 9e15, 'look_ms', 9e15",
            ),
        ),
        replace(HARSH, drain_ms=RECOVERY_MS, faults=Faults(kill=0.05)),
        "I10|O4",
    ),
    "a look may lie in the future": (
        mutate(
            outages.LOOK,
            ("left_ms(outage, 'look_at', held[3], held[4])", "(held[3] or 0) - now_ms"),
        ),
        replace(PEACE, jumps=(-3_600_000,)),
        "I10|O4",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_outages_without_one_of_their_rules_are_found_out(wire: Wire, name: str) -> None:
    """The test of the test: some seed ends in the violation that is expected of it."""
    script, plan, violation = MUTANTS[name]
    assert re.search(violation, violation_of(wire, script, plan))


def violation_of(wire: Wire, mutant: LuaScript, plan: OutagePlan) -> str:
    """How the first of the seeds ends that ends badly."""
    mutated = replace(plan, mutants=by_name((mutant,)))
    return first_violation(lambda seed: simulate(wire, seed, mutated), MUTANT_SEEDS)
