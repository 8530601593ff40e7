"""The whole documented service on a real Redis Cluster, unchanged."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from memory import (
    AsyncConnection,
    Command,
    CommitOutcome,
    Connection,
    Keyspace,
    Mailbox,
    MemorySettings,
    RedisMemoryService,
    Slots,
    SweepOutcome,
)
from memory.slots import slots
from memory.upkeep.housekeeping import Housekeeping
from memory.upkeep.reencryption import reencrypt
from sandbox.cluster import ValkeyCluster
from tests.support.encryption import key_of, keyspace_of
from tests.support.mailbox.rig import done_event
from tests.support.slots.rig import OTHER, SERVER, SlotRig

MESSAGES = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
SESSIONS = [f"session-{number}" for number in range(30)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ValkeyCluster]:
    """Three masters."""
    cluster = ValkeyCluster().start()
    yield cluster
    cluster.close()


@pytest.fixture
def service(cluster: ValkeyCluster) -> Iterator[RedisMemoryService]:
    """The service, told nothing but the mode and one node."""
    for node in cluster.nodes:
        node.command("FLUSHALL")
    with RedisMemoryService(settings=cluster_settings(cluster)) as service:
        yield service


def test_histories_live_on_all_nodes(service: RedisMemoryService) -> None:
    """Saved, appended, read, extended, cleared."""
    for session in SESSIONS:
        service.save_conversation_history("a", session, MESSAGES)
        service.append_to_history("a", session, MESSAGES[0], max_history=2)

    for session in SESSIONS:
        assert service.get_conversation_history("a", session) == [MESSAGES[1], MESSAGES[0]]
        assert service.extend_ttl("a", session) is True
        assert service.clear_conversation_history("a", session) is True


def test_sessions_are_listed_and_erased(service: RedisMemoryService) -> None:
    """Across the nodes, and the state with them."""
    for session in SESSIONS:
        service.append_to_history("a", session, MESSAGES[0])
    service.save_agent_state("a", {"x": 1})

    assert sorted(service.get_all_sessions_for_agent("a")) == sorted(SESSIONS)
    assert service.clear_all_agent_data("a") == len(SESSIONS) + 1
    assert service.get_all_sessions_for_agent("a") == []


def test_keys_are_changed_on_all_nodes(service: RedisMemoryService, cluster: ValkeyCluster) -> None:
    """Each node is scanned to its own end."""
    for session in SESSIONS:
        service.append_to_history("a", session, MESSAGES[0])
    for number in range(2000):
        service.connection.run(Command(bool, ("SET", f"other:{number}", 1)))
    keyspace = keyspace_of("ecowas", "k1")
    *_, done = reencrypt(service.connection, keyspace)
    assert (done.written, done.is_done) == (len(SESSIONS), True)
    settings = cluster_settings(cluster).model_copy(
        update={"encryption_keys": SecretStr(key_of("k1"))}
    )
    with RedisMemoryService(settings=settings) as reader:
        assert all(
            reader.get_conversation_history("a", session) == [MESSAGES[0]] for session in SESSIONS
        )


def test_state_and_session_data_come_back(service: RedisMemoryService) -> None:
    """Keys and their index may lie on different nodes."""
    service.save_agent_state("a", {"x": 1})
    service.set_session_data("s", "k", [1, 2])

    assert service.get_agent_state("a") == {"x": 1}
    assert service.get_session_data("s", "k") == [1, 2]
    assert service.extend_ttl("a", "s") is True


def test_statistics_are_summed_over_the_nodes(
    service: RedisMemoryService, cluster: ValkeyCluster
) -> None:
    """Every key is counted once."""
    for session in SESSIONS:
        service.append_to_history("a", session, MESSAGES[0])

    stats = service.get_memory_stats()

    on_nodes = [node.command("DBSIZE") for node in cluster.nodes]
    assert stats["total_keys"] == sum(int(str(keys)) for keys in on_nodes)
    assert stats["sessions"] == len(SESSIONS)


def test_maintenance_works(service: RedisMemoryService) -> None:
    """Extension, cleanup and statistics."""
    for session in SESSIONS:
        service.append_to_history("a", session, MESSAGES[0])
    housekeeping = Housekeeping(service.connection, service.keyspace)

    assert housekeeping.extend_active(window_s=60, ttl_s=100_000).sessions == len(SESSIONS)
    assert housekeeping.clean_stale(idle_s=0, ttl_of=lambda agent: 10**9).deleted == len(SESSIONS)
    housekeeping.record_stats()
    assert len(housekeeping.read_stats()) == 1
    assert service.get_all_sessions_for_agent("a") == []


def test_slots_of_models_are_given_on_every_node(cluster: ValkeyCluster) -> None:
    """Each model's keys lie on one node, the lists of what to look at on others."""
    settings = cluster_settings(cluster)
    for number in range(12):
        rig = SlotRig(Connection(settings), Keyspace(), 1, f"model:{number}", (SERVER, OTHER))
        # A node that does not know the first of two scripts is sent both once more: who was called
        # by the first try would be named only after a while.
        rig.grant_next()
        assert [rig.take_at(name) for name in ("a/1", "a/2", "a/3")] == [SERVER, OTHER, None]
        rig.wait("a/3", 3)
        rig.wait("b/1", 4)
        assert rig.release("a/2") == ["a/3"]
        assert rig.take_at("a/3") == OTHER
        assert rig.renew("a/1")
        assert sum(rig.occupancy().waiting.values()) == 1


