"""Waiting for the result of a chat job."""

import itertools
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Literal, overload

from celery.exceptions import TimeoutError as ResultTimeout
from celery.result import AsyncResult, assert_will_not_block
from celery.states import PENDING, READY_STATES
from kombu.utils.compat import detect_environment

from memory import CannotRead, MemoryServiceError, MemoryUnavailable, locate
from memory.ids import shown_id
from memory.mailbox import delayed
from memory.redis.announced import AllWait
from memory.redis.failures import translated
from tasks.end.outcome import outcome_of
from tasks.end.stored_result import decrypted_result
from tasks.errors import JobFailed
from tasks.job.result import ChatResult
from tasks.process.services import producer_services
from tasks.submit.follow import check_kept, last_end

logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0
LOOKS_PER_QUESTION = 5
SCHEDULED = "SCHEDULED"
RESULTS = "the results' address"
_PLAIN_OPTIONS = frozenset({"propagate"})


class _ServerAway(ResultTimeout):  # type: ignore[misc]  # Celery ships no types
    """There is no result in time, for the results' server cannot be asked; the text says why."""


class JobResult(AsyncResult):  # type: ignore[misc]  # Celery ships no types
    """Celery's AsyncResult, whose `get` cannot miss its result.

    Celery 5.7.0 subscribes to the result without waiting for the subscription, then looks for the
    result on another connection. One that is stored in between is never announced, and `get` waits
    for ever. Celery's own `delay` subscribes long before; here that would leave one subscription
    open for each job whose result nobody fetches. So `get` looks again every second. From time to
    time it also asks the job's mailbox: a result that has expired never comes, nor does that of a
    job that Redis has lost.

    Celery gives up, for good, on a server of results that is away for longer than its retries last
    (5 s in celeryconfig.py): `get` begins anew with it. `state`, `ready()` and the like are one
    look each: they raise what Celery's backend raises then.
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
        """The result; waits for `timeout` seconds, None: for ever, also while the results' server
        is away. A try to reach that may end a few seconds after the time.

        Of a job that was merged into another it is the other's. Raises what ended the job (with
        `propagate=False`: returns it), celery.exceptions.TimeoutError, or memory.CannotRead.
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

    def forget(self) -> None:
        """Delete the result. Raises MemoryServiceError where its server is away, or refuses."""
        try:
            super().forget()
        except _errors_of(self.backend) as exc:
            raise translated(exc, RESULTS) from exc

    def __del__(self) -> None:
        """Celery's, where anybody has had it wait for the result: it is 37 calls."""
        pending = getattr(self.backend, "_pending_results", None)
        if pending is None or any(self.id in waited_for for waited_for in pending):
            super().__del__()

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
        was_away = False
        for look in itertools.count(1):
            left_s = LOOK_AGAIN_S if deadline is None else deadline - time.monotonic()
            pause_s = max(0.0, min(LOOK_AGAIN_S, left_s))
            try:
                return self._look(pause_s, options)
            except ResultTimeout as exc:
                if deadline is not None and time.monotonic() >= deadline:
                    raise
                was_away = self._is_away(exc, was_away=was_away)
            if was_away:
                time.sleep(pause_s)
            if look % LOOKS_PER_QUESTION == 0 and (kept := self._kept()) is not None:
                return self._given(kept, options)
        raise AssertionError("unreachable")

    def _given(
        self, kept: ChatResult | Exception, options: Mapping[str, object]
    ) -> ChatResult | Exception:
        if isinstance(kept, Exception) and options["propagate"]:
            raise kept
        return kept

    def _is_away(self, timed_out: ResultTimeout, *, was_away: bool) -> bool:
        """Whether the results' server is away; the log has when that begins and ends."""
        is_away = isinstance(timed_out, _ServerAway)
        if is_away and not was_away:
            logger.warning(
                "the result of job %s cannot be asked for; get() goes on trying, and this process "
                "need not be restarted: %s",
                shown_id(self.id),
                timed_out,
            )
        elif was_away and not is_away:
            logger.info("the result of job %s can be asked for again", shown_id(self.id))
        return is_away

    def _look(self, timeout_s: float, options: Mapping[str, object]) -> ChatResult | BaseException:
        """Celery's `get`. Raises _ServerAway in place of what it raises in an outage."""
        self._await_plainly(timeout_s, options)
        found: ChatResult | BaseException
        if self._cache:
            found = super().get(**options)
            return found
        errors = _errors_of(self.backend)
        caught: tuple[type[Exception], ...] = (*errors, RuntimeError)
        try:
            found = super().get(timeout=timeout_s, **options)
        except caught as exc:
            # What Celery raises once it gives up has the reason as its cause.
            reason = exc.__cause__ if isinstance(exc, RuntimeError) else exc
            if self._cache or not isinstance(reason, errors):
                raise  # it is what ended the job, or the fault of whoever asks
            away = translated(reason, RESULTS)
            if not isinstance(away, MemoryUnavailable):
                raise
            self._begin_anew(has_given_up=reason is not exc)
            raise _ServerAway(str(away)) from exc
        return found

    def _await_plainly(self, timeout_s: float, options: Mapping[str, object]) -> None:
        """Have the result come where Celery's `get` finds it, if nothing but waiting is asked for.

        Celery subscribes, looks and unsubscribes in three trips, and reads each of their answers
        in a turn of its own. Raises ResultTimeout, _ServerAway, and RuntimeError within a task.
        """
        services = producer_services()
        waiting, is_plain = services.results, options.keys() <= _PLAIN_OPTIONS
        if waiting is None or not is_plain or self._cache or self.parent or self.ignored:
            return
        if getattr(self.backend, "url", None) != services.results_url or _is_green():
            return
        assert_will_not_block()
        key = self.backend.get_key_for_task(self.id)
        try:
            meta = waiting.value(key, self._final, timeout_s=timeout_s)
        except MemoryUnavailable as exc:
            raise _ServerAway(str(exc)) from exc
        except (AllWait, MemoryServiceError):
            return  # Celery waits, or says why it cannot
        if meta is None:
            raise ResultTimeout("The operation timed out.")
        self._maybe_set_cache(meta)

    def _final(self, stored: bytes) -> dict[str, object] | None:
        """What Celery has stored of a job that is over; None of one that goes on."""
        meta: dict[str, object] = self.backend.decode(stored)
        return meta if meta["status"] in READY_STATES else None

    def _begin_anew(self, *, has_given_up: bool) -> None:
        """Have the next look subscribe on a new connection: Celery counts this job among those that
        it is subscribed to, and is not."""
        consumer = self.backend.result_consumer
        if has_given_up:
            # Under gevent and eventlet it has ended, and would raise the same error for ever.
            consumer.drainer = type(consumer.drainer)(consumer)
        with suppress(*_errors_of(self.backend), RuntimeError):  # it says goodbye to a dead server
            self.backend.remove_pending_result(self)

    def _kept(self) -> ChatResult | Exception | None:
        """How the job has ended, as its mailbox has it; None where it goes on. JobFailed where no
        mailbox has it: Redis was emptied."""
        try:
            kept = last_end(self.id)
            if kept is None:
                check_kept(self.id)
        except CannotRead:
            raise  # a result that has expired would be waited for without end
        except MemoryServiceError:
            return None
        except JobFailed as exc:
            return exc
        if kept is None:
            return None
        keys, end = kept
        return outcome_of(keys, end.event).value


def _is_green() -> bool:
    """Whether greenlets wait here: thousands of them may share Celery's one connection."""
    return bool(detect_environment() != "default")


def _errors_of(backend: object) -> tuple[type[Exception], ...]:
    """What a backend raises for its server. A KeyError, which kombu counts among them, is none."""
    kinds = getattr(backend, "connection_errors", ()) + getattr(backend, "channel_errors", ())
    return tuple(kind for kind in kinds if not issubclass(kind, LookupError))
