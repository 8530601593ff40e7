"""How a job waits for the servers of its model: no attempt counts, and nothing is held."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from agents import Profile
from llm import LLMError, OllamaFailedError
from llm.wire.address import label_of
from memory import Acquired, EventType, JobToWake, Outage
from memory.outages.outages import PARKED_MS, Parked
from memory.pauses.pauses import Pause
from tasks.attempt.lease import LeaseHolder
from tasks.job.job import ChatJob
from tasks.process.live_events import AttemptEvents
from tasks.process.redis_clock import redis_clock
from tasks.process.waiting.outages import Outages
from tasks.settings import QueueSettings

LOAD_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True)
class OutageMet:
    """No server could answer, or one may be asked, and no attempt is counted: what to wait for, and
    why."""

    outages: Sequence[Outage]
    error: Exception | None = None
    pause: Pause | None = None
    """What an operator has paused, where that keeps the job."""


class OutageWait:
    """The wait of one attempt's job for servers that are away."""

    def __init__(
        self,
        holder: LeaseHolder,
        outages: Outages,
        events: AttemptEvents,
        queue: QueueSettings,
        profile: Profile,
    ) -> None:
        self._holder = holder
        self._outages = outages
        self._events = events
        self._max_wait_s = queue.max_wait_s
        self._profile = profile

    async def paused(self, model: str) -> OutageMet | None:
        """The pause that keeps the job from being begun with this model, if there is one; it then
        holds no slot that was kept for it either. Raises MemoryServiceError."""
        found = await self._outages.paused(self._holder.mailbox.keys.agent_id, model)
        if found is None:
            return None
        await self._holder.slot.pass_on(model)
        pause, outages = found
        return OutageMet(outages, pause=pause)

    async def known(self) -> OutageMet | None:
        """The outage of all servers, where it is known that none of them can be called."""
        states = await self._outages.of_all_servers()
        return OutageMet([state.outage for state in states]) if states else None

    async def met(self, error: LLMError, model: str) -> OutageMet:
        """The outage that a call of `model` has met."""
        return OutageMet(await self._outages.to_wait_for(error, model), error)

    def fallbacks(self, job: ChatJob, met: OutageMet, acquired: Acquired) -> Sequence[str]:
        """The models that may be asked now in the place of the job's own; none where it names one,
        or is paused.

        It must have waited its time for its own.
        """
        if met.pause is not None:
            return ()
        is_time = acquired.away_ms >= self._profile.fallback_after_s * 1000
        return self._profile.fallback if is_time and job.model is None else ()

    def is_too_long(self, met: OutageMet, acquired: Acquired) -> bool:
        """Whether the job has waited as long as it may; one that is paused waits for ever."""
        return met.pause is None and acquired.away_ms >= self._max_wait_s * 1000

    def reason(self, met: OutageMet, acquired: Acquired) -> str:
        """Why a job that has waited too long is given up."""
        waited_s = acquired.away_ms / 1000
        said = "" if met.error is None else f": {met.error}"
        return (
            f"no server of its model could answer for {waited_s:.0f} s, longer than "
            f"CHAT_MAX_WAIT_SECONDS={self._max_wait_s:g}{said}"
        )

    async def park(
        self, met: OutageMet, acquired: Acquired, expires: float | None
    ) -> JobToWake | None:
        """Give lease and slot back, wait for the servers, and tell the follower. Returns the job if
        it must be woken now: it was cancelled meanwhile, or its session became more urgent.

        The job is woken after PARKED_MS in any case, and when it expires (Unix time, seconds)
        before it has begun; one that is not paused when another model may be asked, too, or when it
        has waited as long as it may.
        """
        outages, why = met.outages, "a job was told so" if met.error is None else str(met.error)
        parked: list[Parked] = []
        before, after = self._outages.parking(
            self._holder.mailbox.keys,
            outages,
            parked,
            is_first=acquired.away_ms == 0,
            pause_ms=_pause_ms(met.error),
            place_us=acquired.seq_us,
            priority=acquired.priority,
        )
        is_paused = met.pause is not None
        for_ms = self._next_look_ms(acquired, expires, is_paused=is_paused)
        mine = await self._holder.park(acquired, before, after, for_ms=for_ms, is_paused=is_paused)
        self._outages.note_parked(outages, parked, why)
        if met.pause is not None:
            self._events.emit(EventType.WAITING, data=_told(met.pause))
            return mine
        since_ms = max((one.since_ms for one in parked), default=None)
        self._events.emit(
            EventType.WAITING,
            data={
                "reason": "servers_away",
                "servers": [label_of(outage.server) for outage in outages],
                "since": None if since_ms is None else round(since_ms / 1000, 1),
            },
        )
        return mine

    def _next_look_ms(self, acquired: Acquired, expires: float | None, *, is_paused: bool) -> int:
        times_s, away_s = [PARKED_MS / 1000], acquired.away_ms / 1000
        after_s = self._profile.fallback_after_s
        if not is_paused:
            times_s.append(self._max_wait_s - away_s)
        if not is_paused and self._profile.fallback and away_s < after_s:
            times_s.append(after_s - away_s)
        if expires is not None and acquired.attempt == 1:
            times_s.append(expires - redis_clock().best_s)
        return max(1, round(min(times_s) * 1000))


def _told(pause: Pause) -> dict[str, JsonValue]:
    until_ms = pause.until_ms
    return {
        "reason": "paused",
        "paused": str(pause.target),
        "why": pause.reason,
        "until": None if until_ms is None else round(until_ms / 1000, 1),
    }


def _pause_ms(error: Exception | None) -> int:
    """How long a server that has refused a model is left alone: as it asks, or long where it could
    not load it, for a try costs all its other models."""
    asked_s = error.retry_after_s if isinstance(error, LLMError) else None
    least_s = LOAD_PAUSE_S if isinstance(error, OllamaFailedError) else 0.0
    return round(max(asked_s or 0.0, least_s) * 1000)
