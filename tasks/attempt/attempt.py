"""One attempt at a job: ACQUIRE, the turn, COMMIT. What it comes to is a verdict.

docs/job-lifecycle.md draws it. Celery is touched by the task body alone, as it says.
"""

import asyncio
import logging

from pydantic import JsonValue

from agents.prompt import model_of
from llm import LLMError, PermanentLLMError
from memory import (
    Acquired,
    AcquireOutcome,
    CommitOutcome,
    Committed,
    End,
    Event,
    EventType,
    InvalidInput,
    JobToWake,
    Slots,
    StopPolicy,
    encode_message,
)
from tasks.attempt.after_turn import summary_wanted
from tasks.attempt.envelope_check import checked_envelope
from tasks.attempt.giving_up import bury, expired, give_up, is_refunded, note_death
from tasks.attempt.late_commit import after_refused_commit
from tasks.attempt.lease import LeaseHolder
from tasks.attempt.outage_wait import OutageMet, OutageWait
from tasks.attempt.retry import is_retried, retry_in_s, wait_data
from tasks.attempt.time_limit import TimeLimit, ending_of, timed_out, turn_timeout_s
from tasks.attempt.traced import trace_attempt
from tasks.attempt.verdict import (
    UNKNOWN_JOB,
    Answered,
    Cancelled,
    Ended,
    Later,
    NotNow,
    Refused,
    Verdict,
    after_discard,
)
from tasks.end.outcome import check_size, event_data
from tasks.errors import InvalidJob, JobFailed, JobTimeout
from tasks.job.envelope import Envelope, JobRef
from tasks.job.failure_code import code_of
from tasks.job.job import ChatJob
from tasks.job.messages import cancelled_messages, messages_of
from tasks.process.configuration import Settings
from tasks.process.crash_points import CrashPoint, crash_if_armed
from tasks.process.live_events import AttemptEvents
from tasks.process.log_context import log_attempt, log_sender
from tasks.process.stopping import Stoppable, Stopped, StopReason
from tasks.process.summaries import Summaries
from tasks.turn.context import messages_to_bring
from tasks.turn.turn import ModelTurn
from telemetry import tracing
from telemetry.metrics import RETRIES

logger = logging.getLogger(__name__)


