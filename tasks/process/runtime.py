"""The one event loop of a process, on which all the waiting is done.

A task body hands its coroutine to `Runtime.run` and sleeps until it is done; that one call is all
that the body knows of the loop, so the pool under it can be exchanged. The loop is made on first
use and once per process: a fork (Celery's prefork pool) gets its own.
"""

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeAlias, TypeVar

import uvloop

T = TypeVar("T")

Done: TypeAlias = Future[T] | asyncio.Task[T]
"""What runs on the loop: spawned, or begun."""

END_S = 5.0
"""How long the end of the process waits for a callback that blocks the loop."""


class Runtime:
    """An event loop in a daemon thread, started on first use; it stands still when the process
    ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._begun: set[asyncio.Task[Any]] = set()
        self._is_over = False

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        """Run `coroutine` on the loop; return its result or raise its error.

        An exception that interrupts the calling thread (a time limit, a shutdown) cancels the
        coroutine.
        """
        return self.wait(self.spawn(coroutine))

    def wait(self, future: Done[T]) -> T:
        """The result of what was spawned, or its error; as `run` otherwise. Of a task that was
        begun only once it is done."""
        try:
            return future.result()
        except asyncio.CancelledError:
            raise CancelledError from None
        except BaseException:
            future.cancel()
            raise

    def spawn(self, coroutine: Coroutine[object, object, T]) -> "Future[T]":
        """Start `coroutine` on the loop and return its future at once."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._ensure_loop())

    def begin(
        self,
        coroutine: Coroutine[object, object, T],
        then: Callable[[asyncio.Task[T]], None] | None = None,
    ) -> None:
        """Start `coroutine` on the loop, and wait for nothing; `then` is called there when it has
        ended. A fifth of what `spawn` costs."""
        if threading.current_thread() is self._thread:
            self._begin(asyncio.get_running_loop(), coroutine, then)
        else:
            loop = self._ensure_loop()
            loop.call_soon_threadsafe(self._begin, loop, coroutine, then)

    def _begin(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[object, object, T],
        then: Callable[[asyncio.Task[T]], None] | None,
    ) -> None:
        task = loop.create_task(coroutine)
        self._begun.add(task)  # a loop only knows its tasks weakly
        task.add_done_callback(self._begun.discard)
        if then is not None:
            task.add_done_callback(then)

    def cancel_all(self) -> None:
        """Cancel all that runs on the loop, and wait for its end."""
        self.run(_cancel_others())

    def _ensure_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._is_over:
                raise RuntimeError("the process ends, and so has its event loop")
            if self._loop is None:
                # Not before a fork: a child of Celery's prefork pool makes its own.
                loop = uvloop.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name="griot-loop", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the process can start no thread now
                    loop.close()
                    raise
                # Only now: on a loop that does not run the next caller would wait for ever.
                self._loop, self._thread = loop, thread
                atexit.register(self._end, loop, thread)
            return self._loop

    def _end(self, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
        # A timer of uvloop that is due when Python has taken the interpreter down, and before the
        # process has ended, crashes it (SIGSEGV). A loop that is stopped would complain of each
        # coroutine that is left, so a last callback never returns.
        if not thread.is_alive():  # in a process that was forked from this one
            return
        self._is_over, is_still = True, threading.Event()

        def stand_still() -> None:
            is_still.set()
            threading.Event().wait()

        loop.call_soon_threadsafe(stand_still)
        is_still.wait(END_S)


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for one in others:
        one.cancel()
    await asyncio.gather(*others, return_exceptions=True)
