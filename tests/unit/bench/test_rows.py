"""The rows of the benchmark and how they are shown."""

from bench import report
from bench.rows import Row, Target

MISSING = Row("throughput", "chat / taskiq", None, "x", Target(0.3, 1), "not installed")


def test_what_could_not_be_measured_keeps_no_bound_and_breaks_none() -> None:
    """A peer that is not installed is no bad figure."""
    shown = MISSING.as_json()

    assert (shown["value"], shown["meets_now"], shown["meets_goal"]) == (None, None, None)
    assert "| chat / taskiq | – | ≤ 0.3 | ≤ 1 | not installed |" in report.markdown([MISSING])
    assert "not yet" not in report.table([MISSING])


def test_a_bound_holds_from_its_own_side() -> None:
    """At most, or at least."""
    assert Target(1, 1).is_met(1.0, 1)
    assert not Target(1, 1).is_met(1.1, 1)
    assert Target(1, 1, at_least=True).is_met(1.1, 1)
    assert not Target(1, 1, at_least=True).is_met(0.9, 1)
