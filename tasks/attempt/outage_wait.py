"""How a job waits for the servers of its model: no attempt counts, and nothing is held."""

import logging
from collections.abc import Sequence

from llm import LLMError
from llm.wire.address import label_of
from memory import Acquired, EventType
from memory.outages.outages import PARKED_MS, Parked
from tasks.attempt.lease import LeaseHolder
from tasks.process.live_events import AttemptEvents
from tasks.process.outages import Outages
from tasks.settings import QueueSettings

logger = logging.getLogger(__name__)


class OutageWait:
    """The wait of one attempt's job for servers that are away."""

    def __init__(
        self, holder: LeaseHolder, outages: Outages, events: AttemptEvents, queue: QueueSettings
    ) -> None:
        self._holder = holder
        self._outages = outages
        self._events = events
        self._max_wait_s = queue.max_wait_s

    async def are_all_away(self) -> Sequence[str]:
        """All servers, where it is known that none of them can be called; else nothing."""
        return [outage.server for outage in await self._outages.of_all_servers()]

    async def those_away(self) -> Sequence[str]:
        """The servers to wait for after a call that none of them could answer."""
        return await self._outages.to_wait_for()

    def is_too_long(self, acquired: Acquired) -> bool:
        """Whether the job has waited as long as it may."""
        return acquired.away_ms >= self._max_wait_s * 1000

    def reason(self, acquired: Acquired, error: LLMError | None) -> str:
        """Why a job that has waited too long is given up."""
        waited_s = acquired.away_ms / 1000
        said = "" if error is None else f": {error}"
        return (
            f"no server of its model could answer for {waited_s:.0f} s, longer than "
            f"CHAT_MAX_WAIT_SECONDS={self._max_wait_s:g}{said}"
        )

    async def park(
        self, servers: Sequence[str], acquired: Acquired, why: str, *, at_most_ms: int = PARKED_MS
    ) -> bool:
        """Give lease and slot back, and wait for `servers`; the follower is told. Whether somebody
        has asked to stop the job meanwhile: then it is to be woken.

        The job is woken after `at_most_ms` in any case, and when it has waited as long as it may.
        """
        left_ms = round(self._max_wait_s * 1000) - acquired.away_ms
        parked: list[Parked] = []
        before, after = self._outages.parking(self._holder.mailbox.keys, servers, parked)
        stop = await self._holder.park(before, after, for_ms=max(1, min(at_most_ms, left_ms)))
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
