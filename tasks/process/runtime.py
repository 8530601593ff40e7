"""The one event loop of a process, on which all the waiting is done.

A task body hands its coroutine to `Runtime.run` and sleeps until it is done; that one call is all
that the body knows of the loop, so the pool under it can be exchanged. The loop is made on first
use and once per process: a fork (Celery's prefork pool) gets its own.
"""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import TypeVar

import uvloop

T = TypeVar("T")


class Runtime:
    """An event loop in a daemon thread, started on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        """Run `coroutine` on the loop; return its result or raise its error.

        An exception that interrupts the calling thread (a time limit, a shutdown) cancels the
        coroutine.
        """
        return self.wait(self.spawn(coroutine))

    def wait(self, future: "Future[T]") -> T:
        """The result of what was spawned, or its error; as `run` otherwise."""
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def spawn(self, coroutine: Coroutine[object, object, T]) -> "Future[T]":
        """Start `coroutine` on the loop and return its future at once."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._ensure_loop())

    def stop(self) -> None:
        """End the loop with all that runs on it; the next use makes another."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    def _ensure_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
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
            return self._loop


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for one in others:
        one.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
