"""Telling the end of jobs that another one has taken out of the mailbox: withdrawn or merged.

Whoever sends the other job tells it at once. As a sender may die before that, the mailbox remembers
who has not been told, and the sweeper tells them.
"""

import logging
from collections.abc import Sequence

from celery import Celery
from kombu.exceptions import OperationalError

from memory import Event, EventType, MemoryServiceError, SessionKeys, Untold, events, intake
from tasks.job.result import merged_result
from tasks.process.wiring import Services

logger = logging.getLogger(__name__)

WITHDRAWN = "withdrawn: another message has taken its place"


def tell_untold(app: Celery, shared: Services, keys: SessionKeys, jobs: Sequence[Untold]) -> bool:
    """Give these jobs their last event and their result: revoked, or where the answer will be.

    Safe to repeat. A failure is logged, and the jobs stay untold: False.
    """
    if not jobs:
        return True
    told = [_last_event(job) for job in jobs]
    ttl_s = shared.settings.memory.default_ttl_s
    refusals = (*app.backend.connection_errors, *app.backend.channel_errors)  # out of memory, too
    try:
        # First what may fail for long: each try would write the events anew.
        for job in jobs:
            _store_result(app, keys, job)
        shared.memory.run_each(events.publish(keys, told, ttl_s=ttl_s))
        shared.memory.run(intake.told(keys, jobs))
    except (MemoryServiceError, OperationalError, *refusals) as exc:
        logger.warning("the end of %d jobs is still untold: %s", len(jobs), exc)
        return False
    return True


def tell_all(app: Celery, shared: Services, keys: SessionKeys) -> None:
    """Tell whatever is untold in a session; a failure is logged."""
    try:
        jobs = shared.memory.run(intake.untold(keys))
    except MemoryServiceError as exc:
        logger.warning("it is not known whose end is untold: %s", exc)
    else:
        tell_untold(app, shared, keys, jobs)


def _last_event(job: Untold) -> Event:
    if job.into:
        return Event(EventType.MERGED, job.job_id, 0, data={"into": job.into})
    return Event(EventType.CANCELLED, job.job_id, 0)


def _store_result(app: Celery, keys: SessionKeys, job: Untold) -> None:
    if job.into:
        result = merged_result(job.job_id, keys.agent_id, keys.session_id, job.into)
        app.backend.mark_as_done(job.job_id, result)
    else:
        app.backend.mark_as_revoked(job.job_id, WITHDRAWN)
