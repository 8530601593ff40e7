"""An event loop whose time jumps to the next timer: what takes minutes takes none, and always goes
the same way."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Moves the time on instead of waiting."""

    def __init__(self, end_s: float) -> None:
        super().__init__()
        self.now_s = 0.0
        self._end_s = end_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready at once."""
        self.now_s += max(0.0, self._end_s if timeout is None else timeout)
        if self.now_s >= self._end_s:
            raise AssertionError("some wait for ever")
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """For what neither reads from sockets nor starts threads."""

    def __init__(self, end_s: float) -> None:
        self._jumping = _Jumping(end_s)
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since it was made."""
        return self._jumping.now_s


def run(work: Coroutine[object, object, T], *, end_s: float) -> T:
    """As `asyncio.run`, in virtual time; an AssertionError where it is not over by `end_s`."""
    loop = VirtualLoop(end_s)
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


async def passed(seconds: float) -> None:
    """So much time has passed."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    timer = loop.call_later(seconds, over.set_result, None)
    try:
        await over
    finally:
        timer.cancel()
