"""When a silent model is restarted, on a clock of the test's own."""

import pytest

from llm.servers.watchdog import MAX_PAUSE_S, PAUSE_S, TIMEOUTS, Watchdog
from llm.wire.requests import seconds_of
from tests.support.clock import Clock

MODEL = "llama3.2:3b"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watchdog(clock: Clock) -> Watchdog:
    return Watchdog(clock=clock)


def restarts(watchdog: Watchdog, timeouts: int) -> list[bool]:
    return [watchdog.timed_out(MODEL) for _ in range(timeouts)]


def test_time_outs_in_a_row_restart_the_model(watchdog: Watchdog) -> None:
    """The last of them, once."""
    assert restarts(watchdog, TIMEOUTS) == [False] * (TIMEOUTS - 1) + [True]
    assert restarts(watchdog, TIMEOUTS) == [False] * TIMEOUTS


def test_a_token_in_between_starts_the_count_anew(watchdog: Watchdog) -> None:
    """A model that answers somebody is at work, however long its queue is."""
    for _ in range(5):
        assert restarts(watchdog, TIMEOUTS - 1) == [False] * (TIMEOUTS - 1)
        watchdog.answered(MODEL)


def test_a_model_is_counted_under_all_its_names(watchdog: Watchdog) -> None:
    """Jobs may write them differently."""
    names = ("LLAMA3.2:3B", "library/llama3.2:3b", "llama3.2:3b:local")
    assert [watchdog.timed_out(name) for name in names][-1]
    restarts(watchdog, TIMEOUTS - 1)
    watchdog.answered("Llama3.2:3b")
    assert not watchdog.timed_out(MODEL)


def test_models_are_counted_apart(watchdog: Watchdog) -> None:
    """One that hangs does not restart another."""
    restarts(watchdog, TIMEOUTS - 1)
    assert not watchdog.timed_out("other")
    watchdog.answered("other")
    assert watchdog.timed_out(MODEL)


def test_a_restart_that_does_not_help_is_repeated_ever_later(
    watchdog: Watchdog, clock: Clock
) -> None:
    """After a minute, two, four, up to a quarter of an hour."""
    restarts(watchdog, TIMEOUTS)
    for doubled in range(8):
        pause_s = min(MAX_PAUSE_S, PAUSE_S * 2**doubled)
        clock.now_s += pause_s - 1
        assert not any(restarts(watchdog, TIMEOUTS))
        clock.now_s += 1
        assert watchdog.timed_out(MODEL)


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("30m", 1800), ("1h30m", 5400), ("300ms", 0.3), ("-1s", -1), ("0s", 0), (2.5, 2.5), (-1, -1)],
)
def test_durations_are_read_as_go_reads_them(duration: str | float, seconds: float) -> None:
    """Numbers are seconds."""
    assert seconds_of(duration) == pytest.approx(seconds)
