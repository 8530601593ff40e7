"""Whether a chat job would be done here: Redis, broker, results, Ollama, workers.

Each check is a plain function that answers with findings and does not raise; `griot check` shows
them, a starting worker acts on those that `worker_start_checks` looks at.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from celery import Celery
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
from memory.redis.server_info import ServerInfo, server_info
from tasks.errors import ConfigurationError
from tasks.process.configuration import Settings
from tasks.process.wakeup import CHAT_QUEUE
from worker.extras import OR_TRY
from worker.findings import Finding, Level, judged
from worker.model_checks import check_models

logger = logging.getLogger(__name__)

OLDEST_REDIS = 7  # scripts carry flags (`#!lua flags=…`), which Redis knows since 7.0
USE_NEWER = f"use Redis {OLDEST_REDIS} or newer, or Valkey"
MOST_DAMAGED = 20
CROWDED = 0.8  # of maxmemory
REPLY_TIMEOUT_S = 1.0
MAINTENANCE_QUEUE = "maintenance"
START = "start one with `make up` (or: celery -A worker worker)"


def all_findings(app: Celery, connection: Connection, settings: Settings) -> list[Finding]:
    """What every check found. Takes a second or two, more where something does not answer."""
    broker = check_broker(app)
    return [
        check_settings(settings),
        *check_redis(connection),
        *check_keys(connection, settings),
        broker,
        check_results(app),
        *check_models(settings),
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
    major = server.version.partition(".")[0]
    fill = "no maxmemory" if server.fill is None else f"{server.fill:.0%} of maxmemory"
    return [
        judged(
            major.isdecimal() and int(major) >= OLDEST_REDIS,
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
            return Finding("broker", Level.FAIL, f"{where}: {exc}", "check CELERY_BROKER_URL")
    return Finding("broker", Level.OK, where)


def check_results(app: Celery) -> Finding:
    """Whether Celery's result backend can be reached."""
    where = app.backend.as_uri()
    try:
        app.backend.get_state("griot-check")
    except (*app.backend.connection_errors, *app.backend.channel_errors) as exc:
        return Finding("results", Level.FAIL, f"{where}: {exc}", "check CELERY_RESULT_BACKEND")
    return Finding("results", Level.OK, where)


def check_workers(app: Celery) -> Finding:
    """How many workers answer, and whether any of them takes chat jobs."""
    try:
        queues = queues_of_workers(app)
    except OperationalError as exc:
        return Finding("workers", Level.WARN, f"cannot be asked: {exc}", "see the broker")
    found = f"{len(queues)} answer"
    if not any(CHAT_QUEUE in consumed for consumed in queues.values()):
        return Finding("workers", Level.WARN, f"{found}, none takes chat jobs", START)
    if not any(MAINTENANCE_QUEUE in consumed for consumed in queues.values()):
        advice = f"celery -A worker worker -Q {MAINTENANCE_QUEUE}"
        return Finding("workers", Level.WARN, f"{found}, none does maintenance", advice)
    return Finding("workers", Level.OK, found)


def queues_of_workers(app: Celery) -> Mapping[str, frozenset[str]]:
    """The queues of each worker that answers within REPLY_TIMEOUT_S; takes that long.

    Raises kombu's OperationalError if the broker cannot be reached.
    """
    with broker_connection(app) as connection:
        inspect = app.control.inspect(timeout=REPLY_TIMEOUT_S, connection=connection)
        replies = inspect.active_queues()
    return {
        worker: frozenset(queue["name"] for queue in queues)
        for worker, queues in sorted((replies or {}).items())
    }


@contextmanager
def broker_connection(app: Celery) -> Iterator[BrokerConnection]:
    """A connection to the broker, whose errors are all kombu's OperationalError."""
    with app.connection_for_write() as connection:
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
