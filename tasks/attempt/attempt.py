"""One attempt at a job: ACQUIRE, the model, COMMIT. What it comes to is a verdict.

docs/job-lifecycle.md draws it. The attempt never touches Celery; the task body does what the
verdict says.
"""

import asyncio
import logging
from collections.abc import Mapping

from pydantic import JsonValue

from agents.turn import history_limit
from llm import LLMError
from memory import (
    Acquired,
    AcquireOutcome,
    CommitOutcome,
    Committed,
    DiscardOutcome,
    Event,
    EventType,
    InvalidInput,
    Slots,
    StopPolicy,
    Waiting,
    encode_message,
)
from tasks.attempt.lease_holder import JobRef, LeaseHolder
from tasks.attempt.raw_job import arrive
from tasks.attempt.said_before import said_before
from tasks.attempt.verdict import Answered, Cancelled, Ended, Later, NotNow, Verdict, Withdrawn
from tasks.errors import InvalidJob, JobFailed
from tasks.job.job import ChatJob, Envelope
from tasks.job.result import ChatResult, cancelled_messages, messages_of, told
from tasks.process.crash_points import CrashPoint, passing
from tasks.process.lease import Stoppable, Stopped, StopReason, kept
from tasks.process.retry import is_retried
from tasks.process.summaries import Wanted
from tasks.process.wiring import Services
from tasks.turn.asking import Asking
from tasks.turn.tools import messages_to_bring

logger = logging.getLogger(__name__)


async def attempt(services: Services, ref: JobRef) -> Verdict:
    """Make one attempt at a job, on the event loop.

    Raises MemoryServiceError when Redis fails.
    """
    services.watch_cancellations()
    return await Attempt(services, ref).run()


