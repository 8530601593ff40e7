"""Slots in a simulated world: seeded kills, pauses, losses and duplicates, and a real server.

P1 never more than the limit hold a slot; P2 no agent gets two slots while another waits; P3 in
order of arrival within an agent; P4 nothing is left when all is done; I1 to I5 and I10 besides.
"""

import re
from dataclasses import replace

import pytest

from memory.redis.command import LuaScript
from memory.slots import slots
from tests.support.effort import effort
from tests.support.mailbox.journal import Violation
from tests.support.mailbox.mutants import by_name, mutate
from tests.support.mailbox.simulation import HOUR_MS, jumps_of
from tests.support.mailbox.violation import first_violation
from tests.support.mailbox.world import Faults, Wire
from tests.support.slots.simulation import EVERYTHING, RECOVERY_MS, SlotPlan, simulate

pytest_plugins = ["tests.support.mailbox.fixtures"]

PART, CLOCK_PART = 6, 3
SEEDS = effort(PART, long=300 * PART)
"""A part has each plan with one server and with two."""
PEACEFUL_SEEDS = effort(2, long=20)
MUTANT_SEEDS = 40
FREE_MS = 20
PEACE = SlotPlan(faults=Faults(), cancels=0, model_fails=0)
CLOCK = SlotPlan(faults=replace(EVERYTHING, stop=0.0, kill=0.03), drain_ms=RECOVERY_MS)
KILLED = replace(PEACE, killed_at_jump=0.5, drain_ms=RECOVERY_MS)
KILLED_MS = 20_000
"""What a run takes in which half of all die once: about nine seconds, and a lease or two."""
HARSH = SlotPlan(
    faults=Faults(kill=0.03, stop=0.06, lose_reply=0.05, late_message=0.2, double_message=0.2)
)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("first_seed", range(0, SEEDS, PART))
def test_the_invariants_hold_whatever_happens(wire: Wire, first_seed: int) -> None:
    """P1, P4 and those of the mailbox; every job is done when the faults are over."""
    granted = 0
    for seed in range(first_seed, first_seed + PART):
        try:
            plan = HARSH if seed % 3 == 0 else SlotPlan()
            granted += simulate(wire, seed, replace(plan, servers=1 + seed % 2)).granted
        except Violation as violation:
            violation.add_note(f"seed {seed}")
            raise
    assert granted > PART * 10, "sessions wait"


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("first_seed", range(0, SEEDS // 2, CLOCK_PART))
def test_the_invariants_hold_while_the_servers_clock_is_set(wire: Wire, first_seed: int) -> None:
    """By up to an hour, in both directions; and all is done within a minute after the faults."""
    for seed in range(first_seed, first_seed + CLOCK_PART):
        try:
            simulate(wire, seed, replace(CLOCK, servers=1 + seed % 2, jumps=jumps_of(seed)))
        except Violation as violation:
            violation.add_note(f"seed {seed}, jumps {jumps_of(seed)}")
            raise


@pytest.mark.long
@pytest.mark.parametrize("by_ms", [-HOUR_MS, -40_000, HOUR_MS])
def test_a_clock_that_is_set_while_workers_die_costs_little(wire: Wire, by_ms: int) -> None:
    """Half of all processes die at that moment: their slots are free again after a lease."""
    for seed in range(PEACEFUL_SEEDS):
        plan = replace(KILLED, servers=1 + seed % 2, jumps=(by_ms,))
        assert simulate(wire, seed, plan).took_ms <= KILLED_MS, f"seed {seed}"


@pytest.mark.long
def test_without_faults_it_is_fair_and_no_slot_is_free_in_vain(wire: Wire) -> None:
    """P2 and P3; and as long as a session waits, a free slot is reserved for the next."""
    for seed in range(PEACEFUL_SEEDS):
        report = simulate(wire, seed, replace(PEACE, servers=1 + seed % 2))
        assert report.longest_free_ms <= FREE_MS, f"seed {seed}"
        assert report.granted > 20


MUTANTS: dict[str, tuple[LuaScript, SlotPlan, str]] = {
    "TAKE_SLOT does not count": (
        mutate(slots.TAKE_SLOT, (" and redis.call('ZCARD', KEYS[i]) < limit_of[i - 4]", "")),
        PEACE,
        "P1",
    ),
    "GRANT_SLOTS reserves one slot too many": (
        mutate(slots.GRANT_SLOTS, ("< limit_of[i - 3]", "<= limit_of[i - 3]")),
        PEACE,
        "P1",
    ),
    "RENEW_SLOT takes a slot back that was granted again": (
        mutate(
            slots.RENEW_SLOT,
            ("if redis.call('ZSCORE', slots, token) then", "if true then"),
        ),
        HARSH,
        "P1",
    ),
    "EXPIRE_SLOTS forgets a session that did not come": (
        mutate(slots.EXPIRE_SLOTS, ("    if arrived then\n", "    if false then\n")),
        SlotPlan(faults=Faults(kill=0.05, lose_message=0.2), cancels=0),
        "I10|P4",
    ),
    "no slot ever expires": (
        mutate(slots.EXPIRE_SLOTS, ("'-inf', now_ms", "'-inf', '-inf'")),
        SlotPlan(faults=Faults(kill=0.05), cancels=0, drain_ms=RECOVERY_MS),
        "I10|P4",
    ),
    "a slot may end at any time": (
        mutate(slots.EXPIRE_SLOTS, ("now_ms + most_ms, who", "'inf', who")),
        replace(KILLED, jumps=(-HOUR_MS,)),
        "I10|P4",
    ),
    "the agent that got a slot stays the first": (
        mutate(
            slots.GRANT_SLOTS,
            (
                "round_robin, 'NX', (tonumber(last[2]) or class.turn) + 1, agent",
                "round_robin, 0, agent",
            ),
        ),
        PEACE,
        "P2",
    ),
    "the waiters are in no order of arrival": (
        mutate(
            slots.WAIT_FOR_SLOT,
            (
                "local entry = agent .. ':' .. arrived",
                "local entry = agent .. ':' .. string.reverse(arrived)",
            ),
        ),
        PEACE,
        "P3|P4|I10",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_slots_without_one_of_their_rules_are_found_out(wire: Wire, name: str) -> None:
    """The test of the test: some seed ends in the violation that is expected of it."""
    script, plan, violation = MUTANTS[name]
    assert re.search(violation, violation_of(wire, script, plan))


def test_slots_that_are_never_released_are_found_out_by_time(wire: Wire) -> None:
    """All invariants hold then, as leases end; only time shows it."""
    leave = mutate(
        slots.RELEASE_SLOT,
        ("if left == 0 then", "if true then"),
        ("left + redis.call('ZREM', KEYS[i], who)", "0"),
    )
    mutated = replace(PEACE, mutants=by_name((leave,)))
    assert simulate(wire, 1, mutated).took_ms > 5 * simulate(wire, 1, PEACE).took_ms


def violation_of(wire: Wire, mutant: LuaScript, plan: SlotPlan) -> str:
    """How the first of the seeds ends that ends badly."""
    mutated = replace(plan, mutants=by_name((mutant,)))
    return first_violation(lambda seed: simulate(wire, seed, mutated), MUTANT_SEEDS)
