"""Delivering the end of a job: its result, and what follows it in Celery.

This is the one place where results are stored: for the worker that ended the job, the sender that
took it out, the command that cancelled or erased it, and the sweeper (docs/decisions.md, "One
outbox").
"""

import logging
import threading
from collections.abc import Callable
from functools import partial

from celery import Celery
from celery.app.task import Context
from celery.canvas import signature
from kombu.exceptions import OperationalError

from memory import (
    CannotRead,
    Connection,
    End,
    EventType,
    Keyspace,
    MemoryServiceError,
    SessionKeys,
    outbox,
)
from memory.ids import shown_id
from memory.quotas import pending
from tasks.end.callbacks import UNSENDABLE, place_of, requests_of
from tasks.end.outcome import JobOutcome, outcome_of
from tasks.end.stored_result import encrypted_result, encrypts_results
from tasks.end.webhooks import notes_of
from tasks.errors import NotAccepted
from tasks.job.result import ChatResult
from telemetry import tracing

logger = logging.getLogger(__name__)

PATIENCE_S = 1.0
"""How long anybody waits for a result to be stored before going on without."""


class Delivery:
    """Delivers ends; blocks, from any thread."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """What says that a server is away or refuses: try again later."""
        backend = self._app.backend
        of_backend = (*backend.connection_errors, *backend.channel_errors)
        return (MemoryServiceError, NotAccepted, OperationalError, *of_backend)

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
        is_stored = not own.ignore_result
        if is_stored and encrypts_results(self._app) and not isinstance(outcome.value, Exception):
            stored = encrypted_result(keys, outcome.value)
            backend.store_result(end.job_id, stored, outcome.state, request=own)
            is_stored = False
        for request in (own, *merged):
            # What follows a job is a part of its trace, wherever its end is delivered.
            with tracing.at(place_of(request.id, end.callbacks)):
                self._conclude(request, outcome, is_stored=is_stored and request is own)

    def _conclude(self, request: Context, outcome: JobOutcome, *, is_stored: bool) -> None:
        backend, value = self._app.backend, outcome.value
        if isinstance(value, Exception):
            # Celery's own revoking calls nobody back; here each end is followed.
            conclude = partial(backend.mark_as_failure, state=outcome.state)
        else:
            conclude = backend.mark_as_done
        self._send(
            request,
            partial(conclude, request.id, value, request=request, store_result=is_stored),
        )
        if not isinstance(value, Exception):
            self._call(request, value)
        elif request.chain and not is_stored and not request.ignore_result:
            # What was merged has a result already; the rest of its chain has none.
            rest = (request.chain, value, None)
            self._send(request, partial(backend._fail_chain, *rest, state=outcome.state))

    def _call(self, request: Context, result: ChatResult) -> None:
        sent_by = {"parent_id": request.id, "root_id": request.root_id}
        for callback in request.callbacks or ():
            called = signature(callback, app=self._app)
            self._send(request, partial(called.apply_async, (result,), **sent_by))
        if request.chain:
            *rest, following = request.chain
            called = signature(following, app=self._app)
            self._send(request, partial(called.apply_async, (result,), chain=rest, **sent_by))

    def _send(self, request: Context, send: Callable[[], object]) -> None:
        try:
            send()
        except UNSENDABLE as exc:
            # It would fail each time, and keep what else follows the job.
            kind = type(exc).__name__
            logger.error("the callbacks of job %s cannot be sent: %s", shown_id(request.id), kind)


def deliver_ends(
    delivery: Delivery,
    memory: Connection,
    keyspace: Keyspace,
    keys: SessionKeys,
    *,
    owner: str,
    claim_ms: int,
    patience_s: float = PATIENCE_S,
) -> bool:
    """Deliver the ends of a session that `owner` is to deliver, and those that nobody did in time.

    They are the owner's for `claim_ms`, then anybody's. Returns within `patience_s`: what takes
    longer goes on beside. A failure is logged, and a worker tries again: False.
    """
    take = outbox.take(keys, owner=owner, claim_ms=claim_ms)
    done: list[bool] = []

    def deliver() -> None:
        try:
            while (taken := memory.run(take)).ends or taken.corrupt:
                log_damaged(keys, taken.corrupt)
                log_unreadable(taken.unreadable)
                if taken.corrupt:
                    memory.run(outbox.drop(keys, taken.corrupt))
                for end in taken.ends:
                    _deliver_one(delivery, memory, keyspace, keys, end)
        except delivery.refusals as exc:
            logger.warning("results are not delivered yet; a worker tries again: %s", exc)
        else:
            done.append(True)

    # A thread that ends with the process: a sender waits for no server of results.
    thread = threading.Thread(target=deliver, name="griot-ends", daemon=True)
    thread.start()
    thread.join(patience_s)
    if thread.is_alive():
        logger.warning("results of %s will come later: the result backend is slow", keys.history)
    return bool(done)


def _deliver_one(
    delivery: Delivery, memory: Connection, keyspace: Keyspace, keys: SessionKeys, end: End
) -> None:
    release, ends = pending.release(keyspace, (end.job_id,)), [end]
    # Where the job was erased meanwhile, its result is stored once more, as erased.
    while ends:
        delivery.deliver(keys, ends[0])
        memory.run_each(notes_of(keyspace, keys, ends[0]))
        ends[:1] = memory.run_last(release, outbox.delivered(keys, ends[:1]))


def log_unreadable(errors: tuple[CannotRead, ...]) -> None:
    """Say of the ends in an outbox that cannot be read here why they wait."""
    for error in errors:
        logger.error("this process could not deliver the result of a job: %s", error)


def log_damaged(keys: SessionKeys, corrupt: tuple[bytes, ...]) -> None:
    """Name the elements of an outbox that cannot be read."""
    for name in corrupt:
        job_id = name.decode(errors="replace")
        logger.error(
            "the result of job %s in %s cannot be read; it was removed",
            shown_id(job_id),
            keys.outbox,
        )