class Attempt:
    """One attempt at one job. `run` it once."""

    def __init__(self, services: Services, ref: JobRef) -> None:
        self._services = services
        self._ref = ref
        self._holder = LeaseHolder(services, ref)
        self._profile = services.settings.profiles.of(ref.agent_id)
        self._asking = Asking(services, self._profile, self._emit, self._holder)
        self._number = 0
        self._is_silent = True

    async def run(self) -> Verdict:
        """Take a raw job in, and see it through if it is its turn."""
        refused = await arrive(self._services, self._ref)
        if refused is None:
            return await self._take()
        self._emit(EventType.FAILED, data={"error": str(refused)})
        return Ended(refused)

    async def _take(self) -> Verdict:
        """Take the job if it is its turn, and see it through."""
        passing(CrashPoint.BEFORE_ACQUIRE)
        history_n = messages_to_bring(self._profile, self._ref.max_history)
        acquired = await self._holder.acquire(history_n=history_n)
        wake = acquired.next or acquired.head
        match acquired.outcome:
            case AcquireOutcome.RUN:
                return await self._hold(acquired)
            case AcquireOutcome.DONE:
                return await self._committed()
            case AcquireOutcome.UNKNOWN:
                return Ended(JobFailed("nothing is known of this job: its mailbox is gone"), wake)
            case AcquireOutcome.GONE:
                return Withdrawn(await self._holder.why_dead(), wake)
            case AcquireOutcome.DEAD:
                await self._holder.note_dead()
                attempts = self._services.settings.queue.max_attempts
                return self._ended(f"no answer after {attempts} attempts", wake)
            case waiting:
                return NotNow(waiting.value, wake)

    async def _hold(self, acquired: Acquired) -> Verdict:
        """Compute and commit the turn while the lease is ours."""
        passing(CrashPoint.AFTER_ACQUIRE)
        self._number = acquired.attempt
        try:
            envelope = Envelope.unpack(acquired.envelope)
        except InvalidJob as error:
            return await self._failed(error)
        at = self._services.slots_at(self._model_of(envelope))
        # Who is to be stopped asks no model.
        if at and not acquired.stop:
            servers = await self._services.ollama.ranked(at.model, self._ref.session)
            if not await self._holder.take_slot(at, acquired, servers):
                return await self._wait_for_slot(at, acquired)
        stoppable = Stoppable()
        if acquired.stop is not None:
            stoppable.stop(StopReason.of(acquired.stop))
        lease = self._holder.lease
        keeping = kept(self._services.async_memory, lease, stoppable)
        with self._services.running.holding(lease, stoppable):
            async with keeping:
                return await self._take_turn(envelope, acquired, stoppable)

    async def _wait_for_slot(self, at: Slots, acquired: Acquired) -> Verdict:
        """Leave the worker's slot until the job is called to its model."""
        slot_wait, stop = await self._holder.wait_for_slot(at)
        told: dict[str, JsonValue] = {"ahead": slot_wait.ahead}
        if slot_wait.wait_ms is not None:
            told["wait_s"] = round(slot_wait.wait_ms / 1000, 1)
        self._emit(EventType.WAITING, data=told)
        # Who was told to stop meanwhile does not wait for that.
        mine = None if stop is None else Waiting(self._ref.job_id, acquired.envelope)
        return NotNow("waits for a place at its model", mine)

    async def _take_turn(
        self, envelope: Envelope, acquired: Acquired, stoppable: Stoppable
    ) -> Verdict:
        try:
            result = await stoppable.run(self._asking.run(self._ref.job_id, envelope, acquired))
            turn = messages_of(envelope.job, result, self._asking.steps, envelope.merged)
            records = self._encoded(turn)
        except Stopped as stopped:
            return await self._stopped(stopped.reason, acquired, envelope)
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(acquired, StopReason.DRAINED))
            raise
        except (LLMError, InvalidInput, InvalidJob) as error:
            return await self._failed(error)
        done = self._event(EventType.DONE, text=result["response"], data=told(result))
        committed = await self._holder.commit(records, done)
        if committed.outcome is CommitOutcome.OK:
            if committed.next is None:
                self._want_summary(envelope.job, result, len(records))
            return Answered(result, committed.next)
        return await self._refused(committed)

    def _want_summary(self, job: ChatJob, result: ChatResult, turn_messages: int) -> None:
        """Nobody waits in this session: time to sum up what its model will not be shown again."""
        window = history_limit(job.ask, self._profile)
        had = result["history_messages"] + turn_messages
        # What tools did is not counted in the window: with tools only what has fallen out is known.
        stays = had if self._profile.tools else min(had, window)
        is_any_hidden = result["receipt"]["messages_left_out"] or stays < had
        if self._profile.summary and window and is_any_hidden:
            wanted = Wanted(self._holder.mailbox, result["model"], stays)
            self._services.summaries.want(wanted)

    async def _refused(self, committed: Committed) -> Verdict:
        """What a commit that was not OK means."""
        match committed.outcome:
            case CommitOutcome.ALREADY:
                return await self._committed(committed.next)
            case CommitOutcome.GONE:
                return Withdrawn(await self._holder.why_dead(), committed.next)
            case refused:
                logger.warning("late commit of job %s refused: %s", self._ref.job_id, refused.value)
                return NotNow(refused.value)

    async def _committed(self, wake: Waiting | None = None) -> Verdict:
        """The end of a job whose turn was committed before, by whatever attempt."""
        result = await self._holder.committed_result()
        return Cancelled(wake) if result is None else Answered(result, wake, is_repeat=True)

    async def _failed(self, error: Exception) -> Verdict:
        """Keep the place and try again later, or make it a dead letter."""
        if is_retried(error) and self._number < self._services.settings.queue.max_attempts:
            delay_s = self._services.backoff.delay_s(self._number)
            await self._holder.fail(delay_s=delay_s, refund=False)
            return Later(JobFailed(f"attempt {self._number}: {error}"), delay_s)
        buried = await self._holder.bury(str(error))
        return self._ended(str(error), buried.next)

    async def _stopped(self, reason: StopReason, acquired: Acquired, envelope: Envelope) -> Verdict:
        match reason.policy:
            case StopPolicy.KEEP:
                return await self._keep(acquired, envelope)
            case StopPolicy.DISCARD:
                return await self._withdraw(reason)
        if reason is StopReason.LEASE_LOST:
            await self._holder.release_slot()
            return NotNow(reason.value)
        return await self._give_back(acquired, reason)

    async def _withdraw(self, reason: StopReason) -> Verdict:
        """Take a cancelled job out with nothing of it recorded."""
        discarded = await self._holder.withdraw(reason.value)
        match discarded.outcome:
            case DiscardOutcome.DONE:
                return await self._committed()
            case DiscardOutcome.RUNNING:
                # Another holder has it, and the wish with it.
                return NotNow(StopReason.LEASE_LOST.value)
        self._emit(EventType.CANCELLED)
        return Cancelled(discarded.next)

    async def _keep(self, acquired: Acquired, envelope: Envelope) -> Verdict:
        """Record a cancelled turn as far as it came, be it with a holder that has died since."""
        job_id, said = self._ref.job_id, self._asking.said
        if acquired.stop is not None:
            keys = self._holder.mailbox.keys
            said = await said_before(self._services.async_memory, keys, job_id)
        steps, merged = self._asking.steps, envelope.merged
        kept = cancelled_messages(job_id, envelope.job, said, steps, merged)
        records = self._encoded(kept)
        committed = await self._holder.commit(records, self._event(EventType.CANCELLED, text=said))
        if committed.outcome is CommitOutcome.OK:
            return Cancelled(committed.next)
        return await self._refused(committed)

    async def _give_back(self, acquired: Acquired, reason: StopReason) -> Verdict:
        """Leave the job to another worker: the attempt does not count, unless it went wrong."""
        await self._holder.fail(delay_s=0.0, refund=reason is StopReason.DRAINED)
        mine = Waiting(self._ref.job_id, acquired.envelope)
        return NotNow(reason.value, mine)

    def _model_of(self, envelope: Envelope) -> str:
        return envelope.job.model or self._profile.model or self._services.settings.llm.model

    def _encoded(self, messages: tuple[dict[str, object], ...]) -> list[bytes]:
        limit_bytes = self._services.settings.memory.max_value_bytes
        return [encode_message(message, limit_bytes) for message in messages]

    def _ended(self, reason: str, wake: Waiting | None) -> Ended:
        self._emit(EventType.FAILED, data={"error": reason})
        return Ended(JobFailed(reason), wake)

    def _emit(
        self, kind: EventType, text: str = "", data: Mapping[str, JsonValue] | None = None
    ) -> None:
        event = self._event(kind, text=text, data=data or {})
        is_first_token = kind is EventType.TOKEN and self._is_silent
        if kind in {EventType.STARTED, EventType.TOKEN}:
            self._is_silent = kind is EventType.STARTED
        self._services.relay.emit(self._holder.mailbox.keys, event, soon=is_first_token)

    def _event(
        self, kind: EventType, *, text: str = "", data: Mapping[str, JsonValue] | None = None
    ) -> Event:
        return Event(kind, self._ref.job_id, self._number, text, data or {})
