"""A worker that is drained (`griot drain`): it takes nothing new, finishes what runs, ends with 0.

It stays in touch meanwhile: it has its heartbeat, renews its leases, sweeps, and says how many of
its tasks still run. No time ends it: WORKER_DRAIN_SECONDS is that of SIGTERM, which may still come.
It relies on what celery 5.7.0 knows of its requests (`celery.worker.state`).
"""

import logging

from celery.platforms import EX_OK
from celery.worker import state as requests
from celery.worker.consumer import Consumer
from celery.worker.control import control_command
from celery.worker.request import Request
from kombu.asynchronous.timer import Entry

from tasks.process.worker.services import worker_services
from tasks.submit.drain import DRAIN
from worker.pool import LoopPool

LOOK_S = 0.2
REFUSED = (
    "its pool of processes (-P {}) does not tell which of its tasks have begun; end it with SIGTERM"
)
FORKING = "celery.concurrency.prefork"

logger = logging.getLogger(__name__)


class Drain:
    """The drain of one worker; on the thread of Celery's consumer."""

    def __init__(self) -> None:
        self._given_back = 0
        self._has_begun = False

    def answer(self, state: object, begin: bool = False, **_: object) -> dict[str, object]:
        """Begin to drain, unless only asked how far it is; what the worker replies."""
        consumer: Consumer = state.consumer  # type: ignore[attr-defined]  # Celery ships no types
        if type(consumer.pool).__module__ == FORKING:
            return {"error": REFUSED.format("processes")}
        if begin and not self._has_begun:
            self._has_begun = True
            self._begin(consumer)
        return {"running": _running(), "given_back": self._given_back}

    def _begin(self, consumer: Consumer) -> None:
        worker_services().leases.take_no_more()
        for queue in list(consumer.app.amqp.queues.consume_from):
            consumer.cancel_task_queue(queue)
        self._given_back = _give_back(consumer)
        logger.info(
            "this worker drains: it takes nothing new and ends when the %d tasks that run have "
            "finished; %d messages went back to the queue",
            _running(),
            self._given_back,
        )
        self._look(consumer)

    def _look(self, consumer: Consumer) -> None:
        """End the worker if nothing runs, else look again a little later."""
        if _running():
            consumer.timer.call_after(LOOK_S, self._look, (consumer,))
            return
        logger.info("this worker is drained and ends")
        requests.should_stop = EX_OK


def prepare() -> None:
    """Have every worker of this process drain when it is told to."""
    control_command(name=DRAIN, args=[("begin", bool)])(Drain().answer)


def _running() -> int:
    """How many tasks run, or will in a pool that has taken them on; and requests for vectors."""
    services = worker_services()
    vectors = services.embedder.under_way if "embedder" in vars(services) else 0
    return len(requests.reserved_requests | requests.active_requests) + vectors


def _give_back(consumer: Consumer) -> int:
    """Put the messages of tasks that have not begun back into their queues; how many."""
    later = [entry for entry in _timed(consumer) if not entry.cancelled]
    for entry in later:
        entry.cancel()
    unstarted = [entry.args[0] for entry in later]
    if isinstance(consumer.pool, LoopPool):
        ids = consumer.pool.take_back()
        unstarted += [requests.requests[one] for one in ids if one in requests.requests]
    for request in unstarted:
        request.reject(requeue=True)
        requests.task_ready(request)
    return len(unstarted)


def _timed(consumer: Consumer) -> list[Entry]:
    """The entries of the timer that are tasks which begin later."""
    entries = [one.entry for one in list(consumer.timer.queue)]
    return [one for one in entries if one.args and isinstance(one.args[0], Request)]
