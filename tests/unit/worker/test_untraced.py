"""Which ends of a message need no tracer of Celery's, and what is said of them."""

import secrets
import time
from collections.abc import Sequence
from concurrent.futures import Future

import pytest
from celery import signals
from celery.app.task import Context
from celery.exceptions import Ignore

from tasks.attempt.request import MessageIsOver
from tasks.attempt.start import RunningAttempt
from tasks.attempt.traced import AttemptTrace
from tasks.attempt.verdict import Ended, Later, NotNow, Refused, Verdict
from tasks.errors import JobFailed
from tasks.job.envelope import JobRef
from tasks.process.log_context import JobInLog
from tasks.process.wakeup import CHAT_TASK, WAKEUP_HEADER
from tasks.process.worker.services import worker_services
from tests.support.waiting import wait_until
from worker import app
from worker.pool import LoopPool, PoolTask
from worker.untraced import end_untraced, is_common, needs_no_tracer

WAITS = NotNow("waits for a slot of its model")
ERROR = JobFailed("no answer")


def request(**said: bool) -> Context:
    """A message as the pool has decoded it."""
    shown = {"argsrepr": "()", "kwargsrepr": "{}"}
    return Context({"id": "job-1", WAKEUP_HEADER: True, **shown, **said})


@pytest.mark.parametrize(
    "verdict",
    [
        NotNow("is over", is_over=True),
        NotNow("waits for a newer worker", again_in_s=0.5),
        Later(ERROR, 1.0),
        Ended(ERROR),
        Refused(ERROR),
    ],
)
def test_an_end_with_more_to_do_is_left_to_the_tracer(verdict: Verdict) -> None:
    """A result to be stored again, a message to be sent again, a failure."""
    assert not is_common(verdict)
    assert is_common(WAITS)


def test_what_asks_for_the_tracer_gets_it() -> None:
    """A message of another sender, and receivers of Celery's signals."""

    def receive(**_: object) -> None: ...

    assert needs_no_tracer(request())
    assert not needs_no_tracer(request(**{WAKEUP_HEADER: False}))
    signals.task_postrun.connect(receive)
    try:
        assert not needs_no_tracer(request())
    finally:
        signals.task_postrun.disconnect(receive)


def test_a_job_that_waits_is_logged_as_the_tracer_does(caplog: pytest.LogCaptureFixture) -> None:
    """And Celery's request hears of an exception that ends a task without a result."""
    caplog.set_level("INFO", "celery.app.trace")
    failed, ended, runtime_s = end_untraced(request(), WAITS, 0.25)
    assert (failed, runtime_s) == (1, 0.25)
    assert isinstance(ended, MessageIsOver)
    assert isinstance(ended.exception, Ignore)
    assert str(ended.exception) == WAITS.reason
    assert caplog.messages == [f"Task {CHAT_TASK}[job-1] ignored"]


def test_a_job_that_waits_takes_no_thread_of_the_pool() -> None:
    """A crowd that begins to wait would have all of them busy, and jobs with slots behind it."""
    told, traced = list[Sequence[object]](), list[object]()
    pool = LoopPool(1, app=app)
    pool.start()
    try:
        pool._running = 1
        call = PoolTask(
            lambda *args: traced.append(args), (CHAT_TASK, "job-1"), told.append, lambda *_: None
        )
        pool._decided(call, request(), _ended(WAITS))
        wait_until(lambda: told, what="Celery's request is told")
    finally:
        pool.stop()
    assert [type(one[1]) for one in told] == [MessageIsOver]
    assert not traced


def _ended(verdict: Verdict) -> RunningAttempt:
    ref = JobRef("job-1", "energy", f"s-{secrets.token_hex(4)}")
    services = worker_services()
    trace = AttemptTrace(services.memory, services.keyspace, ref, services.settings.queue)
    done: Future[Verdict] = Future()
    done.set_result(verdict)
    return RunningAttempt(ref, "a token", JobInLog.of(ref), trace, time.monotonic(), done)
