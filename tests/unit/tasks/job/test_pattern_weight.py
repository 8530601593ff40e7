"""How large the automaton of a pattern is thought to be."""

from contextlib import suppress

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.job.weights.pattern_weight import MOST, pattern_weight
from tests.support.machine import cpu_s, scaled

WEIGHTS = {
    "": 0,
    "abc": 3,
    "^a+$": 1,
    "a{3}": 3,
    "a{2,}": 2,
    "a{0,7}b": 8,
    "(a{1,50}){1,50}": 2550,
    "((a{1,50}){1,50}){1,10}": 25_510,
    r"\d{4}": 94,
    r"a\{9\}": 4,
    "[{9}]": 2,
    "(?:ab|c){10}": 40,
    r"\p{L}": 2600,
}


@pytest.mark.parametrize("pattern", WEIGHTS)
def test_counted_repetitions_multiply(pattern: str) -> None:
    """Within each other, and only where they are repetitions."""
    assert pattern_weight(pattern) == WEIGHTS[pattern]


@pytest.mark.parametrize("part", ["[", "\\", "(", ")", "a{9}", "(?i", "[^]", "\\p{", "{9}", "(?<a"])
def test_any_pattern_is_weighed_quickly(part: str) -> None:
    """A schema may have 32 kB of one: nothing is read twice."""
    pattern = part * (32_768 // len(part))
    assert 0 <= pattern_weight(pattern) <= MOST
    assert cpu_s(lambda: pattern_weight(pattern)) < scaled(0.3)


@given(pattern=st.text(alphabet="ab{}(),|?*+[]^.\\dpL19", max_size=12))
def test_a_light_pattern_is_made_quickly(pattern: str) -> None:
    """Whatever it is: what the weight does not see would hold up a worker."""
    if pattern_weight(pattern) > 10_000:
        return

    def make() -> None:
        with suppress(ValueError):
            jsonschema_rs.validator_for({"pattern": pattern})

    # 4 ms by the measure of 0.42 µs a state, and as much again for each test's own noise.
    assert cpu_s(make) < scaled(0.1)
