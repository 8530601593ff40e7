"""The whole chat job with encryption at rest and without."""

import base64
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from pydantic import SecretStr

from bench.arena import Arena
from bench.conversation import AGENT, sessions, stored
from bench.meter import Meter
from bench.producing import Producer, producing
from bench.rows import Row, Target, median, shown, spread
from bench.size import Size
from memory import MemorySettings, RedisMemoryService

PREFIX = "encrypted"


@dataclass
class _Side:
    """One of the two deployments on the same server."""

    name: str
    producer: Producer
    meter: Meter
    memory: RedisMemoryService
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def round(self, ids: Sequence[str]) -> None:
        """Send and fetch a job of each session, with its history there."""
        for session in ids:
            self.memory.save_conversation_history(AGENT, session, stored())
        before_s = self.meter.cpu_s()
        seconds = self.producer.burst("chat", ids)
        self.cpu_ms.append((self.meter.cpu_s() - before_s) * 1000 / len(ids))
        self.rates.append(len(ids) / seconds)


def measure(arena: Arena, size: Size) -> list[Row]:
    """Rounds of both, one after the other; ratios of the medians."""
    key = f"bench:{base64.b64encode(os.urandom(32)).decode()}"
    given = {
        "GRIOT_ENCRYPTION_KEYS": key,
        "CELERY_RESULT_ENCRYPTED": "true",
        "REDIS_KEY_PREFIX": PREFIX,
    }
    with ExitStack() as stack:
        plain = stack.enter_context(arena.chat_worker())
        encrypted = stack.enter_context(arena.griot.worker(name=PREFIX, **given))
        env = {**arena.griot.env, **given}
        producer = stack.enter_context(producing(arena.brokers, env, arena.directory))
        sides = (
            _Side("plain", arena.producer, arena.meter(plain), _memory(stack, arena, {})),
            _Side(PREFIX, producer, arena.meter(encrypted), _memory(stack, arena, given)),
        )
        for side in sides:
            side.producer.burst("chat", sessions(arena.new_run(), size.throughput_jobs))
        for number in range(size.rounds):
            for side in sides:
                side.round(sessions(arena.new_run(), size.throughput_jobs))
                arena.model.reset()
            rates = ", ".join(f"{one.name} {shown(one.rates[-1])}" for one in sides)
            arena.say(f"encryption {number + 1}/{size.rounds}: {rates} jobs/s")
    return _rows(*sides)


def _memory(stack: ExitStack, arena: Arena, given: Mapping[str, str]) -> RedisMemoryService:
    key = given.get("GRIOT_ENCRYPTION_KEYS")
    settings = MemorySettings(
        url=SecretStr(arena.valkey.url(0)),
        key_prefix=given.get("REDIS_KEY_PREFIX", arena.keyspace.prefix),
        encryption_keys=None if key is None else SecretStr(key),
    )
    return stack.enter_context(closing(RedisMemoryService.from_settings(settings)))


def _rows(plain: _Side, encrypted: _Side) -> list[Row]:
    name = "encryption"
    rates = [median(one.rates) for one in (encrypted, plain)]
    cpu = [median(one.cpu_ms) for one in (encrypted, plain)]
    behind = ", ".join(
        f"{one.name} {shown(median(one.rates))} jobs/s ({spread(one.rates)})"
        for one in (encrypted, plain)
    )
    used = f"{shown(cpu[0])} ms, plain {shown(cpu[1])} ms"
    return [
        Row(
            name,
            "chat job encrypted / plain, jobs per second",
            rates[0] / rates[1],
            "x",
            Target(0.6, 0.8, at_least=True),
            behind,
        ),
        Row(name, "worker CPU of a job, encrypted / plain", cpu[0] / cpu[1], "x", None, used),
    ]
