"""Whether a chat job would be done here: Redis, broker, results, Ollama, workers.

Each check is a plain function that answers with findings and does not raise; `griot check` shows
them, a starting worker acts on those that `worker_start_checks` looks at.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from celery import Celery
from celery.app.control import Inspect
from kombu.connection import Connection as BrokerConnection
from kombu.exceptions import OperationalError

from memory import (
    Connection,
    Keyspace,
    MemoryRefused,
    MemoryServiceError,
    MemoryUnavailable,
    damaged_keys,
)
from memory.redis.failures import FULL_OF_CLIENTS, concise
from memory.redis.server_info import ServerInfo, server_info
from tasks.errors import ConfigurationError
from tasks.process.configuration import BROKER, RESULTS, Settings, load_settings
from worker.extras import OR_TRY
from worker.findings import Finding, Level, judged
from worker.model_checks import check_models
from worker.outages import outages_now
from worker.redis_rights import (
    USE_NEWER,
    check_broker_rights,
    check_memory_rights,
    check_result_rights,
)
from worker.security_checks import security_findings

logger = logging.getLogger(__name__)

MOST_DAMAGED = 20
CROWDED = 0.8  # of maxmemory
REPLY_TIMEOUT_S = 1.0
START = "start one with `make up` (or: celery -A worker worker)"


def all_findings(app: Celery, connection: Connection, settings: Settings) -> list[Finding]:
    """What every check found. Takes a second or two, more where something does not answer."""
    redis, broker = check_redis(connection), check_broker(app)
    is_answering = all(one.check != "redis" or one.level is Level.OK for one in redis)
    return [
        check_settings(settings),
        *redis,
        *check_keys(connection, settings),
        *(check_memory_rights(connection, settings) if is_answering else ()),
        broker,
        *(check_broker_rights(app, settings) if broker.level is Level.OK else ()),
        *_results(app),
        *security_findings(connection, settings),
        *check_models(settings),
        *check_outages(connection, settings),
        *([check_workers(app)] if broker.level is Level.OK else []),
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
    except MemoryServiceError as exc:
        advice = f"start Redis, or set REDIS_URL{OR_TRY}"
        return [Finding("redis", Level.FAIL, str(exc), advice)]
    return [finding for server in servers for finding in server_findings(server, connection.label)]


def check_keys(connection: Connection, settings: Settings) -> list[Finding]:
    """Whether every key holds what Griot writes there."""
    keyspace = Keyspace(settings.memory.key_prefix)
    try:
        damaged = damaged_keys(connection, keyspace)
    except MemoryServiceError:
        return []  # `check_redis` says why
    advice = "look what it is, and delete or rename it: its session stands still until then"
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
            connection.ensure_connection(max_retries=1)
        except OperationalError as exc:
            found = f"{where}: {concise(str(exc))}"
            return Finding("broker", Level.FAIL, found, _advice(exc, BROKER))
    return Finding("broker", Level.OK, where)


def check_results(app: Celery) -> Finding:
    """Whether Celery's result backend can be reached."""
    where = app.backend.as_uri()
    try:
        app.backend.get_state("griot-check")
    except (*app.backend.connection_errors, *app.backend.channel_errors) as exc:
        found = f"{where}: {concise(str(exc))}"
        return Finding("results", Level.FAIL, found, _advice(exc, RESULTS))
    return Finding("results", Level.OK, where)


def _results(app: Celery) -> list[Finding]:
    found = check_results(app)
    is_well = found.level is Level.OK
    return [found, *(check_result_rights(app) if is_well else ())]


def _advice(error: Exception, setting: str) -> str:
    """What to do about a server that cannot be used, by what it says."""
    said = str(error)
    if "DB index" in said:
        return f"raise `databases` in redis.conf, or name another db with {setting}"
    if FULL_OF_CLIENTS in said:
        return "raise its maxclients, or run fewer processes"
    return f"check {setting}: rediss:// where the server has TLS, redis:// where not"


def check_outages(connection: Connection, settings: Settings) -> list[Finding]:
    """The model servers that jobs wait for: workers cannot use them, even if they answer here."""
    advice = "start it, or let the workers reach it; see `griot status`"
    found = outages_now(connection, Keyspace(settings.memory.key_prefix))
    return [Finding("outage", Level.WARN, one.in_words, advice) for one in found if one.is_away]


def check_workers(app: Celery) -> Finding:
    """How many workers answer, and whether any of them takes chat jobs."""
    try:
        queues = queues_of_workers(app)
    except OperationalError as exc:
        return Finding("workers", Level.WARN, f"cannot be asked: {exc}", "see the broker")
    found = f"{len(queues)} answer"
    names = load_settings().names
    if not any(names.chat in consumed for consumed in queues.values()):
        return Finding("workers", Level.WARN, f"{found}, none takes chat jobs", START)
    if not any(names.maintenance in consumed for consumed in queues.values()):
        advice = "celery -A worker worker -Q maintenance"
        return Finding("workers", Level.WARN, f"{found}, none does maintenance", advice)
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
    """A connection to the broker, whose errors are all kombu's OperationalError.

    It puts no message back that a worker holds, as every consumer of kombu 5.7.0 does otherwise:
    that is workers' business, and their right.
    """
    options = {**app.conf.broker_transport_options, "ack_emulation": False}
    with app.connection_for_write(transport_options=options) as connection:
        connection.ensure_connection(max_retries=1)
        try:
            yield connection
        except (*connection.connection_errors, *connection.channel_errors) as exc:
            raise OperationalError(str(exc)) from exc


def worker_start_checks(connection: Connection) -> None:
    """What a worker asks of Redis before it takes a job.

    Raises ConfigurationError, one line, where it must not start: wrong credentials, missing rights,
    a server that evicts keys or is too old. What is merely unwise is logged, and so is a Redis
    that cannot be reached: a worker waits for it.
    """
    try:
        servers = server_info(connection)
    except MemoryUnavailable as exc:
        logger.warning("the worker starts without Redis and waits for it: %s", exc)
        return
    except MemoryRefused as exc:
        raise ConfigurationError(str(exc)) from exc
    except MemoryServiceError as exc:
        logger.warning("the worker starts although Redis does not answer INFO: %s", exc)
        return
    for server in servers:
        for finding in server_findings(server, connection.label):
            line = f"{finding.check}: {finding.found}; {finding.advice}"
            if finding.level is Level.FAIL:
                raise ConfigurationError(line)
            if finding.level is Level.WARN:
                logger.warning(line)
