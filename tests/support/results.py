"""Fetching the results of jobs that Celery's own client sent."""

from typing import Any

from celery.result import AsyncResult

from tests.support.waiting import wait_until


def fetch(sent: AsyncResult, timeout_s: float) -> Any:
    """What the job returned, or the error of it raised, as `sent.get()` does.

    Celery's own `get` subscribes and looks once, without waiting for the subscription to be in
    force (5.7.0): a result that comes between the two is never seen. Hence this looks again.
    """
    wait_until(sent.ready, timeout_s=timeout_s, what=f"the result of job {sent.id}")
    return sent.get()
