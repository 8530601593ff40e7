"""What this process knows of what operators have paused."""

import logging
from collections.abc import Callable, Collection, Sequence

from llm import full_name
from memory import AsyncConnection, CorruptData, Keyspace
from memory.pauses import pauses
from memory.pauses.pauses import Pause, PauseKind
from tasks.process.redis_clock import redis_clock
from telemetry.metrics import PAUSES

logger = logging.getLogger(__name__)


class Pauses:
    """The pauses, for the attempts of one process; on the event loop only.

    They are read once, when their change is announced, and with the sweeps: so a turn asks nothing.
    One with an end is over when Redis' clock says so, read again or not.
    """

    def __init__(
        self,
        memory: AsyncConnection,
        keyspace: Keyspace,
        on_servers: Callable[[Collection[str]], None],
    ) -> None:
        """`on_servers` is told which servers are paused, when that has changed."""
        self._memory = memory
        self._keyspace = keyspace
        self._on_servers = on_servers
        self._held: Sequence[Pause] = ()
        self._is_known = False
        self._servers: frozenset[str] = frozenset()
        for kind in PauseKind:
            PAUSES.labels(kind.value).set_function(lambda kind=kind: self._count(kind))  # type: ignore[misc]  # bound now

    @property
    def is_any(self) -> bool:
        """Whether anything is paused, as far as is known."""
        return bool(self._held) and bool(self.renew())

    async def read(self) -> None:
        """Ask Redis. Raises MemoryServiceError."""
        try:
            self._held = await self._memory.run(pauses.every(self._keyspace))
        except CorruptData as exc:
            logger.error("nothing is paused until a key is repaired: %s", exc)
            self._held = ()
        self._is_known = True
        self.renew()

    async def are_any(self) -> bool:
        """The same, after Redis was asked once. Raises MemoryServiceError."""
        if not self._is_known:
            await self.read()
        return self.is_any

    def of_job(self, agent_id: str, model: str) -> Pause | None:
        """What keeps the jobs of an agent with a model from being begun: the widest pause."""
        # Compared as pairs: not each agent's id can be the name of a target.
        wanted = (
            (PauseKind.ALL, ""),
            (PauseKind.AGENT, agent_id),
            (PauseKind.MODEL, full_name(model)),
        )
        held = {(one.target.kind, one.target.name): one for one in self.renew()}
        return next((held[one] for one in wanted if one in held), None)

    def of_server(self, url: str) -> Pause | None:
        """The pause of a model server."""
        servers = (one for one in self.renew() if one.target.kind is PauseKind.SERVER)
        return next((one for one in servers if one.target.name == url), None)

    def is_paused(self, target: str) -> bool:
        """Whether this is paused, as `str` has written a target."""
        return any(str(one.target) == target for one in self.renew())

    def renew(self) -> Sequence[Pause]:
        """The pauses in force now."""
        if not self._held:
            left: list[Pause] = []
        else:
            now_ms = redis_clock().best_s * 1000
            left = [one for one in self._held if not one.is_over(now_ms)]
        servers = frozenset(one.target.name for one in left if one.target.kind is PauseKind.SERVER)
        if servers != self._servers:
            self._servers = servers
            self._on_servers(servers)
        self._held = left
        return left

    def _count(self, kind: PauseKind) -> int:
        return sum(1 for one in self._held if one.target.kind is kind)
