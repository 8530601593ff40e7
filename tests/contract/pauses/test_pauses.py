"""What is paused, in Redis and as a worker's process knows it."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from llm import Fleet, LLMSettings
from memory import AsyncConnection, Command, Keyspace, Outage
from memory.pauses import pauses
from memory.pauses.pauses import MAX_PAUSES, UNREADABLE, Pause, PauseKind, PauseTarget
from memory.redis.connection import Connection
from memory.redis.replies import pairs
from memory.upkeep.reencryption import reencrypt
from sandbox.ollama import OllamaStandIn
from tasks.process.waiting.outages import Outages
from tests.support.encryption import keyring_of
from tests.support.mailbox.server_clock import ClockedConnection
from tests.support.memory_fixtures import Backend
from tests.support.metrics.shown import own_text, total
from tests.support.waiting import eventually

NOW_MS = 1_800_000_000_000
ALL = PauseTarget(PauseKind.ALL)
AGENT = PauseTarget(PauseKind.AGENT, "energy")
LATE = b"9" * 5000 + b" 0 "


class Rig:
    """Pauses by a clock that only the test moves."""

    def __init__(self, backend: Backend) -> None:
        self.now_ms = NOW_MS
        self.keyspace = Keyspace(backend.prefix)
        self.connection: Connection = ClockedConnection(backend.connection, lambda: self.now_ms)

    def pause(self, target: PauseTarget, reason: str = "", for_ms: int = 0) -> Pause | None:
        """Pause it."""
        command = pauses.pause(self.keyspace, target, reason, for_ms=for_ms)
        return self.connection.run(command)

    def every(self) -> list[Pause]:
        """All that are kept."""
        return self.connection.run(pauses.every(self.keyspace))


@pytest.fixture
def rig(backend: Backend) -> Rig:
    """On the real and on the fake Redis in turn."""
    return Rig(backend)


def test_a_pause_is_kept_until_it_is_resumed(rig: Rig) -> None:
    """With its beginning, its end and its reason; resuming tells whether there was one."""
    made = rig.pause(AGENT, "wrong prices; é", 5000)
    assert made == Pause(AGENT, NOW_MS, NOW_MS + 5000, "wrong prices; é")
    assert rig.every() == [made]
    assert rig.connection.run(pauses.resume(rig.keyspace, AGENT))
    assert not rig.connection.run(pauses.resume(rig.keyspace, AGENT))
    assert rig.every() == []


def test_paused_again_it_keeps_its_beginning(rig: Rig) -> None:
    """And has the new end and reason."""
    rig.pause(ALL, "one", 5000)
    rig.now_ms += 1000
    assert rig.pause(ALL, "two") == Pause(ALL, NOW_MS, None, "two")
    assert len(rig.every()) == 1


def test_one_that_has_ended_is_over_and_goes_with_the_next(rig: Rig) -> None:
    """Nobody has to take it away; paused again later it begins then."""
    (made, _) = rig.pause(AGENT, "", 5000), rig.pause(ALL)
    assert made is not None
    assert not made.is_over(NOW_MS + 4999)
    assert made.is_over(NOW_MS + 5000)
    rig.now_ms += 5000
    assert rig.pause(AGENT) == Pause(AGENT, NOW_MS + 5000, None, "")
    rig.pause(AGENT, "", 1)
    rig.now_ms += 1
    rig.pause(ALL)
    assert [one.target for one in rig.every()] == [ALL]


def test_there_is_a_bound(rig: Rig) -> None:
    """What is paused already may be paused anew; another may not."""
    for number in range(MAX_PAUSES):
        assert rig.pause(PauseTarget(PauseKind.AGENT, f"a{number}"))
    assert rig.pause(ALL) is None
    assert rig.pause(PauseTarget(PauseKind.AGENT, "a7"), "again") is not None


def test_what_another_program_wrote_is_no_pause(rig: Rig) -> None:
    """It is passed over, and stays."""
    rig.pause(ALL)
    odd = (("session x", b"1 0 "), ("agent x", b"soon"), ("agent y", b""), ("agent z", LATE))
    for field, value in odd:
        rig.connection.run(Command(int, ("HSET", rig.keyspace.pauses, field, value)))
    assert [one.target for one in rig.every()] == [ALL]


def test_a_reason_is_encrypted_and_encrypted_anew(backend: Backend, rig: Rig) -> None:
    """As all words; a process without the key sees the pause, and not why."""
    rig.keyspace = replace(rig.keyspace, keyring=keyring_of("a"))
    rig.pause(AGENT, "canary")
    stored = rig.connection.run(Command(pairs, ("HGETALL", rig.keyspace.pauses)))
    assert b"canary" not in repr(stored).encode()
    rig.keyspace = replace(rig.keyspace, keyring=keyring_of("b", "a"))
    *_, done = reencrypt(backend.connection, rig.keyspace)
    assert done.written == 1
    rig.keyspace = replace(rig.keyspace, keyring=keyring_of("b"))
    assert [one.reason for one in rig.every()] == ["canary"]
    rig.keyspace = replace(rig.keyspace, keyring=keyring_of("a"))
    assert [(one.target, one.reason) for one in rig.every()] == [(AGENT, UNREADABLE)]


def test_a_reason_of_a_newer_griot_hides_no_pause(rig: Rig) -> None:
    """Nor does one that only begins as a record does: all pauses are read at once."""
    rig.pause(ALL, "\x1e7: why ")
    assert [one.reason for one in rig.every()] == ["7: why"]
    newer = f"{NOW_MS} 0 ".encode() + b"\x1e7:words"
    rig.connection.run(Command(int, ("HSET", rig.keyspace.pauses, str(AGENT), newer)))
    assert {(one.target, one.reason) for one in rig.every()} == {
        (ALL, "7: why"),
        (AGENT, UNREADABLE),
    }


# ---- as a worker's process knows it


@pytest.fixture
async def memory(real_backend: Backend) -> AsyncIterator[AsyncConnection]:
    """The loop's connection."""
    connection = AsyncConnection(real_backend.settings)
    yield connection
    await connection.aclose()