async def test_a_turn_ends_and_leaves_its_slot_on_a_cluster(cluster: ValkeyCluster) -> None:
    """Mailbox and places lie on different nodes; who is next is told all the same."""
    memory, keyspace = AsyncConnection(cluster_settings(cluster)), Keyspace(is_cluster=True)
    at = Slots(keyspace, "some:model", (SERVER,), 1)
    for number in range(6):
        mine, other = (Mailbox.of(keyspace, "a", f"{name}-{number}") for name in ("mine", "other"))
        times = {"lease_ms": 30_000, "grace_ms": 5000}
        await memory.run_last(*mine.enqueue("job", b"{}", cap=9, grace_ms=5000))
        await memory.run_last(
            *mine.acquire("job", "token", history_n=9, max_attempts=5, ttl_s=60, **times)
        )
        last_turn_us, server = await memory.run_all(
            slots.last_turn_us(mine.keys), at.take(mine.keys, "token", lease_ms=30_000)
        )
        assert (last_turn_us, server) == (0, SERVER)
        await memory.run_last(at.note_waiting(), at.wait(other.keys, arrived_us=number))
        *_, commit = mine.commit(
            "token", "job", [b"{}"], event=done_event("job"), keep=9, ttl_s=60, grace_ms=5000
        )
        called, committed = await memory.run_last_two(
            at.release("token", took_ms=5), at.grant_next(reserve_ms=5000), commit
        )
        assert called == [other.keys]
        assert committed.outcome is CommitOutcome.OK
        *_, swept = await memory.run_all(*slots.wake_waiting(other, grace_ms=5000))
        assert swept.outcome is SweepOutcome.IDLE
        assert await memory.run_last(at.unreserve(other.keys), at.grant_next(reserve_ms=5000)) == []
    await memory.aclose()


def cluster_settings(cluster: ValkeyCluster) -> MemorySettings:
    """How the three are reached."""
    url = cluster.url.removesuffix("/0")
    return MemorySettings(url=SecretStr(url), mode="cluster", timeout_s=2)


def test_the_service_is_well(service: RedisMemoryService) -> None:
    """Also after it was closed."""
    assert service.health_check() is True
    service.close()
    assert service.health_check() is True


def test_a_cluster_that_is_not_there_is_unavailable() -> None:
    """Said by the health check, without an exception."""
    settings = MemorySettings(url=SecretStr("redis://127.0.0.1:1"), mode="cluster", timeout_s=1)
    with RedisMemoryService(settings=settings) as service:
        assert service.health_check() is False
