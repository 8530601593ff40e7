"""One attempt at a job: ACQUIRE, the model, COMMIT. What it comes to is a verdict.

docs/job-lifecycle.md draws it. The attempt never touches Celery; the task body does what the
verdict says.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass

from pydantic import JsonValue

from agents import Answer, prompt_for, read_answer
from llm import Delta, LLMError
from memory import (
    Acquired,
    AcquireOutcome,
    Call,
    CommitOutcome,
    Committed,
    Event,
    EventType,
    InvalidInput,
    Mailbox,
    MemoryUnavailable,
    Waiting,
    dead_letters,
    decode_messages,
    encode_message,
    index,
)
from tasks.crash_points import CrashPoint, passing
from tasks.errors import InvalidJob, JobFailed
from tasks.job import ChatJob, Envelope
from tasks.lease import Stoppable, Stopped, StopReason, kept
from tasks.result import ChatResult, Timings, messages_of, result_from_reply, result_of, told
from tasks.retry import is_retried
from tasks.verdict import Answered, Ended, Later, NotNow, Verdict
from tasks.wiring import Services

logger = logging.getLogger(__name__)

COMMIT_PATIENCE_S = 60.0
COMMIT_PAUSE_S = 0.25


@dataclass(frozen=True, slots=True)
class JobRef:
    """Which job an attempt is for.

    `max_history` is the window that the job asks for, None for its agent's; `envelope` comes with
    a raw send_task only.
    """

    job_id: str
    agent_id: str
    session_id: str
    max_history: int | None = None
    envelope: bytes | None = None


class Attempt:
    """One attempt at one job. `run` it once."""

    def __init__(self, services: Services, ref: JobRef) -> None:
        self._services = services
        self._queue = services.settings.queue
        self._memory = services.async_memory
        self._ref = ref
        self._token = uuid.uuid4().hex
        self._mailbox = Mailbox.of(services.keyspace, ref.agent_id, ref.session_id)
        self._attempt = 0
        self._profile = services.settings.profiles.of(ref.agent_id)

    async def run(self) -> Verdict:
        """Take the job if it is its turn, and see it through.

        Raises MemoryServiceError when Redis fails before the job is ours.
        """
        passing(CrashPoint.BEFORE_ACQUIRE)
        acquired = await self._acquire()
        wake = acquired.next or acquired.head
        match acquired.outcome:
            case AcquireOutcome.RUN:
                return await self._hold(acquired)
            case AcquireOutcome.DONE:
                return Answered(await self._committed_result())
            case AcquireOutcome.UNKNOWN:
                return Ended(JobFailed("nothing is known of this job: its mailbox is gone"), wake)
            case AcquireOutcome.GONE:
                return Ended(JobFailed("the job was withdrawn or had failed before"), wake)
            case AcquireOutcome.DEAD:
                await self._memory.run(self._note_dead())
                attempts = self._queue.max_attempts
                return Ended(JobFailed(f"no answer after {attempts} attempts"), wake)
            case waiting:
                return NotNow(waiting.value, wake)

    async def _acquire(self) -> Acquired:
        window = self._ref.max_history
        calls = self._mailbox.acquire(
            self._ref.job_id,
            self._ref.envelope,
            self._token,
            lease_ms=self._queue.lease_ms,
            history_n=self._profile.max_history if window is None else window,
            max_attempts=self._queue.max_attempts,
            grace_ms=self._services.grace_ms,
        )
        return (await self._memory.run_all(*calls))[-1]

    async def _hold(self, acquired: Acquired) -> Verdict:
        """Compute and commit the turn while the lease is ours."""
        passing(CrashPoint.AFTER_ACQUIRE)
        stoppable = Stoppable()
        keeping = kept(
            self._memory,
            self._mailbox,
            self._token,
            lease_ms=self._queue.lease_ms,
            on_lost=lambda: stoppable.stop(StopReason.LEASE_LOST),
        )
        with self._services.running.holding(stoppable):
            async with keeping:
                return await self._take_turn(acquired, stoppable)

    async def _take_turn(self, acquired: Acquired, stoppable: Stoppable) -> Verdict:
        self._attempt = acquired.attempt
        try:
            envelope = Envelope.unpack(acquired.envelope)
            result = await stoppable.run(self._ask_model(envelope, acquired))
            records = self._records(envelope.job, result)
        except Stopped as stopped:
            return await self._give_back(stopped.reason, acquired)
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(StopReason.DRAINED, acquired))
            raise
        except (LLMError, InvalidJob, InvalidInput) as error:
            return await self._failed(error, acquired.attempt)
        return await self._commit(records, result)

    async def _ask_model(self, envelope: Envelope, acquired: Acquired) -> ChatResult:
        job = envelope.job
        history = decode_messages(acquired.history).messages
        prompt = prompt_for(job.ask, self._profile, history, self._services.settings.llm)
        watch = Stopwatch()
        self._emit(EventType.STARTED, data={"model": prompt.request.model})

        def on_delta(delta: Delta) -> None:
            watch.on_delta()
            if delta.thinking:
                self._emit(EventType.THINKING, text=delta.thinking)
            if delta.text:
                self._emit(EventType.TOKEN, text=delta.text)
            passing(CrashPoint.TOKEN)

        async with aclosing(self._services.ollama.stream(prompt.request)) as records:
            answer = await read_answer(records, on_delta)
        passing(CrashPoint.MODEL_DONE)
        return result_of(
            self._ref.job_id,
            job,
            answer,
            attempt=acquired.attempt,
            history_messages=prompt.history_messages,
            timings=watch.timings(answer, queued_s=max(0.0, watch.began_at - envelope.sent_at)),
        )

    def _records(self, job: ChatJob, result: ChatResult) -> list[bytes]:
        limit_bytes = self._services.settings.memory.max_value_bytes
        return [encode_message(message, limit_bytes) for message in messages_of(job, result)]

    async def _commit(self, records: list[bytes], result: ChatResult) -> Verdict:
        """Write the turn; as long as Redis is away, try again: the answer has cost a model call."""
        memory = self._services.settings.memory
        look, commit = self._mailbox.commit(
            self._token,
            self._ref.job_id,
            records,
            keep=memory.history_max_messages,
            ttl_s=memory.default_ttl_s,
            grace_ms=self._services.grace_ms,
        )
        touches = index.touch(self._services.keyspace, self._ref.agent_id, self._ref.session_id)
        calls = (look, commit, *touches)
        passing(CrashPoint.BEFORE_COMMIT)
        committed = await self._patiently(calls)
        passing(CrashPoint.AFTER_COMMIT)
        match committed.outcome:
            case CommitOutcome.OK:
                self._emit(EventType.DONE, text=result["response"], data=told(result))
                return Answered(result, committed.next)
            case CommitOutcome.ALREADY:
                return Answered(await self._committed_result(), committed.next)
            case CommitOutcome.GONE:
                return Ended(JobFailed("the job was withdrawn while it ran"), committed.next)
            case refused:
                logger.warning("late commit of job %s refused: %s", self._ref.job_id, refused.value)
                return NotNow(refused.value)

    async def _patiently(
        self, calls: tuple[Call[int], Call[Committed], Call[int], Call[int]]
    ) -> Committed:
        deadline = time.monotonic() + COMMIT_PATIENCE_S
        while True:
            try:
                return (await self._memory.run_all(*calls))[1]
            except MemoryUnavailable:
                if time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(COMMIT_PAUSE_S)

    async def _failed(self, error: Exception, attempt: int) -> Verdict:
        """Keep the place and try again later, or make it a dead letter."""
        if is_retried(error) and attempt < self._queue.max_attempts:
            delay_s = self._services.backoff.delay_s(attempt)
            await self._fail(delay_s=delay_s, refund=False)
            return Later(JobFailed(f"attempt {attempt}: {error}"), delay_s)
        calls = self._mailbox.discard(
            self._ref.job_id,
            str(error),
            self._token,
            cancelled=False,
            grace_ms=self._services.grace_ms,
        )
        self._emit(EventType.FAILED, data={"error": str(error)})
        discarded = (await self._memory.run_all(self._note_dead(), *calls))[-1]
        return Ended(JobFailed(str(error)), discarded.next)

    def _note_dead(self) -> Call[int]:
        return dead_letters.note(self._mailbox, at_ms=round(time.time() * 1000))

    async def _give_back(self, reason: StopReason, acquired: Acquired) -> Verdict:
        """Leave the job to another worker: the attempt does not count."""
        if reason is StopReason.LEASE_LOST:
            return NotNow(reason.value)
        await self._fail(delay_s=0.0, refund=True)
        return NotNow(reason.value, Waiting(self._ref.job_id, acquired.envelope))

    async def _fail(self, *, delay_s: float, refund: bool) -> None:
        calls = self._mailbox.fail(
            self._token,
            delay_ms=round(delay_s * 1000),
            refund=refund,
            grace_ms=self._services.grace_ms,
        )
        await self._memory.run_all(*calls)

    def _emit(
        self, kind: EventType, text: str = "", data: Mapping[str, JsonValue] | None = None
    ) -> None:
        event = Event(kind, self._ref.job_id, self._attempt, text, data or {})
        self._services.relay.emit(self._mailbox.keys, event)

    async def _committed_result(self) -> ChatResult:
        """The result of the turn that this job has in the history."""
        ref = self._ref
        limit = self._services.settings.memory.history_max_messages
        stored = await self._memory.run(self._mailbox.reply_of(ref.job_id, limit=limit))
        reply = decode_messages([stored] if stored else []).messages
        return result_from_reply(ref.job_id, ref.agent_id, ref.session_id, reply)


async def attempt(services: Services, ref: JobRef) -> Verdict:
    """Make one attempt at a job, on the event loop."""
    return await Attempt(services, ref).run()


class Stopwatch:
    """Measures one model call, in milliseconds."""

    def __init__(self) -> None:
        self.began_at = time.time()
        self._began = time.monotonic()
        self._first_token: float | None = None

    def on_delta(self) -> None:
        """Note the first piece of the reply."""
        if self._first_token is None:
            self._first_token = time.monotonic()

    def timings(self, answer: Answer, *, queued_s: float) -> Timings:
        """What was measured, with what the model's server tells of itself."""
        first = self._first_token
        return Timings(
            queue_wait_ms=round(queued_s * 1000, 1),
            first_token_ms=None if first is None else round((first - self._began) * 1000, 1),
            model_ms=round((time.monotonic() - self._began) * 1000, 1),
            load_ms=answer.final.load_ms,
            eval_ms=answer.final.eval_ms,
        )
