"""The look at schedules: the message of each tick is sent, once."""

import asyncio
import logging

from memory import (
    AsyncConnection,
    Backpressure,
    CannotRead,
    CorruptData,
    DueEntry,
    Keyspace,
    NewerFormat,
    SessionKeys,
    index,
)
from memory.ids import shown_id
from memory.mailbox import schedules
from memory.mailbox.schedules import KeptSchedule, scheduled_sessions
from memory.quoting import quoted
from memory.redis.steps import run_steps_async
from tasks.beat.mailbox_sweep import guarded
from tasks.errors import ChatError
from tasks.job.envelope import Envelope
from tasks.job.schedule import Schedule
from tasks.process.redis_clock import redis_clock_s
from tasks.submit.producer import Producer

logger = logging.getLogger(__name__)

BATCH = 100
CLAIM_MS = 10_000
"""Who sends a session's ticks has so long; then another one looks."""
LONGEST_MS = 3_600_000
PAUSE_MS = 600_000
SHORT_PAUSE_MS = 5000
MOST_COUNTED = 1000
"""Of more ticks that were missed it is said that there were so many."""


class TickSweep:
    """Sends the messages of schedules; used on the event loop.

    Any number may work at once: one gets a session's entry, and the id of a tick's job is made from
    schedule and time, so that it is one job whoever sends it.
    """

    def __init__(self, memory: AsyncConnection, keyspace: Keyspace, producer: Producer) -> None:
        self._memory = memory
        self._keyspace = keyspace
        self._sessions = scheduled_sessions(keyspace)
        self._producer = producer

    async def run(self) -> int:
        """Send what is due now; how many messages. Raises MemoryServiceError."""
        entries = await self._memory.run(self._sessions.entries(limit=BATCH))
        looks = (
            guarded(self._look_at(entry), f"send what is scheduled for {entry.history_key}")
            for entry in entries
        )
        sent = await asyncio.gather(*looks, return_exceptions=True)
        for one in sent:
            if isinstance(one, BaseException):
                raise one
        return sum(one for one in sent if isinstance(one, int))

    async def _look_at(self, entry: DueEntry) -> int:
        keys = self._keyspace.find_session(entry.history_key)
        if keys is None:
            name = quoted(entry.history_key)
            logger.warning("%s is not the key of a history; its schedules are not run", name)
            await self._memory.run(self._sessions.forget(entry))
            return 0
        try:
            return await self._send_due(entry, keys)
        except (CorruptData, CannotRead) as exc:
            # While workers are replaced a newer one is near.
            pause_ms = SHORT_PAUSE_MS if isinstance(exc, NewerFormat) else PAUSE_MS
            logger.error(
                "schedules of %s are not run; the next try is in %d s: %s",
                keys.history,
                pause_ms / 1000,
                exc,
            )
            await self._memory.run(self._sessions.put_off(entry, pause_ms))
            return 0

    async def _send_due(self, entry: DueEntry, keys: SessionKeys) -> int:
        now_ms, found = await self._memory.run_all(index.server_time_ms(), schedules.every(keys))
        if not found:
            await self._memory.run(self._sessions.leave(entry))
            return 0
        now_s, due, waits_ms = now_ms / 1000, [], []
        for one in found:
            schedule = Schedule.unpack(one.packed)
            if (next_s := schedule.next_s) is None:
                continue
            waits_ms.append((next_s - now_s) * 1000)
            if next_s <= now_s:
                due.append((one, schedule))
            await asyncio.sleep(0)  # a hundred schedules are not looked at in one go
        if not due:
            await self._memory.run(self._sessions.put_off(entry, _wait_ms(waits_ms)))
            return 0
        # Claimed before anything is done: of many workers that look at once one does it.
        if not await self._memory.run(self._sessions.put_off(entry, CLAIM_MS)):
            return 0
        for one, schedule in due:
            await self._send_last(keys, one, schedule, now_s)
        await self._memory.run(self._sessions.look_in(keys, 0))
        return len(due)

    async def _send_last(
        self, keys: SessionKeys, kept: KeptSchedule, schedule: Schedule, now_s: float
    ) -> None:
        """Send the message of the last tick that is over, and note that; say of the others that
        they were skipped."""
        tick_s = schedule.rhythm.last_until(now_s)
        if tick_s is None:
            return
        ticks = schedule.rhythm.missed(schedule.after_s, now_s, at_most=MOST_COUNTED)
        skipped, why = ticks - 1, "no worker was there to send them" if ticks > 1 else ""
        shown = shown_id(schedule.schedule_id)
        if skipped:
            logger.warning(
                "schedule %s has skipped %d ticks, for no worker was there; only the last is sent",
                shown,
                skipped,
            )
        refusal = await self._send(schedule, tick_s)
        if refusal is not None:
            skipped, why = skipped + 1, refusal
            logger.warning("schedule %s has skipped a tick: %s", shown, refusal)
        noted: dict[str, object] = {"after_s": float(max(tick_s, schedule.after_s))}
        if refusal is None:
            noted["last_s"] = float(tick_s)
        if skipped:
            noted |= {"skipped": schedule.skipped + skipped, "skipped_s": now_s, "why": why}
        # Where somebody has changed or deleted it meanwhile, that stands.
        changed = schedule.model_copy(update=noted).pack()
        await self._memory.run(schedules.change(keys, kept, changed))

    async def _send(self, schedule: Schedule, tick_s: int) -> str | None:
        """Send the message of a tick; why it is refused, if it is. Safe to repeat."""
        named = (schedule.agent_id, schedule.session_id, schedule.message)
        producer = self._producer
        try:
            job = producer.checked(named, schedule.options, clock=redis_clock_s)
            submission = producer.submission(Envelope(job=job), schedule.job_id(tick_s))
            enqueued = await run_steps_async(self._memory, producer.admission.take_in(submission))
        except (ChatError, Backpressure) as refused:
            return str(refused)
        await asyncio.to_thread(producer.follow_up, submission, enqueued)
        return None


def _wait_ms(waits_ms: list[float]) -> int:
    # Not for longer: a clock may be set, and zones may change.
    return int(max(0.0, min([*waits_ms, float(LONGEST_MS)]))) + 1
