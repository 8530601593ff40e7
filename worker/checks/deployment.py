"""Whether Griot can answer right now: Redis, broker, results, Ollama, workers.

Each check is a plain function that answers with findings and does not raise; `griot check` shows
them, a starting worker acts on some of them (worker_start.py).
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from celery import Celery
from celery.app.control import Inspect
from kombu.connection import Connection as BrokerConnection
from kombu.exceptions import ContentDisallowed, DecodeError, OperationalError

from memory import (
    Connection,
    Keyspace,
    MemoryServiceError,
    MemoryUnavailable,
    damaged_keys,
)
from memory.redis.failures import concise
from memory.redis.server_info import ServerInfo, server_info
from tasks.overview.outages import outages_now
from tasks.overview.pauses import pauses_now
from tasks.process.configuration import BROKER, RESULTS, Settings, load_settings
from worker.checks.advice import advice_on, raise_it
from worker.checks.archive import check_archive
from worker.checks.bounds import check_bounds
from worker.checks.encryption import check_encryption
from worker.checks.findings import Finding, Level, judged
from worker.checks.models import check_models
from worker.checks.open_doors import check_gateway, check_open_doors
from worker.checks.redis_rights import (
    USE_NEWER,
    check_broker_rights,
    check_memory_rights,
    check_result_rights,
)
from worker.checks.security import security_findings, user_findings
from worker.checks.tls import tls_findings
from worker.extras import OR_TRY

logger = logging.getLogger(__name__)

MOST_DAMAGED = 20
CROWDED = 0.8  # of maxmemory
REPLY_TIMEOUT_S = 1.0
START = "start one with `make up` (or: griot worker)"


def all_findings(app: Celery, connection: Connection, settings: Settings) -> list[Finding]:
    """What every check found. Takes a second or two, more where something does not answer."""
    wrong = tls_findings(settings)
    redis = [wrong["redis"]] if "redis" in wrong else check_redis(connection)
    broker = wrong["broker"] if "broker" in wrong else check_broker(app)
    results = [wrong["results"]] if "results" in wrong else _results(app)
    return [
        check_settings(settings),
        *redis,
        *(_memory(connection, settings) if is_answering(redis) else ()),
        broker,
        *(check_broker_rights(app, settings) if broker.level is Level.OK else ()),
        *results,
        *security_findings(settings),
        *check_models(settings),
        *(check_outages(connection, settings) if is_answering(redis) else ()),
        *(check_pauses(connection, settings) if is_answering(redis) else ()),
        *check_open_doors(settings),
        *([check_workers(app)] if broker.level is Level.OK else []),
    ]


def is_answering(redis: list[Finding]) -> bool:
    """Whether what `check_redis` found lets the memory be asked more: else each further question
    would wait for the same time-outs."""
    return all(one.check != "redis" or one.level is Level.OK for one in redis)


def _memory(connection: Connection, settings: Settings) -> list[Finding]:
    return [
        *check_keys(connection, settings),
        *check_bounds(connection, settings),
        *check_encryption(connection, settings),
        *check_archive(connection, settings),
        *check_memory_rights(connection, settings),
        *user_findings(connection, settings),
        *check_gateway(connection, settings.memory.keyspace),
    ]


def check_settings(settings: Settings) -> Finding:
    """The settings: they were checked when the process started; the main ones are named."""
    memory, queue = settings.memory, settings.queue
    found = (
        f"prefix {memory.key_prefix}, sessions kept {memory.default_ttl_s} s, "
        f"{queue.concurrency} turns per worker"
    )
    return Finding("settings", Level.OK, found)


def check_redis(connection: Connection) -> list[Finding]:
    """Whether Redis can be reached, and whether it is set up to hold mailboxes."""
    try:
        servers = server_info(connection)
    except MemoryUnavailable as exc:
        advice = f"start Redis, or set REDIS_URL{OR_TRY}"
        return [Finding("redis", Level.FAIL, str(exc), advice)]
    except MemoryServiceError as exc:
        return [Finding("redis", Level.FAIL, *_said_and_advice(exc))]
    return [finding for server in servers for finding in server_findings(server, connection.label)]


def _said_and_advice(error: MemoryServiceError) -> tuple[str, str]:
    said, _, advice = str(error).partition("; ")
    return said, advice


def check_keys(connection: Connection, settings: Settings) -> list[Finding]:
    """Whether every key holds what Griot writes there."""
    keyspace = Keyspace(settings.memory.key_prefix)
    try:
        damaged = damaged_keys(connection, keyspace)
    except MemoryServiceError:
        return []  # `check_redis` says why
    advice = "find out who wrote it, then delete or rename it: its session waits until then"
    found = [f"{one.key} is a {one.found}, not a {one.expected}" for one in damaged]
    return [Finding("redis keys", Level.FAIL, one, advice) for one in found[:MOST_DAMAGED]] or [
        Finding("redis keys", Level.OK, "each holds what Griot writes")
    ]


def server_findings(server: ServerInfo, label: str) -> list[Finding]:
    """Whether one server may hold mailboxes; `label` says where it is."""
    fill = "no maxmemory" if server.fill is None else f"{server.fill:.0%} of maxmemory"
    return [
        judged(
            server.is_new_enough,
            Finding("redis", Level.FAIL, f"{server.product} at {label}", USE_NEWER),
        ),
        judged(
            not server.is_evicting,
            Finding(
                "redis eviction",
                Level.FAIL,
                f"maxmemory-policy {server.eviction_policy or 'unknown'}",
                "Redis may drop waiting jobs: CONFIG SET maxmemory-policy noeviction",
            ),
        ),
        judged(
            server.is_append_only,
            Finding(
                "redis durability",
                Level.WARN,
                f"append-only file {'on' if server.is_append_only else 'off'}",
                "a crash of Redis loses jobs and histories: CONFIG SET appendonly yes",
            ),
        ),
        judged(
            server.fill is None or server.fill < CROWDED,
            Finding(
                "redis memory",
                Level.WARN,
                f"{server.used_memory_bytes / 1_000_000:.1f} MB used, {fill}",
                "raise maxmemory, or keep less: REDIS_MEMORY_TTL, HISTORY_MAX_MESSAGES",
            ),
        ),
    ]


def check_broker(app: Celery) -> Finding:
    """Whether Celery's broker can be reached."""
    with app.connection_for_write() as connection:
        where = connection.as_uri()
        try:
            connection.ensure_connection(errback=raise_it)
        except OperationalError as exc:
            found = f"{where}: {concise(str(exc))}"
            return Finding("broker", Level.FAIL, found, advice_on(exc, BROKER))
    return Finding("broker", Level.OK, where)


