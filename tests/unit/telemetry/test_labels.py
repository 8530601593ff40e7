"""However many names there are, a metric has few series."""

from collections.abc import Callable

import pytest
from prometheus_client import generate_latest

from telemetry.labels import AGENTS, MOST_NAMES, OTHER, BoundedNames
from telemetry.metrics import ATTEMPTS
from tests.support.metrics.shown import own_text
from worker.metrics.registry import REGISTRY

AGENTS_SENT = 10_000
SUM = f'griot_attempts_total{{agent="{OTHER}"'


def test_the_names_that_are_given_come_first_and_the_rest_is_other() -> None:
    """A name keeps its series as long as the process lives."""
    names = BoundedNames(3)
    names.know(["energy", "water"])
    assert [names.label(one) for one in ("a", "b", "energy", "a")] == ["a", OTHER, "energy", "a"]


def test_ten_thousand_agents_have_no_more_series_than_the_bound() -> None:
    """Whoever sends a job names its agent."""
    # Not those of this process, which other tests ask for theirs.
    names = BoundedNames()
    for number in range(AGENTS_SENT):
        ATTEMPTS.labels(names.label(f"agent-{number}"), "answered").inc()
    lines = own_text().splitlines()
    series = [one for one in lines if one.startswith(('griot_attempts_total{agent="agent-', SUM))]
    agents = {one.partition('agent="')[2].partition('"')[0] for one in series}
    assert len(agents) <= MOST_NAMES + 1
    assert OTHER in agents
    assert len(generate_latest(REGISTRY)) < 600_000


@pytest.mark.parametrize("shape", [str, lambda text: f"{text}\n{text}", lambda text: text * 9])
def test_a_name_with_line_breaks_stays_one_label(shape: Callable[[str], str]) -> None:
    """What Prometheus reads is one line for each series."""
    ATTEMPTS.labels(AGENTS.label(shape("odd")), "answered").inc()
    assert all(line[:1] in "#gp" for line in own_text().splitlines())
