"""The model servers that are away, as `griot status` and `griot check` show them."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from memory import (
    Connection,
    InvalidInput,
    Keyspace,
    MemoryServiceError,
    Outage,
    servers_away,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OutageNow:
    """A model server that is away, or that is back with sessions that are still being woken.

    With a `model` it is away for that one only: it is full, or has no memory to load it.
    `since_ms`: when a job first met it so, Unix time.
    """

    server: str
    model: str
    is_away: bool
    since_ms: int
    waiting: int

    @property
    def in_words(self) -> str:
        """What a line of a table or a log says of it."""
        since = datetime.fromtimestamp(self.since_ms / 1000, UTC)
        whom = self.model or "the workers"
        return (
            f"{self.server} is away for {whom} since {since:%Y-%m-%d %H:%M:%S} UTC; "
            f"{self.waiting} sessions wait for it"
        )


def outages_now(memory: Connection, keyspace: Keyspace) -> tuple[OutageNow, ...]:
    """Every outage that is not over. None where Redis does not say."""
    try:
        names = [entry.member for entry in memory.run(servers_away(keyspace))]
    except MemoryServiceError:
        return ()  # other checks and tables say so
    every = (Outage.of(keyspace, name) for name in names)
    found = (_outage_now(memory, outage) for outage in every if not outage.is_pause)
    return tuple(outage for outage in found if outage is not None)


def _outage_now(memory: Connection, outage: Outage) -> OutageNow | None:
    try:
        state, waiting = memory.run_all(outage.state(), outage.waiting())
    except (MemoryServiceError, InvalidInput) as exc:
        logger.warning("the outage of %s cannot be shown: %s", outage.name, exc)
        return None
    if state is None:
        return None
    return OutageNow(outage.server, outage.model, state.is_away, state.since_ms, waiting)
