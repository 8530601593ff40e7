"""How late the event loop is, and what the log says of what held it."""

import asyncio
import threading
import time
from collections.abc import Callable

import orjson
import pytest

from tasks.process.runtime import Runtime
from tests.support.machine import scaled
from tests.support.waiting import elapsed, wait_until
from worker.health import Health
from worker.lateness import HELD_S, Lateness, LoopWatch

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
    wait_until(lambda: "the event loop was held for" in caplog.text, what="it is told")
    (line,) = (one for one in caplog.messages if "was held" in one)
    assert f"({hold.__name__}) at " in line
    assert f"unit/worker/test_lateness.py:{hold.__code__.co_firstlineno + 3}" in line or (
        f" {hold.__name__}" in line
    )
    assert SECRET not in caplog.text
    assert watch.seen().max_ms >= HELD_S * 1000
    assert watch.seen().max_ms >= watch.seen().p99_ms


def test_it_is_told_once_and_the_rest_is_counted(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """A loop that is held all the time would fill the log."""
    watch = LoopWatch()
    runtime.run(watch.start())
    for _ in range(3):
        runtime.run(spin(SECRET))
        wait_until(elapsed(0.2), what="it is measured")
    wait_until(lambda: "was held" in caplog.text, what="it is told")
    assert caplog.text.count("was held") == 1


def test_an_idle_loop_is_hardly_late(runtime: Runtime) -> None:
    """As late as the machine makes it."""
    watch = LoopWatch()
    runtime.run(watch.start())
    runtime.run(asyncio.sleep(0))
    assert watch.seen().max_ms < scaled(500)


def test_a_health_comes_back_as_it_was_told() -> None:
    """What another version tells is no health."""
    told = {"max_ms": 12.5, "p99_ms": 3.0, "hanging_tools": {"book": 2}}
    assert Health.parsed(orjson.loads(orjson.dumps(told))) == Health(
        Lateness(12.5, 3.0), {"book": 2}
    )
    for other in (None, {}, {"max_ms": "much"}, {"error": "unknown command"}):
        assert Health.parsed(other) is None