async def outages_at(memory: AsyncConnection, backend: Backend, fleet: Fleet) -> Outages:
    """Those of a process that has read the pauses."""
    outages = Outages(memory, Keyspace(backend.prefix), fleet)
    await outages.pauses.read()
    return outages


async def test_a_job_waits_for_the_widest_pause(
    memory: AsyncConnection, real_backend: Backend, ollama: OllamaStandIn
) -> None:
    """All before its agent before its model, whose names are compared as Ollama does; counted."""
    keyspace = Keyspace(real_backend.prefix)
    model = PauseTarget(PauseKind.MODEL, "instant:latest")
    async with Fleet.from_settings(LLMSettings(base_url=ollama.url), max_connections=2) as fleet:
        outages = await outages_at(memory, real_backend, fleet)
        assert await outages.paused("energy", "instant") is None
        for target in (model, AGENT, ALL):
            await memory.run(pauses.pause(keyspace, target, ""))
            await outages.pauses.read()
            found = await outages.paused("energy", "library/Instant")
            assert found is not None
            assert found[0].target == target
            assert found[1] == [Outage.of_pause(keyspace, str(target))]
            assert total(own_text(), "griot_pauses", kind=target.kind.value) >= 1
        await memory.run(pauses.resume(keyspace, ALL))
        await outages.pauses.read()
        assert await outages.paused("other", "other") is None
        assert await outages.paused("x" * 512, "other") is None, "an id that nobody could pause"
        assert await outages.paused("energy ", "other") is None, "another agent"


async def test_a_paused_server_gets_no_call_while_another_has_the_model(
    memory: AsyncConnection, real_backend: Backend, ollama: OllamaStandIn
) -> None:
    """Only where every one is paused, a job waits; and for each of them."""
    keyspace = Keyspace(real_backend.prefix)
    with OllamaStandIn() as other:
        settings = LLMSettings(base_urls=(ollama.url, other.url))
        servers = [PauseTarget(PauseKind.SERVER, url) for url in (ollama.url, other.url)]
        async with Fleet.from_settings(settings, max_connections=2) as fleet:
            outages = await outages_at(memory, real_backend, fleet)
            await memory.run(pauses.pause(keyspace, servers[0], ""))
            await outages.pauses.read()
            assert await outages.paused("energy", "instant") is None
            for number in range(10):
                assert await fleet.ranked("instant", f"s{number}") == (other.url,)
            await memory.run(pauses.pause(keyspace, servers[1], ""))
            await outages.pauses.read()
            found = await outages.paused("energy", "instant")
            assert found is not None
            assert {outage.name for outage in found[1]} == {f"paused {one}" for one in servers}
            assert set(await fleet.ranked("instant", "s")) == {ollama.url, other.url}, (
                "a turn that runs goes on"
            )
            await memory.run(pauses.resume(keyspace, servers[0]))
            await outages.pauses.read()
            assert await fleet.ranked("instant", "s") == (ollama.url,)


async def test_a_pause_ends_though_nobody_reads_it_again(
    memory: AsyncConnection, real_backend: Backend, ollama: OllamaStandIn
) -> None:
    """By the clock of Redis, as far as the process knows it."""
    async with Fleet.from_settings(LLMSettings(base_url=ollama.url), max_connections=2) as fleet:
        outages = await outages_at(memory, real_backend, fleet)
        await memory.run(pauses.pause(Keyspace(real_backend.prefix), ALL, "", for_ms=2000))
        await outages.pauses.read()
        assert outages.pauses.is_any
        await eventually(lambda: not outages.pauses.is_any, what="it has ended")
        assert await outages.paused("a", "b") is None
