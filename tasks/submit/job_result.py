"""Waiting for the result of a chat job."""

import itertools
import time
from collections.abc import Mapping
from typing import Literal, overload

from celery.exceptions import TimeoutError as ResultTimeout
from celery.result import AsyncResult
from celery.states import PENDING

from memory import CannotDecrypt, MemoryServiceError, locate
from memory.mailbox import delayed
from tasks.end.outcome import outcome_of
from tasks.end.stored_result import decrypted_result
from tasks.errors import JobFailed
from tasks.job.result import ChatResult
from tasks.process.services import producer_services
from tasks.submit.follow import check_kept, last_end

LOOK_AGAIN_S = 1.0
LOOKS_PER_QUESTION = 5
SCHEDULED = "SCHEDULED"


class JobResult(AsyncResult):  # type: ignore[misc]  # Celery ships no types
    """Celery's AsyncResult, whose `get` cannot miss its result.

    Celery 5.7.0 subscribes to the result without waiting for the subscription, then looks for the
    result on another connection. One that is stored in between is never announced, and `get` waits
    for ever. Celery's own `delay` subscribes long before; here that would leave one subscription
    open for each job whose result nobody fetches. So `get` looks again every second. From time to
    time it also asks the job's mailbox: a result that has expired never comes, nor does that of a
    job that Redis has lost.
    """

    id: str
    """The job's id, which `follow_job` and `chat_task.cancel` take."""

    @overload
    def get(
        self,
        timeout: float | None = None,
        *,
        propagate: Literal[True] = True,
        **options: object,
    ) -> ChatResult: ...

    @overload
    def get(
        self, timeout: float | None = None, *, propagate: bool, **options: object
    ) -> ChatResult | BaseException: ...

    def get(
        self, timeout: float | None = None, *, propagate: bool = True, **options: object
    ) -> ChatResult | BaseException:
        """The result; waits for `timeout` seconds, None: for ever.

        Of a job that was merged into another it is the other's. Raises what ended the job (with
        `propagate=False`: returns it), celery.exceptions.TimeoutError, or memory.CannotDecrypt.
        `options` are Celery's.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        given = {"propagate": propagate, **options}
        found = self._get(deadline, given)
        while isinstance(found, Mapping) and isinstance(into := found.get("merged_into"), str):
            found = JobResult(into, app=self.app)._get(deadline, given)
        return found

    @property
    def state(self) -> str:
        """Celery's state; SCHEDULED of a job that is not due (`not_before`)."""
        found = str(super().state)
        return SCHEDULED if found == PENDING and self._is_delayed() else found

    status = state

    def _is_delayed(self) -> bool:
        services = producer_services()
        try:
            keys = services.memory.run(locate(services.keyspace, self.id))
            due = None if keys is None else services.memory.run(delayed.due_at_ms(keys, self.id))
        except MemoryServiceError:
            return False
        return due is not None

    def _set_cache(self, meta: dict[str, object]) -> dict[str, object]:
        """What Celery keeps of a result that has come; an encrypted reply is decrypted before."""
        keyspace = producer_services().keyspace
        plain = {**meta, "result": decrypted_result(keyspace, meta.get("result"))}
        kept: dict[str, object] = super()._set_cache(plain)
        return kept

    def _get(
        self, deadline: float | None, options: Mapping[str, object]
    ) -> ChatResult | BaseException:
        for look in itertools.count(1):
            left_s = LOOK_AGAIN_S if deadline is None else deadline - time.monotonic()
            try:
                found: ChatResult | BaseException = super().get(
                    timeout=max(0.0, min(LOOK_AGAIN_S, left_s)), **options
                )
            except ResultTimeout:
                if deadline is not None and time.monotonic() >= deadline:
                    raise
            else:
                return found
            if look % LOOKS_PER_QUESTION == 0 and (kept := self._kept()) is not None:
                if isinstance(kept, Exception) and options["propagate"]:
                    raise kept
                return kept
        raise AssertionError("unreachable")

    def _kept(self) -> ChatResult | Exception | None:
        """How the job has ended, as its mailbox has it; None where it goes on. JobFailed where no
        mailbox has it: Redis was emptied."""
        try:
            kept = last_end(self.id)
            if kept is None:
                check_kept(self.id)
        except CannotDecrypt:
            raise  # a result that has expired would be waited for without end
        except MemoryServiceError:
            return None
        except JobFailed as exc:
            return exc
        if kept is None:
            return None
        keys, end = kept
        return outcome_of(keys, end.event).value
