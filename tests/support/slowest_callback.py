"""The dearest callback of an event loop, by the CPU time of its thread.

What a stranger may send must cost no callback more than 50 ms: a loop has all turns of a worker.
The CPU time of the thread is what counts, for it does not grow where the machine is busy.

    with slowest_callback() as slowest:
        await what_a_worker_does(dear_input)
    assert slowest.cpu_s < 0.05, slowest
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class SlowestCallback:
    """What was measured so far: the dearest callback, and how many there were."""

    cpu_s: float = 0.0
    what: str = "nothing"
    """Where a task stood after its step, or which function was called; no arguments."""
    count: int = 0
    _thread: int = field(default_factory=threading.get_ident, repr=False)

    def note(self, handle: asyncio.Handle, cpu_s: float) -> None:
        """Count a callback that has run in this thread."""
        if threading.get_ident() != self._thread:
            return
        self.count += 1
        if cpu_s > self.cpu_s:
            self.cpu_s, self.what = cpu_s, _named(handle)


@contextmanager
def slowest_callback() -> Iterator[SlowestCallback]:
    """Measure each callback that a loop of this thread runs while the context lasts.

    For asyncio's own loops only: uvloop, which a worker runs on, calls back without Python. What is
    measured is then the same code, but for the reading and writing of sockets, which is dearer
    here. The callback in which the context ends is not counted whole.
    """
    slowest = SlowestCallback()
    run = asyncio.Handle._run

    def timed(self: asyncio.Handle) -> None:
        began_s = time.thread_time()
        try:
            run(self)
        finally:
            slowest.note(self, time.thread_time() - began_s)

    asyncio.Handle._run = timed  # type: ignore[method-assign]  # asyncio has no hook for it
    try:
        yield slowest
    finally:
        asyncio.Handle._run = run  # type: ignore[method-assign]  # as it was


def _named(handle: asyncio.Handle) -> str:
    callback = getattr(handle, "_callback", None)
    task = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        return str(getattr(callback, "__qualname__", type(callback).__name__))
    name = getattr(task.get_coro(), "__qualname__", "a coroutine")
    stack = task.get_stack(limit=1)
    if not stack:
        return f"the end of {name}"
    code = stack[0].f_code
    return f"{name}, then at {code.co_filename.rpartition('/')[2]}:{stack[0].f_lineno}"
