"""The events of a job beside the thread that shows them, so that it can notice silence."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from memory import Event, MemoryServiceError
from tasks import follow_job
from tasks.errors import ChatError


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing has happened for a while."""


# None: that was the last event.
_Arrival: TypeAlias = Event | ChatError | MemoryServiceError | None


class Feed:
    """Follows one job in a thread of its own, until it ends."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._arrived: queue.SimpleQueue[_Arrival] = queue.SimpleQueue()
        # A daemon: a reader that stops does not wait for the job.
        threading.Thread(target=self._follow, name="griot-follow", daemon=True).start()

    def events(self, patience_s: float) -> Iterator[Event | Silence]:
        """The events up to the last one; a Silence whenever none came for `patience_s`.

        Raises what following the job raised: ChatError, MemoryServiceError.
        """
        while True:
            try:
                arrived = self._arrived.get(timeout=patience_s)
            except queue.Empty:
                yield Silence()
                continue
            if isinstance(arrived, Exception):
                raise arrived
            if arrived is None:
                return
            yield arrived

    def _follow(self) -> None:
        try:
            for event in follow_job(self._job_id):
                self._arrived.put(event)
            self._arrived.put(None)
        except (ChatError, MemoryServiceError) as exc:
            self._arrived.put(exc)
