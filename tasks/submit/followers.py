"""Following a job or a session: what to read next, and which events to hand over. No I/O.

`follow.py` drives a follower from a thread, `aio.py` on an event loop.
"""

import weakref
from collections.abc import Sequence

from memory import Event, EventType, Keyspace, SessionKeys, events
from memory.ids import shown_id
from memory.records.event import ENDINGS
from tasks.errors import JobFailed
from tasks.submit.last_event import LastEvent
from telemetry.metrics import FOLLOWERS


class SessionFollower:
    """Follows all jobs of a session, without end."""

    is_over = False

    def __init__(self, keys: SessionKeys, cursor: str) -> None:
        self.keys = keys
        self.cursor = cursor
        FOLLOWERS.inc()
        weakref.finalize(self, FOLLOWERS.dec)

    def take(self, found: Sequence[Event]) -> list[Event]:
        """The events to hand over; the cursor moves behind them."""
        if found:
            self.cursor = found[-1].cursor
        return [event for event in found if event.type is not EventType.UNKNOWN]


class JobFollower(SessionFollower):
    """Follows one job to its end.

    When nothing comes, ask `last.standing`: the last event may never have been stored, or be gone.
    Where the job is over, as `is_known_over` says, ask `last.lookup`, and hand over what
    `conclusion` makes of the answers.
    """

    def __init__(self, keyspace: Keyspace, keys: SessionKeys, job_id: str, cursor: str) -> None:
        super().__init__(keys, cursor)
        self.last = LastEvent(keyspace, keys, job_id)
        self._looks_in_vain = 0

    def take(self, found: Sequence[Event]) -> list[Event]:
        """The job's events up to its last one."""
        of_job = []
        for event in super().take(found):
            if event.job_id == self.last.job_id and not self.is_over:
                of_job.append(event)
                self.is_over = event.type in ENDINGS
        return of_job

    def is_known_over(self, *, is_pending: bool, is_committed: bool | None) -> bool:
        """Whether the job is over, by the answers of `last.standing`.

        Raises JobFailed for a job that is neither pending nor over, when it is so again: on a
        cluster a job can be found by its id a moment before it is in its mailbox.
        """
        if is_pending or is_committed is not None:
            self._looks_in_vain = 0
            return is_committed is not None
        self._looks_in_vain += 1
        if self._looks_in_vain > 1:
            raise lost(self.last.job_id)
        return False

    def conclusion(self, answers: Sequence[object], *, is_committed: bool) -> Event:
        """The last event of a job that ended unseen."""
        self.is_over = True
        return self.last.found(answers, is_committed=is_committed)


def lost(job_id: str) -> JobFailed:
    """The error for a job that was taken in and of which nothing is left."""
    return JobFailed(
        f"job {shown_id(job_id)} is lost: its mailbox is gone (Redis was emptied, or a "
        "failover lost it); send it again"
    )


def start_cursor(after: str | None) -> str:
    """Where a follower begins that was given `after`, or nothing."""
    return events.FROM_START if after is None else after
