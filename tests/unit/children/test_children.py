"""Child processes: they answer, end at their limits and with their parent."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator

import psutil
import pytest

from children.errors import ChildEnded, NoChild
from children.pool import Children, Limits
from tests.support.waiting import eventually, wait_until

HERE = __name__
FREE = Limits()
PARENT = f"""
import asyncio, os, sys, uvloop
from children.pool import Children, Limits

async def main():
    children = Children("{HERE}:act", most=2, limits=Limits())
    print((await children.ask(b"pid")).decode(), flush=True)
    await children.ask(sys.argv[1].encode())

uvloop.run(main())
"""


def act(request: bytes) -> bytes:  # noqa: C901  # one case for each thing to do
    """The work of these tests: the request says what."""
    match request.decode().split():
        case ["pid"]:
            return str(os.getpid()).encode()
        case ["spin"]:
            while True:
                pass
        case ["lock"]:
            re.match(r"(a+)+$", "a" * 60 + "b")  # keeps the interpreter's lock for years
        case ["sleep"]:
            threading.Event().wait()
        case ["die"]:
            os._exit(7)
        case ["raise"]:
            raise ValueError("in a child")
        case ["take", megabytes]:
            return str(len(bytearray(int(megabytes) << 20))).encode()
        case ["long"]:
            return b"x" * 3_000_000
        case ["read"]:
            return sys.stdin.read().encode()
        case ["start"]:
            sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1e6)"])
            return str(sleeper.pid).encode()
    return request


@pytest.fixture
async def children() -> AsyncIterator[Children]:
    """One child at most."""
    made = Children(f"{HERE}:act", most=1, limits=FREE)
    yield made
    await made.aclose()


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for has, too."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


async def pid_of(children: Children) -> int:
    """The process that answers now."""
    return int(await children.ask(b"pid"))


async def test_one_process_answers_again_and_again(children: Children) -> None:
    """Starting one takes a tenth of a second; long answers come whole, and nothing is read away."""
    first = await pid_of(children)
    assert await children.ask(b"one two") == b"one two"
    assert len(await children.ask(b"long")) == 3_000_000
    assert await children.ask(b"read") == b""
    assert await pid_of(children) == first != os.getpid()


@pytest.mark.parametrize("request_", [b"die", b"raise"])
async def test_one_that_dies_of_a_request_is_replaced(children: Children, request_: bytes) -> None:
    """The next request finds another."""
    first = await pid_of(children)
    with pytest.raises(ChildEnded, match="it ended with status"):
        await children.ask(request_)
    assert await pid_of(children) != first


async def test_what_a_child_dies_of_is_told_without_its_words(
    children: Children, capfd: pytest.CaptureFixture[str]
) -> None:
    """An error may quote the request, which holds what people say."""
    with pytest.raises(ChildEnded):
        await children.ask(b"raise")
    told = capfd.readouterr().err
    assert "a child process ends with ValueError at " in told
    assert "test_children.py:" in told
    assert "in a child" not in told


async def test_one_that_takes_too_long_is_killed(children: Children) -> None:
    """With what it has started; the next request finds another."""
    first, started = await pid_of(children), int(await children.ask(b"start"))
    with pytest.raises(ChildEnded, match=r"killed after 0\.1 s"):
        await children.ask(b"sleep", timeout_s=0.1)
    assert is_gone(first)
    await eventually(lambda: is_gone(started), what="what the child has started ends with it")
    assert await pid_of(children) != first


async def test_one_whose_caller_is_cancelled_is_killed(children: Children) -> None:
    """Nobody waits for its answer; a later caller would be given it."""
    first = await pid_of(children)
    asking = asyncio.create_task(children.ask(b"sleep"))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert is_gone(first)
    assert await children.ask(b"hello") == b"hello"


async def test_the_limit_of_cpu_time_is_exact() -> None:
    """However busy the machine is, and whatever holds the interpreter's lock."""
    children = Children(f"{HERE}:act", most=1, limits=Limits(cpu_s=0.2, niceness=1))
    for _ in range(2):
        with pytest.raises(ChildEnded, match="at its limit of CPU time"):
            await children.ask(b"lock")
    assert await children.ask(b"hello") == b"hello"
    await children.aclose()


async def test_memory_is_bounded() -> None:
    """A request that wants more ends its process, and no other."""
    children = Children(f"{HERE}:act", most=1, limits=Limits(memory_bytes=1 << 30))
    assert await children.ask(b"take 10") == b"10485760"
    with pytest.raises(ChildEnded):
        await children.ask(b"take 2000")
    await children.aclose()


async def test_requests_beyond_the_most_wait(children: Children) -> None:
    """Of three requests at once the one process answers all."""
    assert len({*await asyncio.gather(*(pid_of(children) for _ in range(3)))}) == 1


async def test_work_that_cannot_be_imported_is_told() -> None:
    """And its process does not stay."""
    with pytest.raises(NoChild, match="before it was ready"):
        await Children("no.such:work", most=1, limits=FREE).ask(b"")


async def test_a_signal_to_all_processes_of_a_worker_does_not_end_them(children: Children) -> None:
    """As systemd sends it: the worker drains, and its turns need their checks."""
    child = await pid_of(children)
    for one in (signal.SIGTERM, signal.SIGINT):
        os.kill(child, one)
    assert await pid_of(children) == child


async def test_closed_children_end(children: Children) -> None:
    """Those at work do when they have answered."""
    child = await pid_of(children)
    await children.aclose()
    assert is_gone(child)


@pytest.mark.parametrize("doing", ["spin", "lock", "sleep", "die"])
def test_no_child_outlives_its_parent(doing: str) -> None:
    """Killed without a word, or ended: whatever the child does then. On uvloop, as in a worker."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, doing],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(one or "." for one in sys.path)},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    if doing != "die":
        most_s = 0.0 if doing == "sleep" else psutil.Process(child).cpu_times().user + 0.1
        wait_until(lambda: psutil.Process(child).cpu_times().user >= most_s, what="it works")
        parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: is_gone(child), what="the child ends with its parent")
