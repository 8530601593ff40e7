"""Pauses in a simulated world: seeded kills, stops, losses and duplicates, and a real Redis.

P1 no turn begins while all is paused; P2 those that wait are woken in the order of their jobs; P3 a
pause lasts as long as it was to; P4 who is woken in vain is counted once; O1 no attempt is counted;
O2 one looks at a time; O4 nothing is left when all is done; I1 to I5 and I10 (no job is lost)
besides.
"""

import re
from dataclasses import replace

import pytest

from memory.mailbox.mailbox import FAIL
from memory.outages import outages
from memory.pauses import pauses
from memory.redis.command import LuaScript
from tests.support.effort import effort
from tests.support.mailbox.journal import Violation
from tests.support.mailbox.mutants import by_name, mutate
from tests.support.mailbox.scripts import FORGET
from tests.support.mailbox.violation import first_violation
from tests.support.mailbox.world import Faults, Wire
from tests.support.outages.simulation import NO_BACKSTOP_MS, RECOVERY_MS
from tests.support.pauses.simulation import PausePlan, simulate

pytest_plugins = ["tests.support.mailbox.fixtures"]

PART = 6
SEEDS = effort(PART, long=100 * PART)
PEACEFUL_SEEDS = effort(3, long=20)
MUTANT_SEEDS = 20
PEACE = PausePlan(faults=Faults(), backstop_ms=NO_BACKSTOP_MS, drain_ms=RECOVERY_MS)
HARSH = PausePlan(
    faults=Faults(kill=0.03, stop=0.06, lose_reply=0.05, late_message=0.2, double_message=0.2)
)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("first_seed", range(0, SEEDS, PART))
def test_the_invariants_hold_whatever_happens(wire: Wire, first_seed: int) -> None:
    """P2, P4, O2, O4 and those of the mailbox; every job is done when nothing is paused."""
    parked = 0
    for seed in range(first_seed, first_seed + PART):
        try:
            parked += simulate(wire, seed, HARSH if seed % 3 == 0 else PausePlan()).parked
        except Violation as violation:
            violation.add_note(f"seed {seed}")
            raise
    assert parked > PART * 5, "sessions wait"


def test_without_faults_nothing_is_counted_and_nothing_begins(wire: Wire) -> None:
    """O1 and P1; and no sweeper is needed to find who waits."""
    for seed in range(PEACEFUL_SEEDS):
        assert simulate(wire, seed, PEACE).parked > 10


MUTANTS: dict[str, tuple[LuaScript, str]] = {
    "FAIL counts the attempt": (
        mutate(FAIL, ("(tonumber(held[2]) or 0) - refund", "(tonumber(held[2]) or 0)")),
        "O1",
    ),
    "PARK forgets the session": (
        mutate(
            outages.PARK, ("redis.call('ZADD', parked, string.format('%.0f', place), session)", "")
        ),
        "I10",
    ),
    "PARK gives each the last place": (
        mutate(outages.PARK, ("if place > from then", "if false then")),
        "P2",
    ),
    "PARK gives who waits again the place that is taken off": (
        mutate(outages.PARK, ("place = math.max(place, before + 1)", "place = place")),
        "I10|O4",
    ),
    "who waits again meanwhile is taken off": (
        mutate(FORGET, ("score and tonumber(score) == tonumber(ARGV[i + 1])", "score")),
        "I10|O4",
    ),
    "PARK counts who waits on": (
        mutate(outages.PARK, ("if before >= place then is_first = 0 end", "")),
        "P4",
    ),
    "PAUSE has no end": (
        mutate(pauses.PAUSE, ("now_ms + for_ms or 0", "9e14 or 0")),
        "P3",
    ),
}
KNOWN = {"PARK gives who waits again the place that is taken off": 10}
"""The first seed that found it, where few do."""


@pytest.mark.parametrize("name", MUTANTS)
def test_pauses_without_one_of_their_rules_are_found_out(wire: Wire, name: str) -> None:
    """The test of the test: some seed ends in the violation that is expected of it."""
    script, violation = MUTANTS[name]
    mutated = replace(PEACE, mutants=by_name((script,)))
    found = first_violation(
        lambda seed: simulate(wire, seed, mutated), MUTANT_SEEDS, known=KNOWN.get(name, 0)
    )
    assert re.search(violation, found)
