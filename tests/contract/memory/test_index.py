"""The index of sessions, which heals itself and never scans the database."""

from memory import RedisMemoryService, index
from memory.records.index import Entry
from tests.support.memory_fixtures import Backend

MESSAGE = {"role": "user", "content": "x"}
LONG_AGO_MS = 1_000_000


def _seed(backend: Backend, sessions: int, *, with_history: bool, at_ms: int = LONG_AGO_MS) -> None:
    keyspace = backend.service().keyspace
    pipe = backend.observer.pipeline(transaction=False)
    for number in range(sessions):
        pipe.zadd(keyspace.sessions("a"), {f"s{number}": at_ms})
        if with_history:
            pipe.rpush(keyspace.session("a", f"s{number}").history, b'{"role":"user"}')
            pipe.expire(keyspace.session("a", f"s{number}").history, 60)
    pipe.execute()


def test_sessions_whose_keys_expired_leave_the_list_and_the_index(
    redis_memory: RedisMemoryService, backend: Backend
) -> None:
    """A listing shows what is there, and drops what is not."""
    _seed(backend, 3, with_history=False)
    redis_memory.append_to_history("a", "alive", MESSAGE)

    assert redis_memory.get_all_sessions_for_agent("a") == ["alive"]
    assert backend.observer.zrange(redis_memory.keyspace.sessions("a"), 0, -1) == [b"alive"]


def test_a_session_that_only_has_jobs_waiting_is_listed(
    redis_memory: RedisMemoryService, backend: Backend
) -> None:
    """Its first turn has not been committed yet."""
    _seed(backend, 1, with_history=False)
    queue = redis_memory.keyspace.session("a", "s0").queue
    backend.observer.zadd(queue, {"job": 1})

    assert redis_memory.get_all_sessions_for_agent("a") == ["s0"]
    backend.observer.unlink(queue)


def test_more_sessions_than_a_page_are_all_listed_once(
    redis_memory: RedisMemoryService, backend: Backend
) -> None:
    """Also when all of them were active in the same millisecond."""
    _seed(backend, 1203, with_history=True)

    sessions = redis_memory.get_all_sessions_for_agent("a")

    assert len(sessions) == 1203
    assert set(sessions) == {f"s{number}" for number in range(1203)}


def test_a_session_that_is_used_meanwhile_is_not_dropped(backend: Backend) -> None:
    """An entry is removed only while its score is the one that was read."""
    key = backend.service().keyspace.sessions("a")
    backend.observer.zadd(key, {"used": 2, "unused": 1})

    gone = backend.connection.run(index.forget(key, [Entry("used", 1), Entry("unused", 1)]))

    assert gone == 1
    assert backend.observer.zrange(key, 0, -1) == [b"used"]


def test_a_session_that_has_just_been_written_is_not_dropped(
    redis_memory: RedisMemoryService, backend: Backend
) -> None:
    """Its history may be gone already, but somebody may be about to write it again."""
    redis_memory.append_to_history("a", "s", MESSAGE)
    redis_memory.clear_conversation_history("a", "s")

    assert redis_memory.get_all_sessions_for_agent("a") == []
    assert backend.observer.zcard(redis_memory.keyspace.sessions("a")) == 1


def test_reading_does_not_write_the_index(
    redis_memory: RedisMemoryService, backend: Backend
) -> None:
    """Only writes and extensions count as use."""
    redis_memory.get_conversation_history("a", "s")
    redis_memory.get_agent_state("a")
    redis_memory.extend_ttl("a", "s")

    assert backend.keys() == []


def test_ids_come_back_as_they_were(redis_memory: RedisMemoryService) -> None:
    """Keys hold encoded ids; the index holds the ids themselves."""
    ids = ["a:b", "{s}", "*?[", "línea\nbreak", "\x00", "%41", "e\u0301", "\u00e9"]
    for session in ids:
        redis_memory.append_to_history("agent:x", session, MESSAGE | {"content": session})

    assert sorted(redis_memory.get_all_sessions_for_agent("agent:x")) == sorted(ids)
    for session in ids:
        [message] = redis_memory.get_conversation_history("agent:x", session)
        assert message["content"] == session


def test_a_glob_in_an_agent_id_reaches_no_other_agent(redis_memory: RedisMemoryService) -> None:
    """`*` is an agent like any other."""
    redis_memory.append_to_history("energy", "s", MESSAGE)

    assert redis_memory.clear_all_agent_data("*") == 0
    assert redis_memory.get_all_sessions_for_agent("*") == []
    assert redis_memory.get_all_sessions_for_agent("energy") == ["s"]


def test_erasing_an_agent_forgets_it(redis_memory: RedisMemoryService, backend: Backend) -> None:
    """Neither its sessions nor its name stay in an index; it may begin anew."""
    redis_memory.append_to_history("a", "s", MESSAGE)
    redis_memory.clear_all_agent_data("a")
    for listed in (redis_memory.keyspace.agents, redis_memory.keyspace.sessions("a")):
        assert backend.observer.zrange(listed, 0, -1) == []

    redis_memory.append_to_history("a", "t", MESSAGE)
    assert redis_memory.get_all_sessions_for_agent("a") == ["t"]


def test_erasing_agents_takes_a_sessions_data_with_the_last_that_has_it(
    redis_memory: RedisMemoryService,
) -> None:
    """Another agent may still use it until then."""
    for agent in ("a", "b"):
        redis_memory.append_to_history(agent, "s", {"role": "user", "content": "x"})
    redis_memory.set_session_data("s", "k", "somebody's words")
    redis_memory.clear_all_agent_data("a")
    assert redis_memory.get_session_data("s", "k") == "somebody's words"
    redis_memory.clear_all_agent_data("b")
    assert redis_memory.get_session_data("s", "k") is None