class Attempt:
    """One attempt at one job. `run` it once."""

    def __init__(
        self,
        ref: JobRef,
        holder: LeaseHolder,
        turn: ModelTurn,
        events: AttemptEvents,
        outage_wait: OutageWait,
        *,
        summaries: Summaries,
        settings: Settings,
    ) -> None:
        self._ref = ref
        self._holder = holder
        self._turn = turn
        self._events = events
        self._outage_wait = outage_wait
        self._summaries = summaries
        self._settings, self._limit = settings, TimeLimit()
        self._profile = settings.profiles.of(ref.agent_id)

    async def run(self) -> Verdict:
        """Take the job if it is the head of its mailbox, and see it through.

        Raises MemoryServiceError when Redis fails, and CannotRead: `reader_wait` sees to that.
        """
        crash_if_armed(CrashPoint.BEFORE_ACQUIRE)
        acquired = await self._holder.acquire(
            *self._summaries.interrupt(),
            history_n=messages_to_bring(self._profile, self._ref.max_history),
        )
        wake = acquired.next or acquired.head
        match acquired.outcome:
            case AcquireOutcome.RUN:
                return await self._hold(acquired)
            case AcquireOutcome.DONE | AcquireOutcome.GONE:
                return NotNow("is over", wake, is_over=True)
            case AcquireOutcome.DEAD:
                await self._holder.list_letter()
                reason = f"no answer after {self._settings.queue.max_attempts} attempts"
                note_death(self._ref.job_id, self._events.attempt, reason, "no_answer")
                return Ended(JobFailed(reason), wake)
            case AcquireOutcome.UNKNOWN:
                if await self._holder.is_of_another_session():
                    return NotNow("its id belongs to a job of another session", wake)
                return Refused(JobFailed(UNKNOWN_JOB), wake)
            case waiting:
                return NotNow(waiting.value, wake)

    async def _hold(self, acquired: Acquired) -> Verdict:
        """Compute and commit the turn while the lease is ours."""
        crash_if_armed(CrashPoint.AFTER_ACQUIRE)
        self._events.attempt = acquired.attempt
        log_attempt(acquired.attempt)
        try:
            stored = JobToWake(self._ref.job_id, acquired.envelope)
            envelope = checked_envelope(self._holder.mailbox.keys, stored, self._settings)
        except InvalidJob as error:
            return await self._failed(error, acquired)
        job = envelope.job
        if (too_late := expired(self._ref.job_id, job, acquired)) is not None:
            return await give_up(self._holder, self._events, too_late)
        log_sender(envelope.sender)
        await trace_attempt(envelope, acquired)
        own = model_of(envelope.job.ask, self._profile, self._settings.llm)
        if not isinstance(met := await self._try(own, envelope, acquired), OutageMet):
            return met
        for model in self._outage_wait.fallbacks(envelope.job, met, acquired):
            # Never in mid-reply: the next attempt may.
            if self._turn.has_begun:
                break
            outcome = await self._fall_back(model, own, envelope, acquired)
            if not isinstance(outcome, OutageMet):
                return outcome
        return await self._wait_for_servers(met, acquired, job)

    async def _fall_back(
        self, model: str, own: str, envelope: Envelope, acquired: Acquired
    ) -> Verdict | OutageMet:
        """Make the turn anew, with another model than the job's own."""
        logger.info("job %s uses %s: no server can answer with %s", self._ref.shown, model, own)
        await self._holder.slot.release()
        self._turn = self._turn.falling_back(model, own)
        return await self._try(model, envelope, acquired, is_fallback=True)

    async def _try(
        self, model: str, envelope: Envelope, acquired: Acquired, *, is_fallback: bool = False
    ) -> Verdict | OutageMet:
        """Compute and commit the turn with this model, if it has a slot."""
        owners = self._settings.owners_of(envelope.job.agent_id, envelope.job.user, envelope.key)
        turn = self._turn  # alone: the holder must not hold this attempt, which holds it
        self._holder.charge(owners, lambda: turn.spent)
        # A job that is to be stopped calls no model.
        if acquired.stop is None and (paused := await self._outage_wait.paused(model)) is not None:
            return paused
        busy = None if acquired.stop else await self._holder.slot.take(model, acquired)
        if busy is not None:
            return await self._wait_for_slot(busy, acquired)
        # After taking a slot: parking passes it on, so those who wait for slots come here as well.
        if acquired.stop is None and (known := await self._outage_wait.known()) is not None:
            return known
        stoppable = Stoppable()
        if acquired.stop is not None:
            stoppable.stop(StopReason.of(acquired.stop))
        async with self._holder.renewing(stoppable):
            try:
                return await self._take_turn(envelope, acquired, stoppable)
            except LLMError as error:
                # A fallback that cannot answer this job is no stand-in for the job's own model.
                if error.is_outage or (is_fallback and isinstance(error, PermanentLLMError)):
                    return await self._outage_wait.met(error, model)
                return await self._failed(error, acquired)

    async def _wait_for_slot(self, slots: Slots, acquired: Acquired) -> Verdict:
        """Leave the worker until the job is granted a slot of its model."""
        slot_wait, mine = await self._holder.wait_for_slot(slots, acquired)
        data: dict[str, JsonValue] = {"reason": "slot", "ahead": slot_wait.ahead}
        if slot_wait.wait_ms is not None:
            data["wait_s"] = round(slot_wait.wait_ms / 1000, 1)
        self._events.emit(EventType.WAITING, data=data)
        return NotNow("waits for a slot of its model", mine)

    async def _wait_for_servers(self, met: OutageMet, acquired: Acquired, job: ChatJob) -> Verdict:
        """Leave the worker until a server of the model is back; or give up what waits too long."""
        if self._outage_wait.is_too_long(met, acquired):
            reason = self._outage_wait.reason(met, acquired)
            return await bury(self._holder, self._events, reason, "outage")
        mine = await self._outage_wait.park(met, acquired, job.expires)
        return NotNow("waits for its model's servers, which are unavailable", mine)

    async def _take_turn(
        self, envelope: Envelope, acquired: Acquired, stoppable: Stoppable
    ) -> Verdict:
        """Compute and commit the turn. Raises the LLMError of the model's call."""
        try:
            turn = self._turn.run(self._holder.mailbox.keys, self._ref.job_id, envelope, acquired)
            with self._limit.over(stoppable, turn_timeout_s(envelope.job, self._profile)):
                result = await stoppable.run(turn)
            messages = messages_of(envelope.job, result, self._turn.steps, envelope.merged)
            records = self._encoded(messages)
            last = self._events.event(EventType.DONE, result["response"], event_data(result))
            check_size(last, self._settings.queue.max_result_bytes)
        except Stopped as stopped:
            return await self._stopped(stopped.reason, acquired, envelope)
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(acquired, StopReason.DRAINED, envelope.job))
            raise
        except (InvalidInput, InvalidJob) as error:
            return await self._failed(error, acquired)
        committed = await self._commit(records, last)
        if committed.outcome not in (CommitOutcome.OK, CommitOutcome.ALREADY):
            return after_refused_commit(self._ref.shown, committed)
        if committed.next is None:
            # Nothing waits in this session: there is time to sum it up.
            mailbox, of_turn = self._holder.mailbox, (envelope.job, result, len(records))
            if (wanted := summary_wanted(self._profile, mailbox, *of_turn)) is not None:
                self._summaries.want(wanted)
        # A repeat after a lost reply finds the end of the first try in the outbox.
        is_known = committed.outcome is CommitOutcome.OK and not envelope.has_callbacks
        return Answered(result, committed.next, End(self._ref.job_id, last) if is_known else None)

    async def _commit(self, records: list[bytes], last: Event) -> Committed:
        """Commit the turn, with its last event behind all that the relay still has of it."""
        keys = self._holder.mailbox.keys
        with tracing.child("commit"):
            before = (*await self._events.unsent(), *self._summaries.before_commit(keys))
            return await self._holder.commit(records, last, before)

    async def _failed(self, error: Exception, acquired: Acquired) -> Verdict:
        """Try again later, still the head of the mailbox; or make the job a dead letter."""
        queue, attempt = self._settings.queue, acquired.attempt
        # The job stays the head meanwhile: a later message of the session must not overtake it.
        if is_retried(error) and attempt < queue.max_attempts:
            delay_s = retry_in_s(error, attempt, base_s=queue.retry_base_s, max_s=queue.retry_max_s)
            await self._holder.fail(delay_s=delay_s, refund=False, error=str(error))
            RETRIES.labels(type(error).__name__).inc()
            self._events.emit(EventType.WAITING, data=wait_data(error, delay_s, queue.max_attempts))
            return Later(JobFailed(f"attempt {attempt}: {error}"), delay_s)
        kind, code = type(error).__name__, code_of(error)
        return await bury(self._holder, self._events, str(error), kind, code)

    async def _stopped(self, reason: StopReason, acquired: Acquired, envelope: Envelope) -> Verdict:
        match reason.policy:
            case StopPolicy.KEEP:
                return await self._keep(acquired, envelope)
            case StopPolicy.DISCARD:
                return await self._withdraw(reason)
        if reason is StopReason.TIMED_OUT:
            error = timed_out(self._ref.job_id, envelope.job, self._profile)
            if self._settings.queue.cancel_policy == "discard":
                return await give_up(self._holder, self._events, error)
            return await self._keep(acquired, envelope, error)
        if reason is StopReason.LEASE_LOST:
            await self._holder.slot.release()
            return NotNow(reason.value)
        return await self._give_back(acquired, reason, envelope.job)

    async def _withdraw(self, reason: StopReason) -> Verdict:
        """Take a cancelled job out with nothing of it recorded."""
        discarded = await self._holder.withdraw(reason.value, await self._events.unsent())
        return after_discard(discarded, Cancelled(discarded.next))

    async def _keep(
        self, acquired: Acquired, envelope: Envelope, error: JobTimeout | None = None
    ) -> Verdict:
        """Record a turn that was cancelled, or failed with this error, as far as it came."""
        # With `stop` the job was cancelled before this attempt, and an earlier one said something:
        # what its followers saw is kept (docs/decisions.md, "Cancelling").
        said = self._turn.said if acquired.stop is None else await self._holder.said_before()
        of_turn = (envelope.job, said, self._turn.steps, envelope.merged)
        messages = cancelled_messages(self._ref.job_id, *of_turn, error=error)
        kind, data = ending_of(error)
        last = self._events.event(kind, said, data)
        try:
            records = self._encoded(messages)
        except InvalidInput:  # said too much to be kept, and would the next time
            if error is not None:
                return await give_up(self._holder, self._events, error)
            return await self._withdraw(StopReason.CANCELLED)
        committed = await self._commit(records, last)
        if committed.outcome in (CommitOutcome.OK, CommitOutcome.ALREADY):
            return Cancelled(committed.next) if error is None else Ended(error, committed.next)
        return after_refused_commit(self._ref.shown, committed)

    async def _give_back(self, acquired: Acquired, reason: StopReason, job: ChatJob) -> Verdict:
        """Leave the job to another worker: the attempt does not count, unless it went wrong."""
        refund = is_refunded(reason, job, acquired, self._settings.queue.max_attempts)
        await self._holder.fail(delay_s=0.0, refund=refund, error=reason.value)
        return NotNow(reason.value, acquired.to_wake(self._ref.job_id))

    def _encoded(self, messages: tuple[dict[str, object], ...]) -> list[bytes]:
        return [encode_message(one, self._settings.memory.max_value_bytes) for one in messages]
