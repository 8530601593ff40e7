"""A file whose age says whether this process does its work: a health check that costs nothing.

`celery inspect ping` starts an interpreter and asks the whole cluster; a file's age is one `stat`.
docs/operations.md has the command.
"""

import logging
from concurrent.futures import Future
from pathlib import Path

from celery import signals

from memory import AsyncConnection, Due, MemoryServiceError
from tasks.process.worker.services import worker_services

logger = logging.getLogger(__name__)


class Pulse:
    """Touches `path` whenever the process has just shown that it works."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._question: Future[None] | None = None

    def of_worker(self, **_: object) -> None:
        """Called with each heartbeat, which needs the broker and Celery's loop: ask the rest.

        The rest is our event loop and the memory, and the question is the sweeper's.
        """
        if self._question is None or self._question.done():
            worker = worker_services()
            look = self._beat_if_answered(worker.memory, Due(worker.keyspace))
            self._question = worker.runtime.spawn(look)

    async def _beat_if_answered(self, memory: AsyncConnection, due: Due) -> None:
        try:
            await memory.run(due.entries(limit=1))
        except MemoryServiceError as exc:
            logger.warning(
                "the health file is not touched, because the memory does not answer: %s", exc
            )
        else:
            self.touch()

    def touch(self, **_: object) -> None:
        """Called with each message that beat has published, and for a worker that has answered."""
        try:
            self._path.touch()
        except OSError as exc:
            logger.error("WORKER_ALIVE_FILE=%s cannot be written: %s", self._path, exc.strerror)


def prepare(path: Path | None) -> None:
    """Have every worker and beat of this process touch `path`, if there is one."""
    if path is None:
        return
    pulse = Pulse(path)
    signals.heartbeat_sent.connect(pulse.of_worker, weak=False)

    # Only in beat: whatever else publishes has other signs of life.
    signals.beat_init.connect(
        lambda **_: signals.after_task_publish.connect(pulse.touch, weak=False), weak=False
    )
