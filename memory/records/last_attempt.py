"""What a job's last attempt has said, from the session's events, read backwards. Pure."""

from collections.abc import Sequence

from memory.records.event import Event, EventType

# docs/decisions.md, "A kept turn whose worker died keeps what its followers saw".
_BEGINNINGS = frozenset({EventType.QUEUED, EventType.STARTED})
_ENDS = frozenset({EventType.DONE, EventType.FAILED, EventType.CANCELLED})


class LastAttempt:
    """The text of the last attempt at a job, as a client has it that followed it.

    `take` pages until it `is_whole`: nothing older belongs to the attempt.
    """

    def __init__(self, job_id: str) -> None:
        self.is_whole = False
        self._job_id = job_id
        self._attempt = 0
        self._is_cut = False
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        """What was said."""
        return "".join(reversed(self._pieces))

    def take(self, page: Sequence[Event]) -> None:
        """Read on, the newest event first; an empty page is the stream's beginning."""
        if not page:
            self.is_whole = True
        for event in page:
            if not self.is_whole:
                self._read(event)

    def _read(self, event: Event) -> None:
        if event.job_id != self._job_id:
            # The session's turn before: nobody had begun with this one yet. What was withdrawn
            # from the mailbox meanwhile was in no attempt.
            self.is_whole = event.type in _ENDS and event.attempt > 0
        elif event.type in _BEGINNINGS:
            self.is_whole = True
        elif event.type in (EventType.TOKEN, EventType.TOOL_CALL):
            if event.attempt > self._attempt:
                # What came later is of a worker that did not know yet that it had lost the job.
                self._attempt, self._is_cut, self._pieces = event.attempt, False, []
            if event.attempt == self._attempt and not self._is_cut:
                # What was said before a tool was called is no part of the reply.
                self._is_cut = event.type is EventType.TOOL_CALL
                self._pieces.append(event.text)
