"""Promised times: what counts as missed, and since when more was missed than allowed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agents import AgentSettings, Profiles
from agents.profiles import Profile
from agents.slo import Slo
from memory.records.slo_counts import Counts, history, measured, missed, missed_since, promised
from tasks.attempt.objectives import judged
from tasks.attempt.verdict import Cancelled, Ended, Later, NotNow
from tasks.errors import JobFailed
from tasks.process.turns_now import TurnNow
from worker.metrics.registry import REGISTRY

AGENT = "promising"
START = datetime(2026, 1, 1, tzinfo=UTC)
FAILED = Ended(JobFailed("why"))


def profile(slo: Slo | None) -> Profile:
    """An agent whose users are promised this."""
    return replace(Profiles.load(AgentSettings()).default, agent_id=AGENT, slo=slo)


def turn(wait_s: float | None, first_s: float | None) -> TurnNow:
    """A turn that took so long."""
    return TurnNow(AGENT, "s", "j", queue_wait_s=wait_s, first_token_s=first_s)


BOTH = profile(Slo(queue_wait_s=1.0, first_token_s=2.0))


def test_a_time_over_the_promised_one_is_missed() -> None:
    """Each by itself; exactly the promised time is kept."""
    wait, first = measured(AGENT, "queue_wait"), measured(AGENT, "first_token")
    assert judged(BOTH, turn(1.0, 2.0), Cancelled()) == {wait: 1, first: 1}
    late = {wait: 1, first: 1, missed(AGENT, "first_token"): 1}
    assert judged(BOTH, turn(1.0, 2.1), Cancelled()) == late


def test_a_job_that_ends_without_a_token_has_missed_it() -> None:
    """One that is tried again has not yet; nor has one that only waits."""
    first = {measured(AGENT, "first_token"): 1, missed(AGENT, "first_token"): 1}
    assert judged(BOTH, turn(None, None), FAILED) == first
    assert judged(BOTH, turn(None, None), Later(JobFailed("why"), 1.0)) == {}
    assert judged(BOTH, turn(None, None), NotNow("waits")) == {}


def test_what_is_not_promised_is_not_measured() -> None:
    """No agent without a promise is counted, and no time without one."""
    assert judged(profile(None), turn(9.0, 9.0), FAILED) == {}
    only = profile(Slo(queue_wait_s=1.0))
    assert set(judged(only, turn(9.0, None), FAILED)) == {
        measured(AGENT, "queue_wait"),
        missed(AGENT, "queue_wait"),
    }


def test_metrics_move_with_the_counts() -> None:
    """With what the profile allows beside them."""

    def shown() -> list[float]:
        names = ("griot_slo_measured_total", "griot_slo_missed_total", "griot_slo_allowed_ratio")
        labels = {"agent": AGENT, "slo": "queue_wait"}
        return [REGISTRY.get_sample_value(name, labels) or 0.0 for name in names]

    measured_before, missed_before, _ = shown()
    judged(BOTH, turn(5.0, None), Cancelled())
    judged(BOTH, turn(0.5, None), Cancelled())
    assert shown() == [measured_before + 2, missed_before + 1, pytest.approx(0.01)]


def snapshots(*missed_by_then: int, each: int = 100) -> list[tuple[datetime, Counts]]:
    """Counts each half an hour, with so many more jobs each time."""
    return [
        (
            START + timedelta(minutes=30) * number,
            {measured("a", "first_token"): each * number, missed("a", "first_token"): bad},
        )
        for number, bad in enumerate(missed_by_then)
    ]


def test_the_part_that_is_missed_is_that_of_the_last_hour() -> None:
    """Or of the time since the first snapshot, where that is shorter."""
    kept = list(history(snapshots(0, 10, 10, 10), "a", "first_token"))
    assert [(one.measured, one.missed) for one in kept] == [(100, 10), (200, 10), (200, 0)]


def test_a_promise_is_missed_since_the_first_bad_snapshot_without_a_break() -> None:
    """An earlier time that was over does not count; kept is kept."""
    kept = list(history(snapshots(50, 50, 50, 50, 60, 70), "a", "first_token"))
    assert missed_since(kept, 0.01) == START + timedelta(minutes=30) * 4
    assert missed_since(kept, 0.5) is None
    assert missed_since([], 0.01) is None


def test_counts_of_an_emptied_redis_begin_anew() -> None:
    """What came since is all there is."""
    taken = [*snapshots(0, 90), (START + timedelta(hours=1), snapshots(0, 1, each=5)[1][1])]
    assert [(one.measured, one.missed) for one in history(taken, "a", "first_token")] == [
        (100, 90),
        (5, 1),
    ]


def test_agents_with_colons_are_known_by_their_whole_name() -> None:
    """And other counts are none of these."""
    assert promised({measured("a:b", "queue_wait"): 1, "done": 2}) == [("a:b", "queue_wait")]
