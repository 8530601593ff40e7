"""From a Celery request to an attempt that runs on the event loop.

The task body starts it itself under Celery's own pools; `worker.pool` starts it before the body
runs, so that no thread waits for a model.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial

from celery.app.task import Context

from memory import AsyncConnection, EventType, Mailbox
from memory.mailbox.mailbox import NO_CAP
from memory.redis.steps import run_steps_async
from tasks.attempt.attempt import Attempt
from tasks.attempt.lease import LeaseHolder
from tasks.attempt.measured import measured
from tasks.attempt.objectives import judged
from tasks.attempt.outage_wait import OutageWait
from tasks.attempt.reader_wait import verdict_of
from tasks.attempt.slot_holder import SlotHolder
from tasks.attempt.traced import AttemptTrace
from tasks.attempt.turn_counts import counts_of
from tasks.attempt.unknown_agents import UnknownAgents
from tasks.attempt.verdict import NotNow, Refused, Verdict
from tasks.errors import ChatError, JobConflict
from tasks.job.celery_options import publish_options
from tasks.job.deadline import timeout_of_message
from tasks.job.envelope import Envelope, JobRef
from tasks.job.priority import of_number
from tasks.process.live_events import AttemptEvents
from tasks.process.log_context import JobInLog, log_about
from tasks.process.per_process import PerProcess
from tasks.process.redis_clock import redis_clock, redis_clock_s
from tasks.process.runtime import Done
from tasks.process.services import producer_services
from tasks.process.turns_now import TurnNow
from tasks.process.wakeup import DUE_HEADER, number_in
from tasks.process.worker.services import WorkerServices, worker_services
from tasks.submit.producer import Producer, has_effects, producer
from tasks.turn.read_back import ArchiveReader
from tasks.turn.reply_check import ReplyChecks
from tasks.turn.reply_recorder import ReplyRecorder
from tasks.turn.turn import Models, ModelTurn
from telemetry import tracing
from telemetry.metrics import HANDOVER

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """An attempt that runs: `verdict` gives what it comes to, or raises MemoryServiceError."""

    ref: JobRef
    token: str
    """Owns the end of the job, if the attempt has made one."""
    in_log: JobInLog
    """The job as lines of the log name it."""
    trace: AttemptTrace
    started_s: float
    """When it started, by the monotonic clock."""
    verdict: Done[Verdict]
    is_followed_up: bool = False
    """Whether the next job is woken and the end delivered."""

    def followed_up(self) -> "RunningAttempt":
        """The same, once that is done."""
        return replace(self, is_followed_up=True)


unknown_agents = PerProcess(lambda: UnknownAgents(worker_services().settings.profiles))
"""The agents without a profile that this process has met."""

_tokens = PerProcess(random.Random, has_settings=False)
"""Makes tokens; nobody has to be kept from guessing one. The system's own source lets go of the
interpreter for each, and a thread that has let go waits until the event loop does."""

started_before: ContextVar[RunningAttempt | None] = ContextVar("started_before", default=None)
"""The attempt that the pool has started for the task of this context, if there is one."""


def start_attempt(ref: JobRef) -> RunningAttempt:
    """Start an attempt at a job, whose verdict can be waited for."""
    attempt, with_verdict = _made(ref)
    return with_verdict(worker_services().runtime.spawn(attempt))


def begin_attempt(ref: JobRef, then: Callable[[RunningAttempt], None]) -> None:
    """Start an attempt at a job; `then` is called on the loop when its verdict is there."""
    attempt, with_verdict = _made(ref)
    # A task keeps what it has called. What holds the task itself would be a circle, and all of the
    # job would lie about until the garbage collector comes by.
    worker_services().runtime.begin(attempt, lambda done: then(with_verdict(done)))


def _made(
    ref: JobRef,
) -> tuple[Coroutine[object, object, Verdict], Callable[[Done[Verdict]], RunningAttempt]]:
    worker, token, in_log = worker_services(), _tokens().randbytes(16).hex(), JobInLog.of(ref)
    trace = AttemptTrace(worker.memory, worker.keyspace, ref, worker.settings.queue)
    with_verdict = partial(RunningAttempt, ref, token, in_log, trace, time.monotonic())
    return _attempt(worker, ref, token, in_log, trace), with_verdict


async def _attempt(
    worker: WorkerServices, ref: JobRef, token: str, in_log: JobInLog, trace: AttemptTrace
) -> Verdict:
    """Take a raw job in, and make one attempt at it. Raises InvalidJob, MemoryServiceError."""
    worker.watch_cancellations()
    with log_about(in_log), trace:
        return await measured(ref.agent_id, _attempt_in_log(worker, ref, token), trace.ended)


async def _attempt_in_log(worker: WorkerServices, ref: JobRef, token: str) -> Verdict:
    mailbox = Mailbox.of(worker.keyspace, ref.agent_id, ref.session_id)
    events = AttemptEvents(worker.relay, mailbox.keys, ref.job_id, token)
    refused = await take_in_raw(producer(), worker.memory, ref)
    if isinstance(refused, JobConflict):
        # The id is another job's, whose end must not be touched (docs/decisions.md, "What makes two
        # requests the same").
        logger.warning("a raw job was refused: %s", refused)
        return NotNow("its id belongs to another job")
    if refused is not None:
        events.emit(EventType.FAILED, data={"error": str(refused)})
        return Refused(refused)
    attempt, holder, shown = _attempt_at(worker, ref, mailbox, events, token)
    worker.turns.begin(shown)
    try:
        verdict = await verdict_of(attempt, holder, ref.job_id)
    finally:
        worker.turns.end(shown)
    profile = worker.settings.profiles.of(ref.agent_id)
    worker.turns.count({**counts_of(verdict), **judged(profile, shown, verdict)})
    return verdict


def _attempt_at(
    worker: WorkerServices, ref: JobRef, mailbox: Mailbox, events: AttemptEvents, token: str
) -> tuple[Attempt, LeaseHolder, TurnNow]:
    """An attempt with all that it uses, its lease, and the turn as operators see it."""
    settings = worker.settings
    slot = SlotHolder(
        worker.memory,
        worker.bounded_models,
        worker.slot_notifier,
        mailbox.keys,
        token,
        lease_ms=settings.queue.lease_ms,
    )
    holder = LeaseHolder(
        ref,
        mailbox,
        worker.memory,
        slot,
        leases=worker.leases,
        settings=settings,
        queue_wait=worker.queue_wait,
    )
    unknown_agents().note(ref.agent_id)
    profile = settings.profiles.of(ref.agent_id)
    shown = TurnNow(ref.agent_id, ref.session_id, ref.job_id)
    recorder = ReplyRecorder(events, shown)
    turn = ModelTurn(_models(), worker.memory, profile, recorder, slot)
    outage_wait = OutageWait(holder, worker.outages, events, settings.queue, profile)
    attempt = Attempt(
        ref, holder, turn, events, outage_wait, summaries=worker.summaries, settings=settings
    )
    return attempt, holder, shown


async def take_in_raw(producer: Producer, memory: AsyncConnection, ref: JobRef) -> ChatError | None:
    """Take in a raw job; what refused it, if anything did.

    Safe to repeat: the same id is taken in once. Raises InvalidJob for one that is too large, and
    MemoryServiceError.
    """
    if ref.envelope is None:
        return None
    submission = producer.submission(ref.envelope, ref.job_id, cap=NO_CAP)
    try:
        enqueued = await run_steps_async(memory, producer.admission.take_in(submission))
    except ChatError as refused:
        return refused
    if has_effects(enqueued):
        await asyncio.to_thread(producer.apply_effects, submission, enqueued)
    return None


def _make_models() -> Models:
    worker = worker_services()
    return Models(
        worker.ollama,
        worker.context_limits,
        worker.capabilities,
        worker.toolbox,
        worker.settings.llm,
        worker.settings.agents.tool_rounds,
        ReplyChecks(worker.checkers),
        ArchiveReader(
            worker.memory,
            worker.keyspace,
            worker.archive,
            most=worker.settings.memory.history_max_messages,
        ),
    )


_models = PerProcess(_make_models)
"""What the turns of this process share."""


def job_ref_of(
    request: Context,
    /,
    agent_id: str,
    session_id: str,
    message: str | None = None,
    **options: object,
) -> JobRef:
    """The job that a message of `chat_task` is about; how long it lay in the queue is noted.

    Without a text it is a wake-up of ours: the job lies in the mailbox under the task's id.
    Raises InvalidJob for a raw job that cannot be one, and TypeError for arguments that are none.
    """
    due_at, now_s = request.get(DUE_HEADER), redis_clock().now_s
    # One that the broker delivers again did not wait in the queue.
    is_again = (request.delivery_info or {}).get("redelivered")
    if isinstance(due_at, float) and now_s is not None and not is_again:
        producer_services().queue_wait.note(now_s - due_at)
        HANDOVER.observe(max(0.0, now_s - due_at))
    max_history = options.get("max_history")
    wanted = max_history if isinstance(max_history, int) else None
    if message is None:
        return JobRef(request.id, agent_id, session_id, wanted)
    options |= limits_of(request)
    if options.get("priority") is None:
        settings = producer_services().settings
        options["priority"] = of_number(number_in(vars(request)), is_rabbitmq=settings.is_rabbitmq)
    job = producer().checked((agent_id, session_id, message), options, clock=redis_clock_s)
    # Of a foreign sender that traces what it sends with Celery.
    envelope = Envelope(job=job, publish=options_of(request), trace=place_of(request))
    return JobRef(request.id, agent_id, session_id, wanted, envelope)


def limits_of(request: Context) -> dict[str, object]:
    """What the message being handled says of the job's time, as options of the job."""
    said = {"expires": request.expires, "timeout_s": timeout_of_message(request.timelimit)}
    return {name: value for name, value in said.items() if value is not None}


def place_of(request: Context) -> dict[str, str] | None:
    """The place in a trace that the message being handled was published with."""
    names = (tracing.PARENT, tracing.STATE)
    return dict(tracing.checked({name: request.get(name) for name in names})) or None


def options_of(request: Context) -> dict[str, object]:
    """The options that the message being handled was published with."""
    options = request.as_execution_options()
    for name in ("task_id", "retries", "origin", "expires", "time_limit", "soft_time_limit"):
        options.pop(name, None)
    # Celery 5.7.0 leaves it out of the options of a running task.
    options["ignore_result"] = request.ignore_result or None
    queue = (request.delivery_info or {}).get("routing_key")
    return dict(publish_options({**options, "queue": queue}))
