"""The patience with wake-ups under load."""

from tasks.process.queue_wait import QueueWait


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
    wait.note(-3.0)
    assert wait.lately_s() == 0.0


def test_what_another_process_tells_is_not_passed_on() -> None:
    """It makes patient until the next word, and is no observation of one's own."""
    wait = QueueWait(1.0)
    wait.note_shared(5.0)
    assert wait.lately_s() == 0
    assert wait.grace_ms == 10_000
    wait.note_shared(0.0)
    assert wait.grace_ms == 1000
