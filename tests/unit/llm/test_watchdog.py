"""When a silent model is restarted, on a clock of the test's own."""

import pytest

from llm.servers.watchdog import MAX_PAUSE_S, PAUSE_S, Watchdog
from llm.wire.requests import seconds_of
from tests.support.clock import Clock

MODEL = "llama3.2:3b"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watchdog(clock: Clock) -> Watchdog:
    return Watchdog(clock=clock)


def test_a_model_is_silent_if_nobody_heard_it_for_so_long(watchdog: Watchdog, clock: Clock) -> None:
    """Every piece of any reply counts; models are told apart."""
    assert watchdog.is_silent(MODEL, 600)
    watchdog.heard(MODEL)
    clock.now_s += 599
    assert not watchdog.is_silent(MODEL, 600)
    watchdog.heard("other:1b")
    clock.now_s += 1
    assert watchdog.is_silent(MODEL, 600)
    watchdog.heard(MODEL)
    assert not watchdog.is_silent(MODEL, 600)


def test_one_call_in_vain_proves_nothing_and_a_later_one_does(
    watchdog: Watchdog, clock: Clock
) -> None:
    """When the first is closed, a model that is well takes the next; those beside it are none."""
    for after_s, is_hung in ((0, False), (10, False), (109, False), (1, True), (600, True)):
        clock.now_s += after_s
        assert watchdog.waited_in_vain(MODEL, again_after_s=120) is is_hung
    clock.now_s += 1
    watchdog.heard(MODEL)
    assert not watchdog.waited_in_vain(MODEL, again_after_s=120)
    clock.now_s += 119
    assert not watchdog.waited_in_vain(MODEL, again_after_s=120)
    clock.now_s += 1
    assert watchdog.waited_in_vain(MODEL, again_after_s=120)


def test_a_restart_that_does_not_help_is_repeated_ever_later(
    watchdog: Watchdog, clock: Clock
) -> None:
    """After a minute, two, four, up to a quarter of an hour."""
    assert watchdog.may_restart(MODEL)
    for doubled in range(8):
        pause_s = min(MAX_PAUSE_S, PAUSE_S * 2**doubled)
        clock.now_s += pause_s - 1
        assert not watchdog.may_restart(MODEL)
        clock.now_s += 1
        assert watchdog.may_restart(MODEL)
        assert not watchdog.may_restart(MODEL)


def test_an_answer_after_a_restart_starts_the_pauses_anew(watchdog: Watchdog) -> None:
    """It has helped; another model's answer says nothing of this one."""
    assert watchdog.may_restart(MODEL)
    watchdog.answered("other:1b")
    assert not watchdog.may_restart(MODEL)
    watchdog.answered(MODEL)
    assert watchdog.may_restart(MODEL)


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("30m", 1800), ("1h30m", 5400), ("300ms", 0.3), ("-1s", -1), ("0s", 0), (2.5, 2.5), (-1, -1)],
)
def test_durations_are_read_as_go_reads_them(duration: str | float, seconds: float) -> None:
    """Numbers are seconds."""
    assert seconds_of(duration) == pytest.approx(seconds)
