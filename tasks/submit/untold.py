"""The end of jobs that another job has taken out of the mailbox: replaced or merged.

The sender of the other job ends them at once. A sender may die before that, so the mailbox
remembers the jobs whose end is not published yet, and the sweeper publishes it.
"""

import logging
from collections.abc import Sequence

from celery import Celery
from kombu.exceptions import OperationalError

from memory import (
    Connection,
    Event,
    EventType,
    MemoryServiceError,
    SessionKeys,
    Untold,
    events,
    intake,
)
from tasks.job.result import merged_result

logger = logging.getLogger(__name__)

WITHDRAWN = "withdrawn: another message has taken its place"


class UntoldEnds:
    """Publishes the last event and the result of such jobs; blocks, from any thread."""

    def __init__(self, app: Celery, memory: Connection, *, ttl_s: int) -> None:
        """`ttl_s` is that of the sessions' events."""
        self._app = app
        self._memory = memory
        self._ttl_s = ttl_s

    def publish(self, keys: SessionKeys, jobs: Sequence[Untold]) -> bool:
        """Give these jobs their last event and their result: revoked, or where the answer will be.

        Safe to repeat. A failure is logged, and the sweeper tries again: False.
        """
        if not jobs:
            return True
        backend = self._app.backend
        refusals = (*backend.connection_errors, *backend.channel_errors)  # out of memory, too
        try:
            # First what may fail for long: each try would write the events anew.
            for job in jobs:
                self._store_result(keys, job)
            last = [_last_event(job) for job in jobs]
            self._memory.run_each(events.publish(keys, last, ttl_s=self._ttl_s))
            self._memory.run(intake.told(keys, jobs))
        except (MemoryServiceError, OperationalError, *refusals) as exc:
            logger.warning(
                "the end of %d replaced jobs is not published, the sweeper tries again: %s",
                len(jobs),
                exc,
            )
            return False
        return True

    def publish_all(self, keys: SessionKeys) -> None:
        """Publish every end of a session that is still missing; a failure is logged."""
        try:
            jobs = self._memory.run(intake.untold(keys))
        except MemoryServiceError as exc:
            logger.warning("the ends of replaced jobs cannot be looked up: %s", exc)
        else:
            self.publish(keys, jobs)

    def _store_result(self, keys: SessionKeys, job: Untold) -> None:
        if job.into:
            result = merged_result(job.job_id, keys.agent_id, keys.session_id, job.into)
            self._app.backend.mark_as_done(job.job_id, result)
        else:
            self._app.backend.mark_as_revoked(job.job_id, WITHDRAWN)


def _last_event(job: Untold) -> Event:
    if job.into:
        return Event(EventType.MERGED, job.job_id, 0, data={"into": job.into})
    return Event(EventType.CANCELLED, job.job_id, 0)
