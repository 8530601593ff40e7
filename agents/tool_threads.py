"""Threads for tools that are ordinary functions: the event loop must not wait for them."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial

from agents.errors import ToolError

MAX_THREADS = 32
"""Of one tool."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a function ended: with a value, or with an error."""

    value: object = None
    error: BaseException | None = None


class ToolThreads:
    """At most so many threads at once, for one tool; used on one event loop.

    They are daemons: a function that never returns keeps its thread, but does not keep the process
    from ending (docs/decisions.md, "Tools run in daemon threads of their own").
    """

    def __init__(self, most: int = MAX_THREADS) -> None:
        self.most = most
        self.hanging = 0
        """Calls that were given up and have not ended."""
        self._free = asyncio.Semaphore(most)

    async def run(self, call: Callable[[], object]) -> CallResult:
        """Run `call` in a thread, as soon as one is free. A cancel leaves it running.

        Raises ToolError where all threads hang: no time is lost on waiting for one.
        """
        if self.hanging >= self.most:
            raise ToolError("the tool is not available: its earlier calls hang")
        # Given back by the thread, not here: one that outlives its time limit still takes its part.
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[CallResult] = loop.create_future()

        def settle(how: CallResult) -> None:
            self._free.release()
            # Its turn may have been cancelled, or have run out of time.
            if ended.done():
                self.hanging -= 1
            else:
                ended.set_result(how)

        def hand_over(how: CallResult) -> None:
            with suppress(RuntimeError):  # the loop is closed: the process ends
                loop.call_soon_threadsafe(settle, how)

        # The tool sees the context variables of its turn, as in asyncio.to_thread.
        thread = threading.Thread(
            target=_run, args=(copy_context().run, call, hand_over), name="griot-tool", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the process can start no thread now
            self._free.release()
            raise
        try:
            return await ended
        finally:
            self.hanging += ended.cancelled()


def _run(
    within: Callable[[Callable[[], object]], object],
    call: Callable[[], object],
    hand_over: Callable[[CallResult], None],
) -> None:
    hand_over(result_of(partial(within, call)))


def result_of(call: Callable[[], object]) -> CallResult:
    """How an operator's function ends, whatever it raises."""
    try:
        return CallResult(call())
    # SystemExit too: it would end the thread without a word, and its part of MAX_THREADS would stay
    # taken.
    except BaseException as exc:
        return CallResult(error=exc)
