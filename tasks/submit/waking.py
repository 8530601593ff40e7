"""Waking the jobs that many coroutines of one event loop send at the same time."""

import asyncio
from contextvars import Context
from dataclasses import dataclass, field

from tasks.submit.producer import producer
from tasks.submit.submission import Submission


@dataclass(frozen=True, slots=True, eq=False)
class _Unwoken:
    submission: Submission
    done: "asyncio.Future[None]" = field(repr=False)


class Waking:
    """Publishes wake-ups, one batch after the other, in a thread: those that are asked for while a
    batch is under way are the next. One of a loop; used by nobody else, it costs nothing.

    A thread for each cost a gateway more than the rest of a request.
    """

    def __init__(self) -> None:
        self._waiting: list[_Unwoken] = []
        self._publisher: asyncio.Task[None] | None = None

    async def wake(self, submission: Submission) -> None:
        """Return when the wake-up of a job is published, or was not and is logged."""
        waiting = _Unwoken(submission, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._publisher is None or self._publisher.done():
            self._publisher = asyncio.create_task(self._publish(), context=Context())
        await waiting.done

    async def _publish(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(producer().wake_heads, [one.submission for one in batch])
            finally:
                # Whatever became of them, their jobs are in, and the sweeper wakes them.
                for one in batch:
                    if not one.done.done():
                        one.done.set_result(None)
