"""Celery's pool for chat jobs: they wait on the event loop, and most of them end there.

Under Celery's `threads` pool each waiting job holds a thread, which hands a coroutine over to the
loop and is woken by its end. Here the attempt is begun at once. When its verdict is there, the
session's next job is woken, if there is one, and the end is delivered (`tasks.attempt.finish`). Of
a reply, and of a job that waits, nothing is left then but to say so (`worker.untraced`). For any
other end a thread runs Celery's own tracer with the task's body, which finds all that done, so
retries, signals and events are Celery's. Every other task runs in those threads from its beginning.

It relies on what celery 5.7.0 hands to a pool (`celery.worker.request`), and waits for no issue.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Condition

from celery.app.task import Context
from celery.concurrency.base import BasePool, apply_target
from kombu.serialization import loads, prepare_accept_content

from memory import JobToWake, Priority, SessionKeys
from tasks.attempt.finish import deliver_end, wake_next
from tasks.attempt.start import RunningAttempt, begin_attempt, job_ref_of, started_before
from tasks.attempt.verdict import Answered, NotNow, Verdict
from tasks.errors import InvalidJob
from tasks.job.envelope import JobRef
from tasks.process.crash_points import CrashPoint, crash_if_armed
from tasks.process.log_context import log_about
from tasks.process.wakeup import CHAT_TASK, is_wakeup, priority_in
from tasks.process.worker.services import worker_services
from worker.broker.messages import MALFORMED
from worker.broker.waiting_tasks import WaitingTasks
from worker.settings import MOST_TURNS
from worker.untraced import end_untraced, is_common, needs_no_tracer

# Threads only make the ends that ask for more than a stored result (docs/decisions.md, "A Celery
# pool of our own").
MOST_THREADS = 16
"""Ends of jobs that are handled at once, each within a few round trips to Redis."""
ACCEPTED = prepare_accept_content(["json"])

Target = Callable[..., object]
Callback = Callable[[Sequence[object]], object]


@dataclass(frozen=True, slots=True)
class PoolTask:
    """What Celery asks a pool to do: run `target`, its tracer, with the message of one task."""

    target: Target
    args: Sequence[object]
    callback: Callback
    accepted: Callable[[int, float], None]
    request: Context | None = None
    """Of a chat job, whose waiting is done on the event loop."""

    @property
    def priority(self) -> Priority:
        """Before which others it begins."""
        return priority_in(self.args[2]) if self.request is not None else Priority.NORMAL  # type: ignore[arg-type]  # a dict, as Celery's

    def decoded(self) -> "PoolTask":
        """A chat job with its message's body decoded, which then is not done again.

        Raises one of MALFORMED for a body that Celery's tracer could not handle.
        """
        if self.args[0] != CHAT_TASK:
            return self
        name, job_id, headers, packed, content_type, encoding = self.args
        rest: dict[str, object] = {}
        if content_type and is_wakeup(headers):  # type: ignore[arg-type]  # a dict, as Celery's
            # Celery's request has decoded it already, and nothing else lies in it.
            packed, content_type = (headers["args"], headers["kwargs"], None), None  # type: ignore[index]
            # Celery would look for headers that are not its own, by some sixty calls.
            rest = {"headers": {}}
        # Of Celery's first protocol, the body comes decoded and without a type.
        body = loads(packed, content_type, encoding, accept=ACCEPTED) if content_type else packed
        args, kwargs, embed = body  # type: ignore[misc]  # what it is not made of raises
        request = Context(headers, args=args, kwargs=kwargs, **(embed or rest))
        handled = name, job_id, headers, body, None, None
        return PoolTask(self.target, handled, self.callback, self.accepted, request)

    def timed(self, attempt: RunningAttempt | None) -> Callback:
        """Celery's callback, with the time that the job took from its start."""
        if attempt is None:
            return self.callback
        return lambda result: self.callback((*result[:2], time.monotonic() - attempt.started_s))


