"""When the timers of a process run."""

import asyncio

import pytest

from tasks.beat.seconds import EARLY_S, rest


class Clock:
    """A loop's time, and how long it is slept for."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def time(self) -> float:
        """Now."""
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        """Time goes on."""
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In the place of the loop's."""
    clock = Clock(100.25)
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    return clock


async def test_timers_that_begin_at_any_time_run_together(clock: Clock) -> None:
    """After their first rest, and however long their work takes; never later than they said."""
    moments: list[float] = []
    for began_s, seconds in ((100.25, 1.0), (100.9, 2.0), (101.1, 5.0), (107.999, 1.0)):
        clock.now_s = began_s
        await rest(seconds)
        assert 0 < clock.now_s - began_s <= seconds + EARLY_S
        moments.append(clock.now_s % 1)
    assert moments == [pytest.approx(moments[0])] * len(moments)


async def test_a_timer_that_comes_early_does_not_run_twice(clock: Clock) -> None:
    """Event loops count in milliseconds."""
    await rest(1.0)
    moment_s = clock.now_s
    clock.now_s -= 0.001
    await rest(1.0)
    assert clock.now_s == pytest.approx(moment_s + 1.0)


async def test_a_short_rest_is_as_long_as_it_says(clock: Clock) -> None:
    """Tests have sweeps every 0.4 s."""
    await rest(0.4)
    assert clock.now_s == pytest.approx(100.65)
