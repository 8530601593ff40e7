"""The tables of `griot top`, made from a snapshot. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

from tasks.overview.report import WorkerReport
from worker.cli.console import duration, printable
from worker.cli.top.snapshot import Snapshot
from worker.cli.waits import WHY

Value = str | int | float | None
Row = Sequence[Value]
WORST_FIRST = ("open", "half-open", "closed")


def word(value: Value) -> str:
    """An id or a number on one line, without what could steer a terminal."""
    return "" if value is None else " ".join(printable(str(value)).split())


def seconds(value: Value) -> str:
    """A length of time."""
    return duration(value) if isinstance(value, int | float) else ""


def tenths(value: Value) -> str:
    """A number with one digit after the point."""
    return f"{value:.1f}" if isinstance(value, int | float) else ""


@dataclass(frozen=True, slots=True)
class Column:
    """Of columns that do not fit, the one with the largest `rank` goes first."""

    name: str
    rank: int
    shown: Callable[[Value], str] = word


@dataclass(frozen=True, slots=True)
class Grid:
    """A table whose values are still to be sorted. `order`: the column it is sorted by until
    somebody asks for another, the largest first. `empty` says what no row means."""

    name: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    order: int
    empty: str

    def cells(self, row: Row) -> list[str]:
        """A row as it is shown."""
        return [one.shown(value) for one, value in zip(self.columns, row, strict=True)]


NAMES = ("turns", "waiting", "slots", "workers", "servers")
NO_REPORT = "no worker reports; they begin within seconds of the first look"


def grid_of(now: Snapshot, name: str) -> Grid:
    """One of the tables by its name."""
    makers = dict(zip(NAMES, (_turns, _waiting, _slots, _workers, _servers), strict=True))
    return makers[name](now)


def _turns(now: Snapshot) -> Grid:
    columns = (
        Column("AGENT", 1),
        Column("SESSION", 2),
        Column("JOB", 4),
        Column("ATTEMPT", 6),
        Column("MODEL", 5),
        Column("SERVER", 7),
        Column("AGE", 0, seconds),
        Column("TOKENS", 3),
        Column("TOKENS/S", 3, tenths),
        Column("WORKER", 8),
    )
    rows = [
        (
            *(turn.agent_id, turn.session_id, turn.job_id, turn.attempt, turn.model, turn.server),
            *(turn.age_s, turn.tokens, turn.tokens_per_s, worker.worker),
        )
        for worker in now.workers
        for turn in worker.turns
    ]
    return Grid("turns", columns, rows, 6, "no turn runs" if now.workers else NO_REPORT)


def _waiting(now: Snapshot) -> Grid:
    columns = (
        Column("AGENT", 1),
        Column("SESSION", 2),
        Column("JOB", 4),
        Column("WHY", 0),
        Column("FOR", 0, seconds),
        Column("BEFORE IT", 3),
        Column("ATTEMPTS", 5),
        Column("AGAIN IN", 6, seconds),
    )
    rows = [
        (
            *(job.agent_id, job.session_id, job.job_id, WHY.get(job.why, job.why.value)),
            None if job.since_ms is None else max(0.0, (now.now_ms - job.since_ms) / 1000),
            *(job.before, job.attempts),
            None if job.until_ms is None else max(0.0, (job.until_ms - now.now_ms) / 1000),
        )
        for job in now.waiting
    ]
    return Grid("waiting", columns, rows, 4, "no job waits")


def _slots(now: Snapshot) -> Grid:
    columns = (
        Column("MODEL", 0),
        Column("SERVER", 1),
        Column("TAKEN", 0),
        Column("SLOTS", 0),
        Column("WAITING", 0),
        Column("WAIT", 2, seconds),
    )
    rows = [
        (one.model, url, one.taken.get(url, 0), slots, one.waiting, one.wait_s)
        for one in now.slots
        for url, slots in one.slots.items()
    ]
    return Grid("slots", columns, rows, 4, "the calls of no model are bounded")


def _workers(now: Snapshot) -> Grid:
    columns = (
        Column("WORKER", 0),
        Column("RUNNING", 0),
        Column("LIMIT", 1),
        Column("TOKENS/S", 1, tenths),
        Column("LATE MS", 2, tenths),
        Column("P99 MS", 3, tenths),
        Column("CALLS THAT HANG", 4),
    )
    rows = [
        (
            *(one.worker, one.running, one.limit, tokens_per_s(one)),
            *(one.late.max_ms, one.late.p99_ms),
            ", ".join(f"{count} of {tool}" for tool, count in one.hanging_tools.items()),
        )
        for one in now.workers
    ]
    return Grid("workers", columns, rows, 1, NO_REPORT)


def _servers(now: Snapshot) -> Grid:
    columns = (
        Column("SERVER", 0),
        Column("STATE", 0),
        Column("CALLS", 0),
        Column("TOKENS/S", 1, tenths),
        Column("EACH", 1, tenths),
        Column("WAITING SESSIONS", 3),
        Column("LOADED", 2),
    )
    return Grid("servers", columns, [*_server_rows(now)], 2, NO_REPORT)


def _server_rows(now: Snapshot) -> Iterator[Row]:
    """Each server as all workers together see it: the worst breaker, the sum of the calls.
    EACH is what one of its turns gets: the slow server among several, however many it has."""
    seen = [server for worker in now.workers for server in worker.servers]
    turns = [turn for worker in now.workers for turn in worker.turns]
    away = {one.server: one for one in now.outages if not one.model}
    paused = {one.what for one in now.pauses if one.is_paused}
    for url in dict.fromkeys([*(server.url for server in seen), *away]):
        of_url = [server for server in seen if server.url == url]
        breakers = {server.breaker for server in of_url}
        breaker = next((f"breaker {one}" for one in WORST_FIRST[:2] if one in breakers), "ok")
        outage = away.get(url)
        rates = [turn.tokens_per_s for turn in turns if turn.server == url and turn.tokens_per_s]
        yield (
            url,
            "paused"
            if f"server {url}" in paused
            else "away"
            if outage is not None and outage.is_away
            else breaker,
            sum(server.calls for server in of_url),
            sum(rates),
            mean(rates) if rates else None,
            outage.waiting if outage is not None else 0,
            ", ".join(sorted({model for server in of_url for model in server.loaded})),
        )


def tokens_per_s(worker: WorkerReport) -> float:
    """What a worker's turns write together."""
    return sum(turn.tokens_per_s or 0.0 for turn in worker.turns)
