"""How late the event loop is, and what the log says of what held it."""

import asyncio
import threading
import time
from collections.abc import Callable

import orjson
import pytest

from tasks.process.runtime import Runtime
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from worker.health import Health
from worker.lateness import HELD_S, IDLE_S, LOOK_S, TICK_S, HoldReport, Lateness, LoopWatch

SECRET = "what nobody may read in a log"  # noqa: S105  # text of a conversation


@pytest.fixture
def runtime() -> Runtime:
    """A loop as a worker has it, of the test's own: the watch of another would log, too; it ends
    with the process."""
    return Runtime()


async def spin(said: str) -> None:
    """Hold the loop, by its own CPU time."""
    until = time.thread_time() + HELD_S * 2
    while time.thread_time() < until:
        said.encode()


async def wait(said: str) -> None:
    """Hold the loop without any."""
    threading.Event().wait(1.5)
    said.encode()


@pytest.mark.parametrize("hold", [spin, wait])
def test_what_holds_the_loop_is_named_in_the_log(
    hold: Callable[[str], object], runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """The task and where it was, by file, line and function; no value, and the time it took."""
    watch = LoopWatch()
    runtime.run(watch.start())
    runtime.run(watch.start())
    runtime.run(hold(SECRET))  # type: ignore[arg-type]  # it makes coroutines
    wait_until(lambda: "the event loop was blocked for" in caplog.text, what="it is told")
    (line,) = (one for one in caplog.messages if "was blocked" in one)
    assert f"({hold.__name__}) at " in line
    assert f"unit/worker/test_lateness.py:{hold.__code__.co_firstlineno + 3}" in line or (
        f" {hold.__name__}" in line
    )
    assert SECRET not in caplog.text
    assert watch.seen().max_ms >= HELD_S * 1000
    assert watch.seen().max_ms >= watch.seen().p99_ms


def test_a_thread_that_looks_late_loses_no_report(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """On a busy machine the loop's timer comes again before the thread does."""

    class Late(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return super().wait((timeout or 0.0) + 5 * TICK_S)

    watch = LoopWatch()
    watch._is_hurried = Late()
    runtime.run(watch.start())
    runtime.run(wait(SECRET))
    wait_until(lambda: "the event loop was blocked for" in caplog.text, what="it is told")


def test_it_is_told_once_and_the_rest_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A loop that is held all the time would fill the log; what is nobody's fault is not told."""
    report = HoldReport()
    for at_s, late_s, cpu_s, where in (
        (1.0, 0.2, 0.2, "short"),
        (1.0, 0.9, 0.1, "a busy machine"),
        (1.0, 9.0, 9.0, ""),
        (1.0, 0.3, 0.3, "first"),
        (2.0, 0.3, 0.3, "second"),
        (10.9, 2.0, 0.0, "third"),
        (11.0, 2.0, 0.0, "fourth"),
    ):
        report.tell(late_s, cpu_s, where, at_s)
    first, second = caplog.messages
    assert "blocked for 0.30 s (0.30 s of it CPU time) by first;" in first
    assert "by fourth;" in second
    assert "(2 more since" in second


def test_an_idle_loop_is_hardly_late(runtime: Runtime) -> None:
    """As late as the machine makes it."""
    watch = LoopWatch()
    runtime.run(watch.start())
    runtime.run(asyncio.sleep(0))
    assert watch.seen().max_ms < scaled(500)


def test_the_watch_of_an_idle_worker_rests_until_a_turn_begins(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """Its timers were most of what an idle worker did; what holds a first turn is told all the
    same."""
    watch = LoopWatch()
    runtime.run(watch.start(lambda: True))
    wait_until(lambda: watch._is_resting and watch._due_s - time.monotonic() > LOOK_S, what="rest")

    async def first_turn() -> None:
        watch.hurry()
        assert watch._due_s - time.monotonic() <= TICK_S
        await spin(SECRET)

    runtime.run(first_turn())
    wait_until(lambda: "the event loop was blocked for" in caplog.text, what="it is told")


def test_both_timers_of_the_watch_see_what_is_to_be_told() -> None:
    """And wake a worker that has turns seldom enough."""
    assert 1 / TICK_S + 1 / LOOK_S <= 16
    assert max(TICK_S, LOOK_S) < HELD_S < IDLE_S


def test_a_health_comes_back_as_it_was_told() -> None:
    """What another version tells is no health."""
    told = {"max_ms": 12.5, "p99_ms": 3.0, "hanging_tools": {"book": 2}}
    assert Health.parsed(orjson.loads(orjson.dumps(told))) == Health(
        Lateness(12.5, 3.0), {"book": 2}
    )
    for other in (None, {}, {"max_ms": "much"}, {"error": "unknown command"}):
        assert Health.parsed(other) is None
