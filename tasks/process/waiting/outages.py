"""What this process knows of model servers that are away, and how a session waits for them; and for
what is paused."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace

from llm import Fleet, LLMError, OllamaUnreachableError, full_name
from memory import (
    AsyncConnection,
    Command,
    Keyspace,
    Outage,
    Priority,
    ServerOutage,
    SessionKeys,
)
from memory.ids import shown_id
from memory.outages.outages import LOOK_PAUSE_MS, Parked
from memory.pauses.pauses import Pause
from tasks.process.waiting.pauses import Pauses

logger = logging.getLogger(__name__)


class Outages:
    """The model servers that are away, for the attempts of one process; on the event loop only.

    What the process knows is only a hint, as old as the last look; Redis decides. So a turn costs
    no round trip more while all servers are well.
    """

    def __init__(self, memory: AsyncConnection, keyspace: Keyspace, fleet: Fleet) -> None:
        self.servers = tuple(server.url for server in fleet.servers)
        self.pauses = Pauses(memory, keyspace, fleet.note_paused)
        """What operators have paused."""
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

    async def paused(self, agent_id: str, model: str) -> tuple[Pause, Sequence[Outage]] | None:
        """The pause that keeps the jobs of an agent with a model from being begun, and what they
        wait for; None: they may begin.

        Of paused servers it is so where no other may have the model, or all others are away. Raises
        MemoryServiceError.
        """
        if not await self.pauses.are_any():
            return None
        if (pause := self.pauses.of_job(agent_id, model)) is not None:
            return pause, [self._of(pause)]
        await self._fleet.ranked(model, "")  # what each server has is known then
        able = self._fleet.able_to(model)
        held = [pause for url in able if (pause := self.pauses.of_server(url)) is not None]
        others = [url for url in able if self.pauses.of_server(url) is None]
        if not held or not self._away.issuperset(others):
            return None
        outages = [Outage(self._keyspace, server) for server in others]
        states = await self._memory.run_each([outage.state() for outage in outages])
        if not all(state is not None and state.is_away for state in states):
            return None
        return held[0], [*map(self._of, held), *outages]

    async def is_paused(self, agent_id: str, model: str) -> bool:
        """Whether an agent may not call a model now. Raises MemoryServiceError."""
        return await self.paused(agent_id, model) is not None

    def _of(self, pause: Pause) -> Outage:
        return Outage.of_pause(self._keyspace, str(pause.target))

    async def to_wait_for(self, error: LLMError, model: str) -> Sequence[Outage]:
        """What a job must wait for that wanted `model`, when no server could answer its call.

        Each server that may have the model: itself where it does not answer a look at its health.
        One that does answer it has refused the model only: it is full, or has no memory to load it.
        """
        every = self._fleet.able_to(model)
        held = [pause for url in every if (pause := self.pauses.of_server(url)) is not None]
        able = [url for url in every if self.pauses.of_server(url) is None]
        if len(every) == len(able) == 1 and isinstance(error, OllamaUnreachableError):
            return [Outage(self._keyspace, able[0])]
        answers = await asyncio.gather(*map(self._fleet.answers, able))
        return [*map(self._of, held)] + [
            Outage(self._keyspace, server, full_name(model) if is_well else "")
            for server, is_well in zip(able, answers, strict=True)
        ]

    def without_those_away(self, servers: Sequence[str]) -> Sequence[str]:
        """The servers that are not known to be away; all of them where no other is left."""
        return [server for server in servers if server not in self._away] or servers

    def parking(
        self,
        session: SessionKeys,
        outages: Sequence[Outage],
        into: list[Parked],
        *,
        is_first: bool,
        pause_ms: int,
        place_us: int,
        priority: Priority,
    ) -> tuple[list[Command[int]], list[Command[Parked]]]:
        """What goes before the session's lease is given back, and what goes after it; the answers
        come `into` a list, for `note_parked`. `pause_ms`: how long a server that has refused its
        model is left alone; `place_us`: when the job was sent, its place behind a pause."""
        parks = [
            one.park(session, is_first=is_first, place_us=place_us, priority=priority)
            if one.is_pause
            else one.park(
                session,
                is_first=is_first,
                pause_ms=pause_ms if one.model else 0,
                priority=priority,
            )
            for one in outages
        ]
        return [one.note() for one in outages], [_heard(park, into) for park in parks]

    def note_parked(self, outages: Sequence[Outage], parked: Sequence[Parked], why: str) -> None:
        """A session waits for these; a new outage is logged."""
        self._away.update(outage.server for outage in outages if not outage.model)
        self._news.set()
        for outage, one in zip(outages, parked, strict=False):
            if one.is_new and outage.is_pause:
                logger.info("jobs wait, for an operator has paused %s", shown_id(outage.model))
            elif one.is_new:
                logger.warning(
                    "%s (%s): jobs that need it wait and lose no attempt; check the server, "
                    "and see `griot status`",
                    _complaint(outage),
                    why,
                )

    def note_look(self, away: Collection[str], *, are_watched: bool) -> None:
        """A look has found out which servers are away; `are_watched`: there is more to look at."""
        back = self._away.difference(away).intersection(self.servers)
        self._away = set(away)
        self._are_watched = are_watched
        self._fleet.note_look(self._away.intersection(self.servers), back)

    async def until_next_look(self, pause_s: float) -> None:
        """Until it is time to look again: `pause_s`, or sooner where a server is away."""
        if self._are_watched or self._away:
            await asyncio.sleep(min(LOOK_PAUSE_MS / 1000, pause_s))
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._news.wait()
        self._news.clear()


def _heard(command: Command[Parked], into: list[Parked]) -> Command[Parked]:
    def parse(reply: object) -> Parked:
        parked = command.parse(reply)
        into.append(parked)
        return parked

    return replace(command, parse=parse)


def _complaint(outage: Outage) -> str:
    if outage.model:
        return f"model server {outage.server} cannot take {outage.model} now"
    return f"model server {outage.server} is unavailable"
