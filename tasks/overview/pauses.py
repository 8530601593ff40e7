"""What operators have paused, as `griot status`, `griot check` and the console show it."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from memory import Connection, InvalidInput, Keyspace, MemoryServiceError, Outage, servers_away
from memory.ids import shown_id
from memory.pauses import pauses
from memory.pauses.pauses import Pause
from memory.records.index import server_time_ms

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PauseNow:
    """Something that is paused, or that was a moment ago: then its sessions are being woken.

    `what` is such as `agent energy`; times are Unix time in ms, `until_ms` None where somebody has
    to resume it. `waiting`: how many sessions wait for it.
    """

    what: str
    is_paused: bool
    since_ms: int
    until_ms: int | None
    reason: str
    waiting: int

    @property
    def in_words(self) -> str:
        """What a line of a table or a log says of it."""
        if not self.is_paused:
            return f"{self.what} is resumed; {self.waiting} sessions are still to be woken"
        until = "it is resumed" if self.until_ms is None else _moment(self.until_ms)
        why = f" ({self.reason})" if self.reason else ""
        since = _moment(self.since_ms)
        return (
            f"{self.what} is paused since {since} until {until}{why}; {self.waiting} sessions wait"
        )


def pauses_now(memory: Connection, keyspace: Keyspace) -> tuple[PauseNow, ...]:
    """As `find_pauses`, for what shows more than pauses: none where Redis does not say."""
    try:
        return find_pauses(memory, keyspace)
    except MemoryServiceError:
        return ()  # other checks and tables say so


def find_pauses(memory: Connection, keyspace: Keyspace) -> tuple[PauseNow, ...]:
    """Every pause that is not over, then those whose sessions are still being woken. Raises
    memory.MemoryServiceError."""
    now_ms, found = memory.run_all(server_time_ms(), pauses.every(keyspace))
    outages = [Outage.of(keyspace, one.member) for one in memory.run(servers_away(keyspace))]
    held = {str(one.target): one for one in found if not one.is_over(now_ms)}
    over = [one.model for one in outages if one.is_pause and one.model not in held]
    shown = [_pause_now(memory, keyspace, what, held.get(what)) for what in (*held, *over)]
    return tuple(one for one in shown if one is not None and (one.is_paused or one.waiting))


def _pause_now(
    memory: Connection, keyspace: Keyspace, what: str, pause: Pause | None
) -> PauseNow | None:
    try:
        waiting = memory.run(Outage.of_pause(keyspace, what).waiting())
    except (MemoryServiceError, InvalidInput) as exc:
        logger.warning("the sessions that wait for %s cannot be counted: %s", shown_id(what), exc)
        return None
    if pause is None:
        return PauseNow(what, False, 0, None, "", waiting)
    return PauseNow(what, True, pause.since_ms, pause.until_ms, pause.reason, waiting)


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
