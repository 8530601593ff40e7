"""The look at the model servers that are away: whether they are back, and who is woken then."""

import asyncio
import logging
from collections.abc import Sequence

from llm import Fleet
from memory import (
    AsyncConnection,
    CorruptData,
    InvalidInput,
    Keyspace,
    LookOutcome,
    NotedOutcome,
    Outage,
    index,
    servers_away,
)
from memory.ids import shown_id
from memory.mailbox import looks
from memory.mailbox.due import IDLE_MS
from memory.outages.outages import LOOKED_THROUGH, NotedLook
from memory.quoting import quoted
from memory.records.index import Entry
from tasks.process.head_waker import HeadWaker
from tasks.process.waiting.outages import Outages

logger = logging.getLogger(__name__)


class OutageSweep:
    """Finds out when a model server is back, and wakes the sessions that wait for it.

    Used on the event loop. Any number may run at once: LOOK lets one of them look at a server.
    """

    def __init__(
        self,
        memory: AsyncConnection,
        keyspace: Keyspace,
        fleet: Fleet,
        outages: Outages,
        waker: HeadWaker,
    ) -> None:
        self._memory = memory
        self._keyspace = keyspace
        self._fleet = fleet
        self._outages = outages
        self._waker = waker
        self._looked_through: dict[str, int] = {}
        """How many of those that wait for each have been looked through, from the first on."""

    async def run(self) -> None:
        """Look once at each server that is away. Raises MemoryServiceError."""
        # In one pipeline, as all that is asked at the same time.
        entries, _ = await asyncio.gather(
            self._memory.run(servers_away(self._keyspace)), self._outages.pauses.read()
        )
        states = await asyncio.gather(*(self._state_of(entry) for entry in entries))
        away = [entry.member for entry, is_away in zip(entries, states, strict=True) if is_away]
        self._outages.note_look(away, are_watched=any(state is not None for state in states))
        await self._forget(
            [one for one, state in zip(entries, states, strict=True) if state is None]
        )

    async def _state_of(self, entry: Entry) -> bool | None:
        """Whether a server is away; None where it is not, and nobody waits for it."""
        try:
            return await self._look_at(Outage.of(self._keyspace, entry.member))
        except (CorruptData, InvalidInput) as exc:
            logger.error(
                "sessions that wait for %s are not woken until its keys are repaired: %s",
                entry.member,
                exc,
            )
            return False

    async def _look_at(self, outage: Outage) -> bool | None:
        is_ours = outage.is_pause or outage.server in self._outages.servers
        look = await self._memory.run(outage.look(is_ours=is_ours))
        if look.outcome is not LookOutcome.LOOK:
            return None if look.outcome is LookOutcome.NONE else look.is_away
        # What no worker uses any more keeps nobody waiting.
        answers = not is_ours or await self._is_back(outage)
        noted = await self._memory.run(outage.note_look(answers=answers))
        await self._follow_up(outage, noted)
        if noted.outcome is NotedOutcome.AWAY:
            await self._take_off_ended(outage)
        if noted.outcome in (NotedOutcome.NONE, NotedOutcome.OVER):
            return None
        return noted.outcome is NotedOutcome.AWAY

    async def _is_back(self, outage: Outage) -> bool:
        """Whether a server answers, or a pause has ended by what was read a moment ago."""
        if not outage.is_pause:
            return await self._fleet.answers(outage.server)
        return not self._outages.pauses.is_paused(outage.model)

    async def _follow_up(self, outage: Outage, noted: NotedLook) -> None:
        if noted.outcome is NotedOutcome.OVER and outage.is_pause:
            how_many = noted.jobs
            logger.info("%s is not paused; %d jobs have waited", shown_id(outage.model), how_many)
        elif noted.outcome is NotedOutcome.OVER:
            logger.info(
                "model server %s answers again, after %.0f s; %d jobs have waited for it",
                outage.name,
                noted.lasted_ms / 1000,
                noted.jobs,
            )
        if noted.to_wake:
            await asyncio.gather(*(self._wake(outage, entry) for entry in noted.to_wake))
            await self._memory.run(outage.take_off(noted.to_wake))

    async def _take_off_ended(self, outage: Outage) -> None:
        """Take off some of those whose jobs have ended meanwhile: nobody waits there any more."""
        skip = self._looked_through.pop(outage.name, 0)
        found = await self._memory.run(outage.parked(skip=skip))
        named = [(entry, keys) for entry in found if (keys := outage.session(entry)) is not None]
        counts = await self._memory.run_each([looks.are_any(keys) for _, keys in named])
        ended = [entry for (entry, _), any_jobs in zip(named, counts, strict=True) if not any_jobs]
        if ended:
            await self._memory.run(outage.take_off(ended))
        if len(found) == LOOKED_THROUGH:
            self._looked_through[outage.name] = skip + len(found) - len(ended)

    async def _wake(self, outage: Outage, entry: Entry) -> None:
        keys = outage.session(entry)
        if keys is None:
            logger.warning(
                "%s waits for %s but is not a session", quoted(entry.member), outage.name
            )
            return
        await self._waker.wake_head(keys)

    async def _forget(self, entries: Sequence[Entry]) -> None:
        """Take servers off the list; not at once: a session may be about to wait for one."""
        now_ms = await self._memory.run(index.server_time_ms()) if entries else 0
        old = [entry for entry in entries if entry.seen_ms < now_ms - IDLE_MS]
        if old:
            await self._memory.run(index.forget(self._keyspace.outages, old))
