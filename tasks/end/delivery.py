"""Delivering the end of a job: its result, and what follows it in Celery.

This is the one place where results are stored: for the worker that ended the job, the sender that
took it out, the command that cancelled or erased it, and the sweeper (docs/decisions.md, "One
outbox").
"""

import logging

from celery import Celery
from celery.app.task import Context
from celery.canvas import signature
from kombu.exceptions import OperationalError

from memory import Connection, End, EventType, MemoryServiceError, SessionKeys, outbox
from tasks.end.callbacks import UNSENDABLE, requests_of
from tasks.end.outcome import JobOutcome, outcome_of

logger = logging.getLogger(__name__)


class Delivery:
    """Delivers ends; blocks, from any thread."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """What says that a server is away or refuses: try again later."""
        backend = self._app.backend
        of_backend = (*backend.connection_errors, *backend.channel_errors)
        return (MemoryServiceError, OperationalError, *of_backend)

    def deliver(self, keys: SessionKeys, end: End) -> None:
        """Store the result of one job and send what follows it. Safe to repeat.

        What is sent twice has the same task id. Raises one of `refusals`.
        """
        backend, outcome = self._app.backend, outcome_of(keys, end.event)
        own, merged = requests_of(end.job_id, end.callbacks)
        if end.event.type is EventType.MERGED:
            backend.store_result(end.job_id, outcome.value, outcome.state, request=own)
            return
        if end.event.type is EventType.ERASED:
            # Celery's backend overwrites no success.
            backend.delete(backend.get_key_for_task(end.job_id))
        self._conclude(own, outcome, is_stored=not own.ignore_result)
        for request in merged:
            self._conclude(request, outcome, is_stored=False)

    def _conclude(self, request: Context, outcome: JobOutcome, *, is_stored: bool) -> None:
        try:
            self._store_and_call(request, outcome, is_stored=is_stored)
        except UNSENDABLE as exc:
            # It would fail each time; the result is stored by then.
            kind = type(exc).__name__
            logger.error("what follows job %s in Celery cannot be sent: %s", request.id, kind)

    def _store_and_call(self, request: Context, outcome: JobOutcome, *, is_stored: bool) -> None:
        backend, value = self._app.backend, outcome.value
        if isinstance(value, Exception):
            # Celery's own revoking calls nobody back; here each end is followed.
            backend.mark_as_failure(
                request.id, value, request=request, store_result=is_stored, state=outcome.state
            )
            return
        backend.mark_as_done(request.id, value, request=request, store_result=is_stored)
        sent_by = {"parent_id": request.id, "root_id": request.root_id}
        for callback in request.callbacks or ():
            signature(callback, app=self._app).apply_async((value,), **sent_by)
        if request.chain:
            *rest, following = request.chain
            next_task = signature(following, app=self._app)
            next_task.apply_async((value,), chain=rest, **sent_by)


def deliver_ends(
    delivery: Delivery, memory: Connection, keys: SessionKeys, *, owner: str, claim_ms: int
) -> bool:
    """Deliver the ends of a session that `owner` is to deliver, and those that nobody did in time.

    They are the owner's for `claim_ms`, then anybody's. A failure is logged, and a worker tries
    again: False.
    """
    take = outbox.take(keys, owner=owner, claim_ms=claim_ms)
    try:
        while (taken := memory.run(take)).ends or taken.corrupt:
            log_damaged(keys, taken.corrupt)
            if taken.corrupt:
                memory.run(outbox.drop(keys, taken.corrupt))
            for end in taken.ends:
                delivery.deliver(keys, end)
            if taken.ends and not memory.run(outbox.delivered(keys, taken.ends)):
                break
    except delivery.refusals as exc:
        logger.warning("ends of jobs are not delivered yet, a worker tries again: %s", exc)
        return False
    return True


def log_damaged(keys: SessionKeys, corrupt: tuple[bytes, ...]) -> None:
    """Name the elements of an outbox that cannot be read."""
    for name in corrupt:
        job_id = name.decode(errors="replace")
        logger.error("the end of job %r in %s cannot be read, it is removed", job_id, keys.outbox)
