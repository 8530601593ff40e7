"""Work that many callers wait for and that is done once."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from llm.errors import LLMError, OllamaUnreachableError

T = TypeVar("T")


class SharedTasks:
    """Background tasks by name, one under way for each. Belongs to one event loop.

    A caller waits with `result_of`, and when it is cancelled the task goes on for the others.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    def get(self, name: str) -> "asyncio.Task[object] | None":
        """The task under way under this name."""
        return self._tasks.get(name)

    def once(
        self, name: str, work: Callable[[], Coroutine[object, object, T]]
    ) -> "asyncio.Task[T]":
        """The task under way under this name, or a new one that does this work."""
        return self._tasks.get(name) or self.begin(name, work())

    def begin(self, name: str, work: Coroutine[object, object, T]) -> "asyncio.Task[T]":
        """A new task; one of this name that is under way goes on without it."""
        task = self._tasks[name] = asyncio.create_task(work, context=Context())
        task.add_done_callback(lambda done: self._forget(name, done))
        return task

    async def aclose(self) -> None:
        """Cancel all tasks and wait for their end. Safe to repeat."""
        tasks = [*self._tasks.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _forget(self, name: str, task: "asyncio.Task[object]") -> None:
        # `begin` may have given the name to a newer task.
        if self._tasks.get(name) is task:
            del self._tasks[name]
        # An LLMError is for those who wait, if anybody does: asyncio would log it.
        error = None if task.cancelled() else task.exception()
        # Any other is a fault of ours: raised here it goes to the loop's handler, into the log.
        if error is not None and not isinstance(error, LLMError):
            raise error


async def result_of(task: "asyncio.Task[T]") -> T:
    """Wait for a shared task. Raises what it raises; OllamaUnreachableError where it was closed."""
    # `await task` would pass a cancel of this caller on to the task, and to all others who wait.
    await asyncio.wait((task,))
    if task.cancelled():
        raise OllamaUnreachableError("the client of Ollama was closed before an answer came")
    return task.result()
