"""The clock of one asynchronous stream: first token, silence, whole time, by a single timer."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeAlias

from llm.errors import LLMError, LLMTimeoutError
from llm.wire.error_map import first_token_timeout, idle_timeout, total_timeout
from llm.wire.timeouts import Timeouts

IsAlive: TypeAlias = Callable[[bool], Awaitable[bool]]


class StreamWatch:
    """Limits each wait for Ollama: `with watch: chunk = await ...`. One task at a time, one loop.

    Only waiting counts: the time that the consumer of the stream takes is not silence. The body
    of a `with` that lasts too long is cancelled and the LLMTimeoutError of the phase raised, as
    `asyncio.timeout` does; but that would set and cancel a timer for every token (10 us and more),
    this looks at the time of the last wait when its one timer fires.

    `is_alive` is asked when a wait has lasted too long, with whether the reply has begun. While it
    says so, silence is counted from that answer on, for `total_s` in all: a model that is loaded,
    thinks, writes the call of a tool or evaluates a long prompt sends no byte.
    """

    def __init__(self, timeouts: Timeouts, *, is_alive: IsAlive | None = None) -> None:
        self._timeouts = timeouts
        self._is_alive = is_alive
        self._look: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._silence_s = timeouts.first_token_s
        self._is_replying = False
        self._ends_at = self._loop.time() + timeouts.total_s
        self._waits_since = self._loop.time()
        self._task: asyncio.Task[object] | None = None
        self._cancels_before = 0
        self._expired: LLMError | None = None
        self._aborted: LLMError | None = None
        # As early as any wait may end: a timer that fires too early costs less than a second one.
        first_s = min(timeouts.first_token_s, timeouts.idle_s, timeouts.total_s)
        self._timer = self._loop.call_at(self._waits_since + first_s, self._fire)

    def heard(self) -> None:
        """The first byte has come: from now on silence is limited by `idle_s`."""
        if not self._is_replying:
            self._is_replying = True
            self._limit_silence(self._timeouts.idle_s)

    def expect_end(self, within_s: float) -> None:
        """The answer is whole: wait no longer than this for the end of the bytes."""
        self._is_alive = None
        self._limit_silence(min(within_s, self._silence_s))

    def abort(self, error: LLMError) -> None:
        """Let the present wait and every later one raise `error`."""
        self._aborted = error
        self._end_wait(error)

    def close(self) -> None:
        """Stop the timer. Safe to repeat."""
        self._timer.cancel()
        if self._look is not None:
            self._look.cancel()

    def __enter__(self) -> Self:
        if self._aborted is not None:
            raise self._aborted
        self._waits_since = self._loop.time()
        if self._waits_since >= self._ends_at:
            raise total_timeout(self._timeouts)
        task = asyncio.current_task(self._loop)
        if task is not None:
            self._cancels_before = task.cancelling()
        self._task = task
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if self._expired is None or task is None:
            return
        expired, self._expired = self._expired, None
        # As in asyncio.timeout: a cancel from outside at the same moment has precedence.
        if task.uncancel() <= self._cancels_before and kind in (None, asyncio.CancelledError):
            raise expired from exc

    def _limit_silence(self, silence_s: float) -> None:
        self._silence_s = silence_s
        if self._due() < self._timer.when():
            self._rearm(self._due())

    def _due(self) -> float:
        return min(self._waits_since + self._silence_s, self._ends_at)

    def _rearm(self, when: float) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        now = self._loop.time()
        if self._task is None:  # nobody waits for Ollama; __enter__ looks at the whole time itself
            if now < self._ends_at:
                self._rearm(min(now + self._silence_s, self._ends_at))
        # Set for an earlier wait: the present one has time left.
        elif now < self._due():
            self._rearm(self._due())
        elif self._is_alive is None or now >= self._ends_at:
            self._end_wait(self._timeout(now))
        else:
            self._look = self._loop.create_task(self._end_unless_alive(self._is_alive))

    async def _end_unless_alive(self, is_alive: IsAlive) -> None:
        since = self._waits_since
        is_alive_now = await is_alive(self._is_replying)
        now = self._loop.time()
        # What came meanwhile is a sign of life too.
        if self._task is None or self._waits_since != since:
            self._rearm(max(now, self._due()))
        elif is_alive_now and now < self._ends_at:
            self._waits_since = now
            self._rearm(self._due())
        else:
            self._end_wait(self._timeout(now))

    def _end_wait(self, error: LLMError) -> None:
        # The first reason counts: __exit__ takes back one cancel and no second one.
        if self._task is not None and self._expired is None:
            self._expired = error
            self._task.cancel()

    def _timeout(self, now: float) -> LLMTimeoutError:
        if now >= self._ends_at:
            return total_timeout(self._timeouts)
        make = idle_timeout if self._is_replying else first_token_timeout
        return make(self._timeouts)
