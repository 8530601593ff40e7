"""Whether Griot may do at Redis what it will do: each kind of thing is done once, on keys and
channels that are its own and hold nothing.

An ACL is a text that only Redis understands, and servers that others run lack commands: so it is
tried. docs/operations.md, "Rights", has what an operator grants.
"""

# mypy: allow-untyped-calls
# Kombu says it is typed, but its channels are not.

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import redis
from celery import Celery
from celery.backends.redis import RedisBackend
from kombu.exceptions import OperationalError

from memory import Command, Connection, Keyspace, MemoryServiceError, MemoryUnavailable
from memory.redis.server_info import OLDEST_REDIS, ServerInfo, server_of
from tasks.process.configuration import Settings
from worker.broker.unacked import reason
from worker.checks.findings import Finding, Level

Deed = tuple[str, Callable[[redis.Redis], object]]

MEMORY_SCRIPT = """#!lua
local key = KEYS[1]
redis.call('SET', key, '1', 'PX', 5000)
redis.call('GETRANGE', key, 0, 0)
redis.call('UNLINK', key)
redis.call('HSET', key, 'a', '1')
redis.call('HINCRBY', key, 'a', 1)
redis.call('UNLINK', key)
redis.call('ZADD', key, 1, 'a')
redis.call('ZRANGEBYSCORE', key, 0, 1)
redis.call('UNLINK', key)
redis.call('RPUSH', key, 'a')
redis.call('LTRIM', key, -1, -1)
redis.call('UNLINK', key)
redis.call('XADD', key, '*', 'a', '1')
redis.call('PEXPIRE', key, 5000)
redis.call('UNLINK', key)
redis.call('TIME')
return redis.call('TYPE', key)
"""
"""A command of each kind that the memory's scripts use, on one key that is gone afterwards."""

GRANT = 'grant it to this user: docs/operations.md, "Rights"'
USE_NEWER = f"use Redis {OLDEST_REDIS} or newer, or Valkey"
SEE_SERVER = "see the server's log, and its maxclients"
SOON_S = 0.01


def check_memory_rights(connection: Connection, settings: Settings) -> list[Finding]:
    """Whether scripts, blocking reads and streams work under the key prefix."""
    keyspace = Keyspace(settings.memory.key_prefix)
    key = keyspace.upkeep("check")
    deeds = {
        "scripts and their commands": ("EVAL", MEMORY_SCRIPT, 1, key),
        "XREAD": ("XREAD", "COUNT", 1, "BLOCK", 1, "STREAMS", keyspace.cancellations, "$"),
    }
    for name, parts in deeds.items():
        try:
            connection.run(Command(bool, parts))
        except MemoryUnavailable:
            return []  # `check_redis` says why
        except MemoryServiceError as exc:
            return [Finding("redis rights", Level.FAIL, f"{name}: {exc}", GRANT)]
    return [Finding("redis rights", Level.OK, f"{', '.join(deeds)} work")]


def check_broker_rights(app: Celery, settings: Settings) -> list[Finding]:
    """The same for a broker that is a Redis; what it is set up to do; none for another one."""
    with app.connection_for_read() as connection:
        if connection.transport.driver_type != "redis":
            return []
        try:
            channel = connection.default_channel
        except OperationalError as exc:
            return [Finding("broker rights", Level.FAIL, f"no channel: {exc}", SEE_SERVER)]
        fanout = f"{channel.keyprefix_fanout}{settings.names.prefix}celery.pidbox"
        deeds = _broker_deeds(settings, fanout)
        found = _done("broker rights", channel.client, deeds)
        return [*found, *_server_findings("broker", channel.client)]


def check_result_rights(app: Celery) -> list[Finding]:
    """The same for the results."""
    backend = app.backend
    if not isinstance(backend, RedisBackend):
        return []
    key = str(backend.get_key_for_task("griot-check"), "utf-8")
    found = _done("results rights", backend.client, _result_deeds(key))
    return [*found, *_server_findings("results", backend.client)]


def _broker_deeds(settings: Settings, fanout: str) -> Sequence[Deed]:
    prefix, names = settings.names.prefix, settings.names
    queue, unacked = f"{names.chat}.check", f"{prefix}unacked.check"
    return (
        ("BLMPOP", lambda to: to.execute_command("BLMPOP", SOON_S, 1, queue, "RIGHT")),
        ("lists", lambda to: (to.lpush(queue, b""), to.llen(queue), to.delete(queue))),
        ("transactions", lambda to: _note(to, unacked)),
        ("scripts", lambda to: to.eval("return redis.call('TIME')", 0)),
        # A PUBLISH there reaches workers: asking them (`check_workers`) shows whether it may be.
        ("PSUBSCRIBE", lambda to: _listen(to, lambda ear: ear.psubscribe(fanout))),
    )


def _result_deeds(key: str) -> Sequence[Deed]:
    return (
        ("SETEX", lambda to: to.setex(key, 5, b"")),
        ("GET", lambda to: (to.get(key), to.mget(key), to.delete(key))),
        ("PUBLISH", lambda to: to.publish(key, b"")),
        ("SUBSCRIBE", lambda to: _listen(to, lambda ear: ear.subscribe(key))),
    )


def _note(to: redis.Redis, key: str) -> None:
    """What kombu does with a message that is not acknowledged yet."""
    with to.pipeline() as pipe:
        pipe.zadd(f"{key}_index", {"tag": 1})
        pipe.hset(key, "tag", "")
        pipe.zrem(f"{key}_index", "tag")
        pipe.hdel(key, "tag")
        pipe.execute()


def _listen(to: redis.Redis, subscribe: Callable[[redis.client.PubSub], object]) -> None:
    with closing(to.pubsub()) as ear:
        subscribe(ear)
        ear.get_message(timeout=1.0)  # the answer, which may be a refusal


def _done(check: str, client: redis.Redis, deeds: Sequence[Deed]) -> list[Finding]:
    refused = []
    for name, do in deeds:
        try:
            do(client)
        except redis.ResponseError as exc:
            refused.append(Finding(check, Level.FAIL, f"{name} is refused: {reason(exc)}", GRANT))
        except redis.RedisError as exc:
            return [Finding(check, Level.FAIL, f"{name} fails: {exc}", SEE_SERVER)]
    works = f"{', '.join(name for name, _ in deeds)} work"
    return refused or [Finding(check, Level.OK, works)]


def _server_findings(name: str, client: redis.Redis) -> Iterator[Finding]:
    """What another server than the memory's is set up to do; of the memory's own it is known."""
    try:
        fields = {key: str(value) for key, value in client.info().items()}
    except redis.ResponseError as exc:
        yield Finding(name, Level.WARN, f"INFO is refused: {reason(exc)}", GRANT)
        return
    server: ServerInfo = server_of(fields)
    if not server.is_new_enough:
        yield Finding(name, Level.FAIL, server.product, USE_NEWER)
    if server.is_evicting:
        yield Finding(
            name,
            Level.WARN,
            f"maxmemory-policy {server.eviction_policy or 'unknown'}",
            "it may drop messages or results: CONFIG SET maxmemory-policy noeviction",
        )
