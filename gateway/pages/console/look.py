"""What the console shows, gathered at one go: bounded, whatever there is. Blocks.

A key that names agents sees these only.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from itertools import islice

from gateway.access import Caller
from memory import Connection, Keyspace, audit
from memory.records.index import server_time_ms
from memory.upkeep.totals import read_totals
from tasks.overview.jobs import JobShown, waiting_jobs
from tasks.overview.letters import letters
from tasks.overview.outages import outages_now
from tasks.overview.pauses import pauses_now
from tasks.overview.quotas import look_at_quotas
from tasks.overview.report import WorkerReport
from tasks.overview.series import series
from tasks.overview.slots import model_slots
from tasks.overview.workers import look_at_workers
from tasks.process.services import producer_services

ROWS = 10
MOST_TURNS = 100
DEEDS = 50
DEEDS_LOOKED_AT = 500


def now(caller: Caller, *, jobs: str) -> dict[str, object]:
    """What runs, what waits and why, workers, model servers, quotas; `jobs` is where the page of
    those that wait begins. Raises memory.MemoryServiceError."""
    services = producer_services()
    memory, keyspace = services.memory, services.keyspace
    workers = look_at_workers(memory, keyspace)
    turns = [one for one in _turns(workers) if caller.may_use(str(one["agent_id"]))]
    page = waiting_jobs(memory, keyspace, jobs, limit=ROWS)
    quotas = asdict(look_at_quotas(memory, keyspace, services.settings))
    quotas["agents"] = [one for one in quotas["agents"] if caller.may_use(one["agent_id"])]
    return {
        "now_ms": memory.run(server_time_ms()),
        "may": sorted(caller.scopes),
        "running": {"data": turns[:MOST_TURNS], "total": sum(one.running for one in workers)},
        "waiting": {"data": _waiting(page.jobs, caller), "next": page.next},
        "workers": [one.model_dump(exclude={"turns", "servers"}) for one in workers],
        "servers": _servers(workers, services.settings.llm.servers),
        "slots": [asdict(one) for one in model_slots(memory, keyspace, services.settings)],
        "outages": [asdict(one) for one in outages_now(memory, keyspace)],
        "pauses": [asdict(one) for one in pauses_now(memory, keyspace)],
        "quotas": quotas,
    }


def slow(caller: Caller, *, hours: int, letters_at: str) -> dict[str, object]:
    """What changes more slowly, or takes more to find: dead letters from a place on, the last
    deeds, and the charts. Raises memory.MemoryServiceError."""
    services = producer_services()
    memory, keyspace = services.memory, services.keyspace
    page, totals = letters(memory, keyspace, letters_at, limit=ROWS), read_totals(memory, keyspace)
    shown = [asdict(one) for one in page.letters if caller.may_use(one.agent_id)]
    return {
        "letters": {
            "data": shown,
            "next": page.next,
            "total": None if totals is None else max(totals.dead_letters, len(shown)),
        },
        "audit": list(_deeds(memory, keyspace, caller)),
        "series": _in_ms(asdict(series(memory, keyspace, hours=hours))),
    }


def _turns(workers: Iterable[WorkerReport]) -> list[dict[str, object]]:
    found = [{**turn.model_dump(), "worker": one.worker} for one in workers for turn in one.turns]
    return sorted(found, key=lambda turn: -float(str(turn["age_s"])))


def _waiting(jobs: Iterable[JobShown], caller: Caller) -> list[dict[str, object]]:
    return [asdict(one) for one in jobs if caller.may_use(one.agent_id)]


def _servers(workers: Iterable[WorkerReport], configured: Iterable[str]) -> list[object]:
    """Each server as the workers see it together; one that none has asked yet has no loaded models
    and a breaker of which nothing is known."""
    found: dict[str, dict[str, object]] = {
        url: {"url": url, "calls": 0, "loaded": [], "open": 0, "seen": 0} for url in configured
    }
    for worker in workers:
        for one in worker.servers:
            of_it = found.setdefault(
                one.url, {"url": one.url, "calls": 0, "loaded": [], "open": 0, "seen": 0}
            )
            _add(of_it, one.calls, one.loaded, is_open=one.breaker != "closed")
    return list(found.values())


def _add(of_it: dict[str, object], calls: int, loaded: tuple[str, ...], *, is_open: bool) -> None:
    of_it["calls"] = int(str(of_it["calls"])) + calls
    of_it["seen"] = int(str(of_it["seen"])) + 1
    of_it["open"] = int(str(of_it["open"])) + is_open
    known = of_it["loaded"]
    of_it["loaded"] = sorted({*(known if isinstance(known, list) else ()), *loaded})


def _deeds(memory: Connection, keyspace: Keyspace, caller: Caller) -> Iterator[dict[str, object]]:
    last = islice(audit.records(memory, keyspace), DEEDS_LOOKED_AT)
    seen = (one for one in last if not one.agent_id or caller.may_use(one.agent_id))
    for one in islice(seen, DEEDS):
        yield {**asdict(one), "at": round(one.at.timestamp() * 1000)}


def _in_ms(found: object) -> object:
    match found:
        case datetime():
            return round(found.timestamp() * 1000)
        case Mapping():
            return {name: _in_ms(value) for name, value in found.items()}
        case list() | tuple():
            return [_in_ms(one) for one in found]
    return found
