"""The one event loop of a process: what a task body may rely on."""

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import pytest

from tasks.process.runtime import Runtime
from tests.support.machine import scaled

ROOT = Path(__file__).resolve().parents[3]


class Interrupted(BaseException):
    """What a time limit or a shutdown raises in a task's thread."""


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    """One for all tests: its loop ends with the process."""
    return Runtime()


async def current_loop() -> tuple[int, str]:
    """Which loop this is, and the name of its thread."""
    return id(asyncio.get_running_loop()), threading.current_thread().name


async def fail() -> None:
    """Work that goes wrong."""
    raise ValueError("its own")


def test_a_coroutine_gives_its_result_and_its_error(runtime: Runtime) -> None:
    """To the thread that waits for it."""
    assert runtime.run(current_loop())[1] == "griot-loop"
    with pytest.raises(ValueError, match="its own"):
        runtime.run(fail())


ENDING = """
import asyncio, ctypes
from tasks.process.runtime import Runtime

async def wait():
    asyncio.get_running_loop().call_later(0.4, print)
    asyncio.create_task(asyncio.sleep(60))

runtime = Runtime()
runtime.spawn(asyncio.sleep(60))
runtime.run(wait())
# After Python has taken itself down, the process lives on for as long as the exit takes.
at_exit, usleep = ctypes.CDLL(None).__cxa_atexit, ctypes.CDLL(None).usleep
at_exit.argtypes = [ctypes.c_void_p] * 3
at_exit(ctypes.cast(usleep, ctypes.c_void_p), 900_000, None)
"""


def run_to_end(program: str) -> "subprocess.CompletedProcess[str]":
    """A Python program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=scaled(60),
        cwd=ROOT,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="names of its C library")
def test_a_timer_that_is_due_while_the_process_ends_does_not_crash_it() -> None:
    """Nor is anybody told of the coroutines that are left."""
    ended = run_to_end(ENDING)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_nothing_begins_when_the_process_ends() -> None:
    """It is told so, and does not wait for ever."""
    late = """
import asyncio, atexit
from tasks.process.runtime import Runtime

async def nothing():
    pass

def at_the_end():
    work = nothing()
    try:
        runtime.run(work)
    except RuntimeError as exc:
        print(exc)
        work.close()

atexit.register(at_the_end)
runtime = Runtime()
runtime.run(nothing())
"""
    ended = run_to_end(late)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "the process ends" in ended.stdout


def test_all_threads_share_one_loop() -> None:
    """Also those that come first and at the same time."""
    shared, threads = Runtime(), 16
    together = threading.Barrier(threads)

    def first_use() -> tuple[int, str]:
        together.wait(timeout=scaled(10))
        return shared.run(current_loop())

    with ThreadPoolExecutor(threads) as pool:
        found = {future.result() for future in [pool.submit(first_use) for _ in range(threads)]}
    assert len(found) == 1


def test_coroutines_wait_at_the_same_time(runtime: Runtime) -> None:
    """A hundred that wait for each other are no more than a hundred sleeping threads."""
    waiting = 100
    met = runtime.run(make_barrier(waiting))

    async def meet() -> int:
        async with asyncio.timeout(scaled(20)):
            return await met.wait()

    with ThreadPoolExecutor(waiting) as pool:
        places = list(pool.map(lambda _: runtime.run(meet()), range(waiting)))
    assert sorted(places) == list(range(waiting))


async def make_barrier(parties: int) -> asyncio.Barrier:
    """A barrier of the loop."""
    return asyncio.Barrier(parties)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGUSR1 raises Interrupted in the main thread, as a time limit would."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("interruptible")
def test_interrupting_the_thread_cancels_its_coroutine(runtime: Runtime) -> None:
    """Nothing goes on behind the back of a task that has ended."""
    cancelled = threading.Event()

    async def work() -> None:
        # Not at once: by then the main thread waits for this coroutine.
        main = threading.main_thread().ident or 0
        asyncio.get_running_loop().call_later(0.3, signal.pthread_kill, main, signal.SIGUSR1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(Interrupted):
        runtime.run(work())
    assert cancelled.wait(timeout=scaled(10))


def test_spawned_work_goes_on_by_itself(runtime: Runtime) -> None:
    """Its future can be cancelled from any thread."""
    began, ended = threading.Event(), threading.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    future = runtime.spawn(work())
    assert began.wait(timeout=scaled(10))
    assert not future.done()
    future.cancel()
    assert ended.wait(timeout=scaled(10))


def test_no_loop_is_made_before_it_is_needed() -> None:
    """So that a process may fork until then."""
    before = threading.active_count()
    Runtime()
    assert threading.active_count() == before


def test_a_loop_whose_thread_cannot_be_started_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its caller fails; the next one gets a loop that runs."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    runtime, unsent = Runtime(), current_loop()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            runtime.run(unsent)
    unsent.close()
    assert runtime.spawn(current_loop()).result(scaled(5))[1] == "griot-loop"
