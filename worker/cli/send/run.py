"""Sending the jobs of a file and waiting for their ends, with a bound on how many are under way."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from typing import Protocol

from memory import (
    Backpressure,
    CannotRead,
    CorruptData,
    Event,
    EventType,
    MemoryFull,
    MemoryUnavailable,
)
from tasks import ChatError, LimitReached, NotAccepted, QuotaExceeded
from tasks.aio import aclose, send
from worker.cli.chat.following import through_outages
from worker.cli.send.messages_file import Line, MessagesFile
from worker.cli.send.results_file import ResultsFile

AGAIN_S = 1.0
"""How long to wait before a job is sent again for which there was no room, or no answer."""
OF_ONE = (ChatError, CannotRead, CorruptData)
"""What goes wrong with one job, or one session; all else ends the run."""
_STATUS = {
    EventType.DONE: "done",
    EventType.FAILED: "failed",
    EventType.CANCELLED: "cancelled",
    EventType.ERASED: "erased",
}


class SendProgress(Protocol):
    """Who is told how far a run is."""

    def ended(self, status: str) -> None:
        """A job has ended, or was refused."""

    def waits(self, why: str) -> None:
        """Nothing can be sent just now."""


class Run:
    """One run over a file: at most `window` jobs are sent and not ended at any moment."""

    def __init__(
        self, file: MessagesFile, results: ResultsFile, progress: SendProgress, *, window: int
    ) -> None:
        self._file = file
        self._results = results
        self._progress = progress
        self._window = window
        self._room = asyncio.Semaphore(window)

    async def to_the_end(self) -> None:
        """Send what has not ended yet; return when all has. Raises MemoryServiceError for what no
        waiting mends."""
        sessions = iter(self._file.sessions.values())
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._window, len(self._file.sessions))):
                    group.create_task(self._send_sessions(sessions, group))
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        finally:
            await aclose()

    async def _send_sessions(
        self, sessions: Iterator[list[Line]], group: asyncio.TaskGroup
    ) -> None:
        for lines in sessions:
            for line in lines:
                if line.job_id in self._results.ended:
                    continue
                await self._room.acquire()
                # In the file's order: the next of the session when this one is in its mailbox.
                if await self._is_in(line):
                    group.create_task(self._follow(line))
                else:
                    self._room.release()

    async def _is_in(self, line: Line) -> bool:
        """Send a job, as often as it takes; False where it is refused."""
        while True:
            try:
                await send(**self._file.job_at(line))  # type: ignore[arg-type]  # checked before
            except (Backpressure, LimitReached, MemoryFull, NotAccepted, MemoryUnavailable) as exc:
                self._progress.waits(str(exc))
                await asyncio.sleep(AGAIN_S)
            except QuotaExceeded as exc:
                self._progress.waits(str(exc))
                await asyncio.sleep(max(AGAIN_S, exc.retry_after_s))
            except OF_ONE as exc:
                self._note(line, "refused", {"error": str(exc)})
                return False
            else:
                return True

    async def _follow(self, line: Line) -> None:
        try:
            last = await self._last_event(line.job_id)
            while last is not None and last.type is EventType.MERGED:
                last = await self._last_event(str(last.data["into"]))
        except CannotRead as exc:
            # It has an end, which another run can read: with a newer Griot, or with the key.
            self._note(line, "unreadable", {"error": str(exc)})
        except OF_ONE as exc:
            self._note(line, "failed", {"error": str(exc)})
        else:
            self._note_end(line, last)
        finally:
            self._room.release()

    async def _last_event(self, job_id: str) -> Event | None:
        last = None
        async with aclosing(through_outages(job_id, self._progress.waits)) as events:
            async for event in events:
                last = event
        return last

    def _note_end(self, line: Line, last: Event | None) -> None:
        if last is None:
            raise AssertionError("a job that is followed has a last event")
        said = {"response": last.text} if last.text else {}
        self._note(line, _STATUS[last.type], {**said, **last.data})

    def _note(self, line: Line, status: str, more: Mapping[str, object]) -> None:
        named = {"line": line.number, "task_id": line.job_id, "status": status}
        # These first: so an unfinished line is known as one of ours.
        self._results.add({**named, **more, **named})
        self._progress.ended(status)
