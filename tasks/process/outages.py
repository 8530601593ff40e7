"""What this process knows of model servers that are away, and how a session waits for them."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace

from llm import Fleet
from memory import AsyncConnection, Command, Keyspace, Outage, ServerOutage, SessionKeys
from memory.outages.outages import LOOK_PAUSE_MS, Parked

logger = logging.getLogger(__name__)


class Outages:
    """The model servers that are away, for the attempts of one process; on the event loop only.

    What the process knows is only a hint, as old as the last look; Redis decides. So a turn costs
    no round trip more while all servers are well.
    """

    def __init__(self, memory: AsyncConnection, keyspace: Keyspace, fleet: Fleet) -> None:
        self.servers = tuple(server.url for server in fleet.servers)
        self._memory = memory
        self._keyspace = keyspace
        self._fleet = fleet
        self._away: set[str] = set()
        self._are_watched = False
        self._news = asyncio.Event()

    async def of_all_servers(self) -> Sequence[ServerOutage]:
        """The outage of every server, where all of them are away; else nothing.

        Raises MemoryServiceError.
        """
        if not self._away.issuperset(self.servers):
            return ()
        states = await self._memory.run_each(
            [Outage(self._keyspace, server).state() for server in self.servers]
        )
        outages = [state for state in states if state is not None and state.is_away]
        return outages if len(outages) == len(self.servers) else ()

    async def to_wait_for(self) -> Sequence[str]:
        """The servers that a job must wait for whose call no server could answer.

        Those that do not answer a look at their health; all of them where each answers: they are
        full, or cannot load the model.
        """
        if len(self.servers) == 1:
            return self.servers
        answers = await asyncio.gather(*map(self._fleet.answers, self.servers))
        away = [
            server for server, is_well in zip(self.servers, answers, strict=True) if not is_well
        ]
        return away or self.servers

    def parking(
        self,
        session: SessionKeys,
        servers: Sequence[str],
        into: list[Parked],
        *,
        is_first: bool,
    ) -> tuple[list[Command[int]], list[Command[Parked]]]:
        """What goes before the session's lease is given back, and what goes after it; the answers
        come `into` a list, for `note_parked`."""
        outages = [Outage(self._keyspace, server) for server in servers]
        parks = [_heard(one.park(session, is_first=is_first), into) for one in outages]
        return [one.note() for one in outages], parks

    def note_parked(self, servers: Sequence[str], parked: Sequence[Parked], why: str) -> None:
        """A session waits for these servers; a new outage is logged."""
        self._away.update(servers)
        self._news.set()
        for server, one in zip(servers, parked, strict=False):
            if one.is_new:
                logger.warning(
                    "model server %s is away (%s): jobs that need it wait, and no attempt is "
                    "counted; start it again, or see `griot status`",
                    server,
                    why,
                )

    def note_look(self, away: Collection[str], *, are_watched: bool) -> None:
        """A look has found out which servers are away; `are_watched`: there is more to look at."""
        back = self._away.difference(away).intersection(self.servers)
        self._away = set(away)
        self._are_watched = are_watched
        for server in back:
            self._fleet.note_back(server)

    async def until_next_look(self, pause_s: float) -> None:
        """Until it is time to look again: `pause_s`, or sooner where a server is away."""
        if self._are_watched or self._away:
            await asyncio.sleep(min(LOOK_PAUSE_MS / 1000, pause_s))
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), pause_s)
        self._news.clear()


def _heard(command: Command[Parked], into: list[Parked]) -> Command[Parked]:
    def parse(reply: object) -> Parked:
        parked = command.parse(reply)
        into.append(parked)
        return parked

    return replace(command, parse=parse)
