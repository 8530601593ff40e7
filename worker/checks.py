"""Whether a chat job would be done here: Redis, broker, results, Ollama, workers.

Each check is a plain function that answers with findings and does not raise; `griot check` shows
them, a starting worker acts on those that `worker_start_checks` looks at.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum

from celery import Celery
from kombu.connection import Connection as BrokerConnection
from kombu.exceptions import OperationalError

from llm import is_installed
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
from worker.model_servers import ModelServer, model_servers
from worker.outages import outages_now

logger = logging.getLogger(__name__)

OLDEST_REDIS = 7  # scripts carry flags (`#!lua flags=…`), which Redis knows since 7.0
USE_NEWER = f"use Redis {OLDEST_REDIS} or newer, or Valkey"
MOST_DAMAGED = 20
CROWDED = 0.8  # of maxmemory
REPLY_TIMEOUT_S = 1.0
MAINTENANCE_QUEUE = "maintenance"
START = "start one with `make up` (or: celery -A worker worker)"


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it where something can be. Holds no secret."""

    check: str
    level: Level
    found: str
    advice: str = ""


def all_findings(app: Celery, connection: Connection, settings: Settings) -> list[Finding]:
    """What every check found. Takes a second or two, more where something does not answer."""
    broker = check_broker(app)
    return [
        check_settings(settings),
        *check_redis(connection),
        *check_keys(connection, settings),
        broker,
        check_results(app),
        *check_ollama(settings),
        *check_outages(connection, settings),
        check_calls(settings),
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
        _judged(
            major.isdecimal() and int(major) >= OLDEST_REDIS,
            Finding("redis", Level.FAIL, f"{server.product} at {label}", USE_NEWER),
        ),
        _judged(
            not server.is_evicting,
            Finding(
                "redis eviction",
                Level.FAIL,
                f"maxmemory-policy {server.eviction_policy or 'unknown'}",
                "Redis may drop waiting jobs: CONFIG SET maxmemory-policy noeviction",
            ),
        ),
        _judged(
            server.is_append_only,
            Finding(
                "redis durability",
                Level.WARN,
                f"append-only file {'on' if server.is_append_only else 'off'}",
                "a crash of Redis loses jobs and histories: CONFIG SET appendonly yes",
            ),
        ),
        _judged(
            server.fill is None or server.fill < CROWDED,
            Finding(
                "redis memory",
                Level.WARN,
                f"{server.used_memory_bytes / 1_000_000:.1f} MB used, {fill}",
                "raise maxmemory, or keep less: REDIS_MEMORY_TTL, HISTORY_MAX_MESSAGES",
            ),
        ),
    ]


def _judged(is_well: bool, trouble: Finding) -> Finding:
    """The finding as it stands if all is not well, else without its level and advice."""
    return replace(trouble, level=Level.OK, advice="") if is_well else trouble


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


def check_ollama(settings: Settings) -> list[Finding]:
    """Whether each Ollama answers, and one of them has every model that an agent may ask for."""
    servers = model_servers(settings.llm)
    answering = [server for server in servers if not server.trouble]
    models = settings.models if answering else ()
    return [*_servers(servers), *(_model(model, answering) for model in models)]


def check_outages(connection: Connection, settings: Settings) -> list[Finding]:
    """The model servers that jobs wait for: workers cannot use them, even if they answer here."""
    advice = "start it, or let the workers reach it; see `griot status`"
    found = outages_now(connection, Keyspace(settings.memory.key_prefix))
    return [Finding("outage", Level.WARN, one.in_words, advice) for one in found if one.is_away]


def check_calls(settings: Settings) -> Finding:
    """Whether jobs that wait for a busy model wait where they can be seen."""
    if not settings.llm.is_bounded:
        advice = "set OLLAMA_NUM_PARALLEL as Ollama has it: jobs then wait in order, and visibly"
        return Finding("model calls", Level.OK, "not bounded: Ollama queues them", advice)
    found = ", ".join(
        f"{settings.llm.parallel_calls(model) or 'any number'} at once for {model}"
        for model in settings.models
    )
    return Finding("model calls", Level.OK, found)


def _servers(servers: Sequence[ModelServer]) -> list[Finding]:
    level, advice = Level.FAIL, f"start it, or set OLLAMA_BASE_URL{OR_TRY}"
    if not all(server.trouble for server in servers):
        level = Level.WARN
        advice = "start it, or take it out of OLLAMA_BASE_URLS; the others do its work"
    return [
        _judged(
            not one.trouble,
            Finding(
                "ollama",
                level,
                one.trouble or f"{one.url}, {len(one.installed)} models",
                advice,
            ),
        )
        for one in servers
    ]


def _model(model: str, servers: Sequence[ModelServer]) -> Finding:
    lacking = [server.url for server in servers if not is_installed(model, server.installed)]
    if not lacking:
        return Finding("model", Level.OK, model)
    if len(lacking) == len(servers):
        advice = f"run `ollama pull {model}`, or set OLLAMA_MODEL"
        return Finding("model", Level.FAIL, f"{model} is not installed", advice)
    found = f"{model} is not installed at {', '.join(lacking)}"
    return Finding("model", Level.WARN, found, f"run `ollama pull {model}` there")


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