class LoopPool(BasePool):  # type: ignore[misc]  # Celery ships no types
    """At most `limit` tasks at once; see the module."""

    body_can_be_buffer = True
    signal_safe = False

    def on_start(self) -> None:
        """Make the threads, and have Celery's log show how long a job took as a whole."""
        self._threads = ThreadPoolExecutor(MOST_THREADS, "griot-task")
        shares = worker_services().settings.queue.shares
        self._waiting = WaitingTasks[PoolTask](lambda task: task.priority, shares)
        self._running = 0
        self._finishing = 0
        self._changed = Condition()
        self.hand_over: Callable[[SessionKeys, JobToWake], bool] = lambda *_: False
        """What takes a session's next job on without a message, or says False; Celery's consumer
        sets it."""
        worker_services().concurrency = max(self.limit, MOST_TURNS)
        worker_services().take_on = self._take_on
        logging.getLogger("celery.app.trace").addFilter(_show_whole_runtime)

    def on_apply(
        self,
        target: Target,
        args: Sequence[object],
        kwargs: Mapping[str, object] | None = None,
        *,
        callback: Callback,
        accept_callback: Callable[[int, float], None],
        **_: object,
    ) -> None:
        """Take a task on; called by Celery's consumer. It begins at once, or as one ends.

        Raises one of MALFORMED for a message that cannot be a chat job's.
        """
        self._waiting.append(PoolTask(target, args, callback, accept_callback).decoded())
        self._begin_next()

    def take_back(self) -> list[str]:
        """The ids of the tasks that have not begun, and will not."""
        with self._changed:
            return [str(task.args[1]) for task in self._waiting.take_all()]

    def grow(self, n: int = 1) -> None:
        """Run `n` more tasks at once: `celery control pool_grow`, and `--autoscale`.

        Raises ValueError above MOST_TURNS.
        """
        self._change_limit(self.limit + n)
        for _ in range(n):
            self._begin_next()

    def shrink(self, n: int = 1) -> None:
        """Run `n` fewer tasks at once, when as many that run have ended. ValueError below one."""
        self._change_limit(self.limit - n)

    def on_stop(self) -> None:
        """Wait for all that has begun; what has not, another worker gets."""
        with self._changed:
            self._waiting.take_all()
            self._changed.wait_for(lambda: not self._running and not self._finishing)
        self._threads.shutdown()
        worker_services().runtime.run(worker_services().aclose())
        logging.getLogger("celery.app.trace").removeFilter(_show_whole_runtime)

    def _change_limit(self, limit: int) -> None:
        if not 1 <= limit <= MOST_TURNS:
            raise ValueError(f"a worker runs 1 to {MOST_TURNS} turns at once, not {limit}")
        with self._changed:
            self.limit = limit

    def _begin_next(self) -> None:
        with self._changed:
            if not self._waiting or self._running >= self.limit:
                return
            self._running += 1
            call = self._waiting.popleft()
        has_begun = False
        try:
            call.accepted(os.getpid(), time.monotonic())
            self._begin(call)
            has_begun = True
        finally:
            if not has_begun:
                self._end()

    def _begin(self, call: PoolTask) -> None:
        request = call.request
        if request is None:
            self._threads.submit(self._trace, call, None)
            return
        try:
            ref = job_ref_of(request, *request.args, **request.kwargs)
        except (InvalidJob, *MALFORMED):
            self._threads.submit(self._trace, call, None)  # the task's body says what is wrong
        else:
            begin_attempt(ref, partial(self._decided, call, request))

    def _decided(self, call: PoolTask, request: Context, attempt: RunningAttempt) -> None:
        """The verdict on a chat job is there; on the loop's thread."""
        verdict = attempt.verdict
        if verdict.cancelled() or verdict.exception() is not None:
            self._threads.submit(self._trace, call, attempt)
            return
        is_woken = False
        try:
            is_woken = self._hand_over_next(attempt.ref, verdict.result())
        finally:
            if is_woken:
                worker_services().runtime.begin(self._finish(call, request, attempt))
            else:
                worker_services().wakers.submit(self._wake_and_finish, call, request, attempt)

    def _hand_over_next(self, ref: JobRef, verdict: Verdict) -> bool:
        """Begin the session's next job here, if there is one and a place is free. False: its
        wake-up must be published, behind those that already wait in the queue."""
        if verdict.wake is None:
            crash_if_armed(CrashPoint.BEFORE_WAKE)
            return True
        if not isinstance(verdict, Answered):
            return False
        return self._take_on(
            worker_services().keyspace.session(ref.agent_id, ref.session_id), verdict.wake
        )

    def _take_on(self, keys: SessionKeys, head: JobToWake) -> bool:
        """Begin the head of a session while a place is free, without a message; else False."""
        with self._changed:
            is_full = bool(self._waiting) or self._running >= self.limit
        return not is_full and self.hand_over(keys, head)

    def _wake_and_finish(self, call: PoolTask, request: Context, attempt: RunningAttempt) -> None:
        """Wake the session's next job before anything else: somebody waits for it."""
        try:
            with log_about(attempt.in_log):
                wake_next(attempt)
        finally:
            worker_services().runtime.begin(self._finish(call, request, attempt))

    async def _finish(self, call: PoolTask, request: Context, attempt: RunningAttempt) -> None:
        verdict = attempt.verdict.result()
        with log_about(attempt.in_log):
            if is_common(verdict) and needs_no_tracer(request):
                await self._end_untraced(call, request, attempt, verdict)
                return
            try:
                await deliver_end(attempt)
            finally:
                self._threads.submit(self._trace, call, attempt.followed_up())

    async def _end_untraced(
        self, call: PoolTask, request: Context, attempt: RunningAttempt, verdict: Answered | NotNow
    ) -> None:
        """Deliver the result of a reply and say so, or that another message will come. The next
        task begins before: a server of results that hangs must not hold it up."""
        with self._changed:
            self._finishing += 1
        self._end()
        try:
            await deliver_end(attempt)
        finally:
            runtime_s = time.monotonic() - attempt.started_s
            call.callback(end_untraced(request, verdict, runtime_s))
            with self._changed:
                self._finishing -= 1
                self._changed.notify_all()

    def _trace(self, call: PoolTask, attempt: RunningAttempt | None) -> None:
        """Run the tracer and hand its result to Celery, in the calling thread."""
        token = started_before.set(attempt)
        try:
            with log_about(None if attempt is None else attempt.in_log):
                apply_target(call.target, call.args, callback=call.timed(attempt))
        finally:
            started_before.reset(token)
            self._end()

    def _end(self) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()
        self._begin_next()

    def _get_info(self) -> dict[str, object]:
        """What `celery inspect stats` shows of it."""
        info: dict[str, object] = super()._get_info()
        return info | {"max-concurrency": self.limit, "running": self._running}


def _show_whole_runtime(record: logging.LogRecord) -> bool:
    # Celery's tracer measures from where the thread began; `succeeded in 0.002s` would be false.
    attempt = started_before.get()
    if attempt is not None and isinstance(record.args, dict) and "runtime" in record.args:
        record.args["runtime"] = time.monotonic() - attempt.started_s
    return True
