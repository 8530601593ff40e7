"""The patience with wake-ups under load, and its bounds."""

import math
import time

import pytest

from tasks.process.queue_wait import HALVED_EACH_S, MOST_S, QueueWait


def test_without_load_the_setting_counts() -> None:
    """A wait below half the grace changes nothing."""
    wait = QueueWait(5.0)
    assert wait.grace_ms == 5000
    wait.note(2.0)
    assert wait.grace_ms == 5000


def test_under_load_twice_the_longest_wait_counts() -> None:
    """The longest wait of late decides; a shorter one after it does not shorten it."""
    wait = QueueWait(5.0)
    wait.note(10.0)
    wait.note(1.0)
    assert 19_900 < wait.grace_ms <= 20_000


def test_a_clock_that_is_ahead_is_harmless() -> None:
    """A negative wait counts as none."""
    wait = QueueWait(5.0)
    for waited_s in (-3.0, -3600.0, -math.inf, math.nan):
        wait.note(waited_s)
        wait.note_shared(waited_s)
        assert wait.lately_s() == 0.0
        assert wait.grace_ms == 5000


@pytest.mark.parametrize("waited_s", [61.0, 3600.0, 1e300, math.inf])
def test_no_wait_makes_patient_for_more_than_a_minute(waited_s: float) -> None:
    """A backlog after an outage, a clock that was set, a header that somebody made up."""
    wait = QueueWait(5.0)
    wait.note(waited_s)
    assert wait.lately_s() <= MOST_S
    assert wait.grace_ms <= 1000 * MOST_S == wait.longest_grace_ms
    other = QueueWait(5.0)
    other.note_shared(waited_s)
    assert other.grace_ms <= 1000 * MOST_S


def test_a_setting_of_more_than_a_minute_counts() -> None:
    """An operator wants it so."""
    wait = QueueWait(90.0)
    wait.note(80.0)
    assert wait.grace_ms == wait.longest_grace_ms == 90_000


def test_what_another_process_tells_is_not_passed_on() -> None:
    """It makes patient until the next word, and is no observation of one's own."""
    wait = QueueWait(1.0)
    wait.note_shared(5.0)
    assert wait.lately_s() == 0
    assert 9900 < wait.grace_ms <= 10_000
    wait.note_shared(0.0)
    assert wait.grace_ms == 1000


def test_every_wait_fades(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that another process has shared: nobody may look at what is shared for hours."""
    wait = QueueWait(1.0)
    wait.note(60.0)
    wait.note_shared(60.0)
    later_s = time.monotonic() + 6 * HALVED_EACH_S
    monkeypatch.setattr("time.monotonic", lambda: later_s)
    assert 0.9 < wait.lately_s() < 1.0
    assert wait.grace_ms < 2000
