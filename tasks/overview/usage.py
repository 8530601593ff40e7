"""What was used in some days: of each user, agent or model, or of each day. No words."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, TypeAlias, get_args

from memory import Connection, InvalidInput, Keyspace
from memory.quotas.usage import AGENT, KEPT_DAYS, MODEL, USER, Spent, of_day, whole_day
from memory.records import index
from tasks.process.services import producer_services

UsageBy: TypeAlias = Literal["day", "agent", "user", "model"]
BY: tuple[UsageBy, ...] = get_args(UsageBy)
KINDS = {"agent": AGENT, "user": USER, "model": MODEL}
OTHER = ""
"""The name of all those that have no row of their own on a day: 2000 of a kind have one."""
DAYS_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What was used: by `name`, an agent, user or model ("": those beyond the 2000 of a day; None:
    by all), on `day`, a day of UTC by Redis' clock (None: on all that were asked for)."""

    day: date | None
    name: str | None
    spent: Spent


def usage(
    by: UsageBy = "day",
    *,
    since: date | None = None,
    until: date | None = None,
    each_day: bool = False,
) -> tuple[UsageRow, ...]:
    """What was used from day `since` to day `until`, both included; without them, in the last 30
    days until today. 400 days are kept.

    A row for each day, or each agent, user or model, the one that used the most tokens first; with
    `each_day` a row for each of them and each day. What a job without a `user_id` used is no
    user's. Changes nothing. Raises memory.InvalidInput and memory.MemoryServiceError.
    """
    if by not in BY:
        raise InvalidInput(f"by must be one of {', '.join(BY)}")
    if not all(one is None or _is_day(one) for one in (since, until)):
        raise InvalidInput("since and until must be days, as datetime.date has them")
    if since is not None and until is not None and since > until:
        raise InvalidInput(f"the first day, {since}, is after the last, {until}")
    services = producer_services()
    days = days_of(services.memory, since, until)
    if by == "day":
        return tuple(_by_day(services.memory, services.keyspace, days))
    rows = _by_name(services.memory, services.keyspace, days, KINDS[by])
    return tuple(rows) if each_day else tuple(_summed(rows))


def _is_day(given: object) -> bool:
    # A moment is a date, too, and cannot be compared with one.
    return isinstance(given, date) and not isinstance(given, datetime)


def days_of(memory: Connection, since: date | None, until: date | None) -> list[date]:
    """The days from one to the other of which anything may be kept."""
    now_ms = memory.run(index.server_time_ms())
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    oldest = today - timedelta(days=KEPT_DAYS)
    last = min(max(until or today, oldest), today + timedelta(days=1))
    first = max(since or last - timedelta(days=29), oldest)
    return [first + timedelta(days=one) for one in range((last - first).days + 1)]


def _by_day(memory: Connection, keyspace: Keyspace, days: list[date]) -> Iterator[UsageRow]:
    found = memory.run_each([whole_day(keyspace, day) for day in days])
    rows = (UsageRow(day, None, spent) for day, spent in zip(days, found, strict=True))
    yield from (row for row in rows if row.spent != Spent())


def _by_name(
    memory: Connection, keyspace: Keyspace, days: list[date], kind: str
) -> Iterator[UsageRow]:
    for start in range(0, len(days), DAYS_AT_ONCE):
        some = days[start : start + DAYS_AT_ONCE]
        found = memory.run_each([of_day(keyspace, day, kind) for day in some])
        for day, rows in zip(some, found, strict=True):
            for name, spent in sorted(rows.items(), key=lambda one: (-one[1].tokens, one[0])):
                yield UsageRow(day, name, spent)


def _summed(rows: Iterator[UsageRow]) -> Iterator[UsageRow]:
    sums: dict[str | None, Spent] = defaultdict(Spent)
    for row in rows:
        sums[row.name] += row.spent
    for name, spent in sorted(sums.items(), key=lambda one: (-one[1].tokens, str(one[0]))):
        yield UsageRow(None, name, spent)