def check_results(app: Celery) -> Finding:
    """Whether Celery's result backend can be reached."""
    where = app.backend.as_uri()
    try:
        app.backend.get_state("griot-check")
    except (*app.backend.connection_errors, *app.backend.channel_errors) as exc:
        found = f"{where}: {concise(str(exc))}"
        return Finding("results", Level.FAIL, found, advice_on(exc, RESULTS))
    return Finding("results", Level.OK, where)


def _results(app: Celery) -> list[Finding]:
    found = check_results(app)
    is_well = found.level is Level.OK
    return [found, *(check_result_rights(app) if is_well else ())]


def check_outages(connection: Connection, settings: Settings) -> list[Finding]:
    """The model servers that jobs wait for: workers cannot use them, even if they answer here."""
    advice = "start it, or let the workers reach it: their jobs wait; `griot status` shows how many"
    found = outages_now(connection, Keyspace(settings.memory.key_prefix))
    return [Finding("outage", Level.WARN, one.in_words, advice) for one in found if one.is_away]


def check_pauses(connection: Connection, settings: Settings) -> list[Finding]:
    """What operators have paused: its jobs wait, and nothing is wrong."""
    found = pauses_now(connection, Keyspace(settings.memory.key_prefix))
    return [
        Finding("pause", Level.WARN, one.in_words, f"go on with: griot resume {one.what}")
        for one in found
        if one.is_paused
    ]


def check_workers(app: Celery) -> Finding:
    """How many workers answer, and whether any of them takes chat jobs."""
    try:
        queues = queues_of_workers(app)
    except OperationalError as exc:
        return Finding("workers", Level.WARN, f"cannot be asked: {exc}", "mend the broker first")
    found = f"{len(queues)} answer"
    names = load_settings().names
    if not any(names.chat in consumed for consumed in queues.values()):
        return Finding("workers", Level.WARN, f"{found}, none of them takes chat jobs", START)
    if not any(names.maintenance in consumed for consumed in queues.values()):
        advice = "start one: griot worker -Q maintenance"
        return Finding("workers", Level.WARN, f"{found}, none of them does maintenance", advice)
    return Finding("workers", Level.OK, found)


def queues_of_workers(app: Celery) -> Mapping[str, frozenset[str]]:
    """The queues of each worker that answers within REPLY_TIMEOUT_S; takes that long.

    Raises kombu's OperationalError if the broker cannot be reached.
    """
    with broker_connection(app) as connection:
        replies = workers_asked(app, connection).active_queues()
    return {
        worker: frozenset(queue["name"] for queue in queues)
        for worker, queues in sorted((replies or {}).items())
    }


def workers_asked(app: Celery, connection: BrokerConnection, limit: int | None = None) -> Inspect:
    """Celery's questions to all workers, over a connection of `broker_connection`.

    Without one Celery takes a connection of its pool, which may have died since it was used.
    """
    return app.control.inspect(timeout=REPLY_TIMEOUT_S, limit=limit, connection=connection)


@contextmanager
def broker_connection(app: Celery) -> Iterator[BrokerConnection]:
    """A connection to the broker, whose errors are all kombu's OperationalError; so is an answer
    that is no JSON, of somebody who is no worker of ours.

    It puts no message back that a worker holds, as every consumer of kombu 5.7.0 does otherwise:
    that is workers' business, and their right.
    """
    options = {**app.conf.broker_transport_options, "ack_emulation": False}
    with app.connection_for_write(transport_options=options) as connection:
        connection.ensure_connection(errback=raise_it)
        try:
            yield connection
        except (*connection.connection_errors, *connection.channel_errors) as exc:
            raise OperationalError(str(exc)) from exc
        except (ContentDisallowed, DecodeError) as exc:
            raise OperationalError(
                "something that is not a worker answers: its answer is not JSON"
            ) from exc
