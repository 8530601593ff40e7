"""How a job waits for the servers of its model: no attempt counts, and nothing is held."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from llm.wire.address import label_of
from memory import Acquired, EventType
from memory.outages.outages import PARKED_MS, Parked
from tasks.attempt.lease import LeaseHolder
from tasks.process.live_events import AttemptEvents
from tasks.process.outages import Outages
from tasks.settings import QueueSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OutageMet:
    """No server could answer, and no attempt is counted: the servers to wait for, and why."""

    servers: Sequence[str]
    error: Exception | None = None


class OutageWait:
    """The wait of one attempt's job for servers that are away."""

    def __init__(
        self,
        holder: LeaseHolder,
        outages: Outages,
        events: AttemptEvents,
        queue: QueueSettings,
        fallback_after_s: float | None,
    ) -> None:
        """`fallback_after_s`: when another model may be asked; None: there is none."""
        self._holder = holder
        self._outages = outages
        self._events = events
        self._max_wait_s = queue.max_wait_s
        self._fallback_after_s = fallback_after_s

    async def are_all_away(self) -> Sequence[str]:
        """All servers, where it is known that none of them can be called; else nothing."""
        return [outage.server for outage in await self._outages.of_all_servers()]

    async def those_away(self) -> Sequence[str]:
        """The servers to wait for after a call that none of them could answer."""
        return await self._outages.to_wait_for()

    def may_fall_back(self, acquired: Acquired) -> bool:
        """Whether the job has waited so long for its own model that another may be asked."""
        after_s = self._fallback_after_s
        return after_s is not None and acquired.away_ms >= after_s * 1000

    def is_too_long(self, acquired: Acquired) -> bool:
        """Whether the job has waited as long as it may."""
        return acquired.away_ms >= self._max_wait_s * 1000

    def reason(self, met: OutageMet, acquired: Acquired) -> str:
        """Why a job that has waited too long is given up."""
        waited_s = acquired.away_ms / 1000
        said = "" if met.error is None else f": {met.error}"
        return (
            f"no server of its model could answer for {waited_s:.0f} s, longer than "
            f"CHAT_MAX_WAIT_SECONDS={self._max_wait_s:g}{said}"
        )

    async def park(self, met: OutageMet, acquired: Acquired) -> bool:
        """Give lease and slot back, and wait for the servers; the follower is told. Whether
        somebody has asked to stop the job meanwhile: then it is to be woken.

        The job is woken after PARKED_MS in any case, and when another model may be asked, or when
        it has waited as long as it may.
        """
        servers, why = met.servers, "a job was told so" if met.error is None else str(met.error)
        parked: list[Parked] = []
        before, after = self._outages.parking(
            self._holder.mailbox.keys, servers, parked, is_first=acquired.away_ms == 0
        )
        stop = await self._holder.park(before, after, for_ms=self._next_look_ms(acquired))
        self._outages.note_parked(servers, parked, why)
        since_ms = max((one.since_ms for one in parked), default=None)
        self._events.emit(
            EventType.WAITING,
            data={
                "reason": "servers_away",
                "servers": [label_of(server) for server in servers],
                "since": None if since_ms is None else round(since_ms / 1000, 1),
            },
        )
        return stop is not None

    def _next_look_ms(self, acquired: Acquired) -> int:
        times_s = [self._max_wait_s]
        if self._fallback_after_s is not None and not self.may_fall_back(acquired):
            times_s.append(self._fallback_after_s)
        return max(1, min(PARKED_MS, round(min(times_s) * 1000) - acquired.away_ms))
