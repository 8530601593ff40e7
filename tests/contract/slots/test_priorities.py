"""Priorities in a simulated world: seeded kills, pauses, losses and duplicates, and a real server.

P5 each class gets its share; P6 none waits for ever; P7 a session is as urgent as its most urgent
job; and all that holds without priorities: order inside a session (I3), each job once (I1).
"""

import re
from collections import Counter

import pytest

from memory.mailbox import mailbox
from memory.mailbox.intake import ENQUEUE
from memory.redis.command import LuaScript
from memory.slots import slots
from tests.support.effort import effort
from tests.support.mailbox.journal import Violation
from tests.support.mailbox.mutants import by_name, mutate
from tests.support.mailbox.violation import first_violation
from tests.support.mailbox.world import Faults, Wire
from tests.support.slots.priorities import PriorityPlan, simulate_priorities

pytest_plugins = ["tests.support.mailbox.fixtures"]

PEACEFUL_SEEDS = effort(3, long=60)
PART = 4
SEEDS = effort(PART, long=60 * PART)
MUTANT_SEEDS = 20
HARSH = PriorityPlan(
    faults=Faults(kill=0.02, stop=0.03, lose_reply=0.04, late_message=0.1, double_message=0.2),
    is_exact=False,
)


def test_each_class_gets_its_share_and_each_session_its_class(wire: Wire) -> None:
    """P5, P6 and P7 without faults; all classes wait for the same two slots."""
    counted: Counter[str] = Counter()
    for seed in range(PEACEFUL_SEEDS):
        try:
            report, classes = simulate_priorities(wire, seed, PriorityPlan())
        except Violation as violation:
            violation.add_note(f"seed {seed}")
            raise
        assert report.commits > 20
        counted += classes
    assert len(counted) == 3, counted


@pytest.mark.long
@pytest.mark.parametrize("first_seed", range(0, SEEDS, PART))
def test_shares_are_kept_whatever_happens(wire: Wire, first_seed: int) -> None:
    """P5 and P6, and those of the mailbox; every job is done when the faults are over."""
    for seed in range(first_seed, first_seed + PART):
        try:
            simulate_priorities(wire, seed, HARSH)
        except Violation as violation:
            violation.add_note(f"seed {seed}")
            raise


MUTANTS: dict[str, tuple[LuaScript, str]] = {
    "the most urgent class is always the next": (
        mutate(slots.GRANT_SLOTS, (" or tag_of(i) < tag_of(chosen)", "")),
        "P5|P6",
    ),
    "a class that was served is due again at once": (
        mutate(slots.GRANT_SLOTS, ("tags[1] + strides[chosen]", "tags[1]")),
        "P5|P6",
    ),
    "whose turn it is was forgotten": (
        mutate(
            slots.GRANT_SLOTS,
            ("  noted = tags\n", ""),
            ("redis.call('HSET', call_stats", "redis.call('HSETNX', call_stats"),
        ),
        "P5|P6",
    ),
    "shares are all alike": (
        mutate(slots.GRANT_SLOTS, ("strides[i] = whole / share", "strides[i] = whole")),
        "P5",
    ),
    "all wait as normal ones": (
        mutate(slots.WAIT_FOR_SLOT, ("classes[priority]", "classes.normal")),
        "P7",
    ),
    "an urgent message lifts no session that waits": (
        mutate(ENQUEUE, ("redis.call('ZSCORE', queue, head) and head or ''", "''")),
        "P7",
    ),
    "nobody notes that a job is urgent": (
        mutate(ENQUEUE, ("if priority == 'interactive' then", "if false then")),
        "P7",
    ),
    "a session that has had a batch job stays so": (
        mutate(ENQUEUE, ("elseif held[8] then", "elseif false then")),
        "P7",
    ),
    "who runs the head does not learn how urgent its session is": (
        mutate(mailbox.ACQUIRE, (", class_of(seq_us, held[8], held[9])}", "}")),
        "P7",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_priorities_without_one_of_their_rules_are_found_out(wire: Wire, name: str) -> None:
    """The test of the test: some seed ends in the violation that is expected of it."""
    script, violation = MUTANTS[name]
    plan = PriorityPlan(mutants=by_name((script,)))
    found = first_violation(lambda seed: simulate_priorities(wire, seed, plan), MUTANT_SEEDS)
    assert re.search(violation, found)
