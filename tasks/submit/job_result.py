"""Waiting for the result of a chat job."""

import time
from collections.abc import Mapping

from celery.exceptions import TimeoutError as ResultTimeout
from celery.result import AsyncResult

LOOK_AGAIN_S = 1.0


class JobResult(AsyncResult):  # type: ignore[misc]  # Celery ships no types
    """Celery's AsyncResult, whose `get` cannot miss its result.

    Celery 5.7.0 subscribes to the result without waiting for the subscription, then looks for the
    result on another connection. One that is stored in between is never announced, and `get` waits
    for ever. Celery's own `delay` subscribes long before; here that would leave one subscription
    open for each job whose result nobody fetches. So `get` looks again every second.
    """

    def get(self, timeout: float | None = None, **options: object) -> object:
        """The result, a dict as in `tasks.ChatResult`; waits for `timeout` seconds, None: for ever.

        Of a job that was merged into another it is the other's. Raises what ended the job, or
        celery.exceptions.TimeoutError.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        found = self._get(deadline, options)
        while isinstance(found, Mapping) and isinstance(into := found.get("merged_into"), str):
            found = JobResult(into, app=self.app)._get(deadline, options)
        return found

    def _get(self, deadline: float | None, options: Mapping[str, object]) -> object:
        while True:
            left_s = LOOK_AGAIN_S if deadline is None else deadline - time.monotonic()
            try:
                return super().get(timeout=max(0.0, min(LOOK_AGAIN_S, left_s)), **options)
            except ResultTimeout:
                if deadline is not None and time.monotonic() >= deadline:
                    raise
