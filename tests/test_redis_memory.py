"""The documented memory service, as docs/services.md shows it, on a real server and on fakeredis.

REDIS_URL names the server; without it one is started. Only keys under a prefix of their own are
touched.
"""

import json
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from memory import (
    InvalidInput,
    MemorySettings,
    RedisMemoryService,
    create_redis_memory_from_config,
    get_redis_memory,
    reset_redis_memory,
)
from tests.support.memory_fixtures import (
    Backend,
    backend,
    fake_backend,
    memory_settings,
    real_backend,
    redis_memory,
    redis_url,
)

__all__ = [
    "backend",
    "fake_backend",
    "memory_settings",
    "real_backend",
    "redis_memory",
    "redis_url",
]

HISTORY: list[dict[str, object]] = [
    {"role": "user", "content": "What are ECOWAS energy initiatives?"},
    {"role": "assistant", "content": "ECOWAS has several initiatives..."},
]
MORE = {"role": "user", "content": "Tell me more"}


def test_save_and_get_conversation_history(redis_memory: RedisMemoryService) -> None:
    """What was saved comes back unchanged."""
    assert redis_memory.save_conversation_history(
        agent_id="energy", session_id="user-123-session-1", history=HISTORY, ttl=86400
    )

    assert redis_memory.get_conversation_history("energy", "user-123-session-1") == HISTORY


def test_a_history_that_nobody_wrote_is_empty(redis_memory: RedisMemoryService) -> None:
    """No history and no error."""
    assert redis_memory.get_conversation_history("energy", "nobody") == []


def test_append_keeps_the_last_messages(redis_memory: RedisMemoryService) -> None:
    """`max_history` counts messages, the new one included."""
    redis_memory.save_conversation_history("energy", "s", HISTORY)

    assert redis_memory.append_to_history("energy", "s", MORE, max_history=2)

    assert redis_memory.get_conversation_history("energy", "s") == [HISTORY[1], MORE]


def test_append_begins_a_history(redis_memory: RedisMemoryService) -> None:
    """Appending to nothing is a history of one message."""
    redis_memory.append_to_history("energy", "s", MORE)

    assert redis_memory.get_conversation_history("energy", "s") == [MORE]


def test_clear_removes_one_history_only(redis_memory: RedisMemoryService) -> None:
    """Another session of the agent stays; clearing nothing says False."""
    redis_memory.save_conversation_history("energy", "s", HISTORY)
    redis_memory.save_conversation_history("energy", "t", HISTORY)

    assert redis_memory.clear_conversation_history("energy", "s") is True
    assert redis_memory.clear_conversation_history("energy", "s") is False

    assert redis_memory.get_conversation_history("energy", "s") == []
    assert redis_memory.get_conversation_history("energy", "t") == HISTORY


def test_saving_no_messages_clears(redis_memory: RedisMemoryService) -> None:
    """An empty history is no history."""
    redis_memory.save_conversation_history("energy", "s", HISTORY)
    redis_memory.save_conversation_history("energy", "s", [])

    assert redis_memory.get_conversation_history("energy", "s") == []


def test_agent_state_comes_back(redis_memory: RedisMemoryService) -> None:
    """The state of the documentation's example, and None where there is none."""
    state = {"active_agents": ["energy", "agriculture"], "pending_requests": 3}

    assert redis_memory.get_agent_state("supervisor") is None
    assert redis_memory.save_agent_state("supervisor", state) is True
    assert redis_memory.get_agent_state("supervisor") == state


def test_session_data_comes_back(redis_memory: RedisMemoryService) -> None:
    """Any JSON value, per session and key."""
    data = {"user_id": "user-123", "twg": "energy", "preferences": {"language": "en"}}

    assert redis_memory.set_session_data("session-1", "metadata", data) is True
    assert redis_memory.set_session_data("session-1", "visits", 3) is True

    assert redis_memory.get_session_data("session-1", "metadata") == data
    assert redis_memory.get_session_data("session-1", "visits") == 3
    assert redis_memory.get_session_data("session-2", "metadata") is None


def test_the_keys_have_their_documented_names(
    redis_memory: RedisMemoryService, backend: Backend
) -> None:
    """Others read these keys: names, types and the JSON in them are a contract."""
    redis_memory.save_conversation_history("energy", "s", HISTORY)
    redis_memory.save_agent_state("energy", {"a": 1})
    redis_memory.set_session_data("s", "metadata", {"b": 2})

    look, prefix = backend.observer, backend.prefix
    elements = look.lrange(f"{prefix}:history:energy:s", 0, -1)
    assert [json.loads(element) for element in elements] == HISTORY
    assert json.loads(look.get(f"{prefix}:state:energy") or "") == {"a": 1}
    assert json.loads(look.get(f"{prefix}:session:s:metadata") or "") == {"b": 2}


def test_every_key_has_its_own_ttl(redis_memory: RedisMemoryService, backend: Backend) -> None:
    """The given TTL, or the default of one day."""
    redis_memory.save_conversation_history("energy", "s", HISTORY, ttl=3600)
    redis_memory.save_agent_state("energy", {}, ttl=60)
    redis_memory.set_session_data("s", "metadata", 1)

    left = {key: backend.observer.ttl(f"{backend.prefix}:{key}") for key in TTL_KEYS}
    assert 3590 <= left["history:energy:s"] <= 3600
    assert 50 <= left["state:energy"] <= 60
    assert 86390 <= left["session:s:metadata"] <= 86400


TTL_KEYS = ("history:energy:s", "state:energy", "session:s:metadata")


def test_extend_ttl_lengthens_the_whole_session_and_never_shortens(
    redis_memory: RedisMemoryService, backend: Backend
) -> None:
    """History and session data live longer; a shorter TTL changes nothing; nothing says False."""
    redis_memory.save_conversation_history("energy", "s", HISTORY, ttl=3600)
    redis_memory.set_session_data("s", "metadata", 1, ttl=3600)

    assert redis_memory.extend_ttl("energy", "s", ttl=7200) is True
    assert redis_memory.extend_ttl("energy", "s", ttl=60) is True
    assert redis_memory.extend_ttl("energy", "nobody") is False

    for key in ("history:energy:s", "session:s:metadata"):
        assert 7190 <= backend.observer.ttl(f"{backend.prefix}:{key}") <= 7200


def test_the_sessions_of_an_agent_are_listed_last_used_first(
    redis_memory: RedisMemoryService, backend: Backend
) -> None:
    """Other agents' sessions do not appear."""
    for number, session in enumerate(["a:b", "naïve 😀", "c"]):
        redis_memory.append_to_history("energy", session, MORE)
        # A moment later by the index's own measure.
        backend.observer.zadd(
            f"{backend.prefix}:sessions:energy", {session.encode(): 1000 + number}
        )
    redis_memory.append_to_history("water", "w", MORE)

    assert redis_memory.get_all_sessions_for_agent("energy") == ["c", "naïve 😀", "a:b"]
    assert redis_memory.get_all_sessions_for_agent("nobody") == []


def test_clear_all_agent_data_counts_what_it_deletes(
    redis_memory: RedisMemoryService, backend: Backend
) -> None:
    """Histories and state of the agent go; other agents and session data stay."""
    redis_memory.save_conversation_history("energy", "s", HISTORY)
    redis_memory.save_conversation_history("energy", "t", HISTORY)
    redis_memory.save_agent_state("energy", {})
    redis_memory.save_conversation_history("water", "s", HISTORY)
    redis_memory.set_session_data("s", "metadata", 1)

    assert redis_memory.clear_all_agent_data("energy") == 3
    assert redis_memory.clear_all_agent_data("energy") == 0

    assert redis_memory.get_all_sessions_for_agent("energy") == []
    assert redis_memory.get_agent_state("energy") is None
    assert redis_memory.get_conversation_history("water", "s") == HISTORY
    assert redis_memory.get_session_data("s", "metadata") == 1


def test_memory_statistics_have_the_documented_numbers(real_backend: Backend) -> None:
    """As Redis prints them and as numbers (fakeredis has no INFO)."""
    service = real_backend.service()
    service.append_to_history("energy", "s", MORE)

    stats = service.get_memory_stats()

    assert stats["used_memory"][-1] in "BKMG"
    assert 0 < stats["used_memory_bytes"] <= stats["peak_memory_bytes"]
    assert stats["total_keys"] >= 3
    assert stats["sessions"] == 1
    assert stats["connected_clients"] >= 1
    assert (stats["evicted_keys"], stats["maxmemory_bytes"]) >= (0, 0)


BAD_CALLS: dict[str, Callable[[RedisMemoryService], object]] = {
    "history is a str": lambda m: m.save_conversation_history("a", "s", "no"),  # type: ignore[arg-type]  # a wrong type is meant
    "history is a dict": lambda m: m.save_conversation_history("a", "s", {}),  # type: ignore[arg-type]  # a wrong type is meant
    "message is a str": lambda m: m.append_to_history("a", "s", "no"),  # type: ignore[arg-type]  # a wrong type is meant
    "one bad message of two": lambda m: m.save_conversation_history("a", "s", [MORE, {}]),
    "unknown role": lambda m: m.append_to_history("a", "s", {"role": "robot", "content": ""}),
    "role of a wrong type": lambda m: m.append_to_history("a", "s", {"role": ["user"]}),
    "no role": lambda m: m.append_to_history("a", "s", {"content": "x"}),
    "content of a wrong type": lambda m: m.append_to_history(
        "a", "s", {"role": "user", "content": 1}
    ),
    "not JSON": lambda m: m.append_to_history("a", "s", MORE | {"x": object()}),
    "NaN": lambda m: m.append_to_history("a", "s", MORE | {"x": float("nan")}),
    "a tuple": lambda m: m.set_session_data("s", "k", (1, 2)),
    "a key that is no string": lambda m: m.save_agent_state("a", {"x": {1: 2}}),
    "an integer beyond 64 bits": lambda m: m.set_session_data("s", "k", 2**64),
    "a lone surrogate": lambda m: m.append_to_history(
        "a", "s", {"role": "user", "content": "\ud800"}
    ),
    "too large": lambda m: m.append_to_history(
        "a", "s", {"role": "user", "content": "x" * 1_048_577}
    ),
    "too many messages": lambda m: m.save_conversation_history("a", "s", [MORE] * 1001),
    "ttl 0": lambda m: m.append_to_history("a", "s", MORE, ttl=0),
    "ttl -1": lambda m: m.save_conversation_history("a", "s", [MORE], ttl=-1),
    "ttl of state": lambda m: m.save_agent_state("a", {}, ttl=0),
    "ttl of session data": lambda m: m.set_session_data("s", "k", 1, ttl=0),
    "ttl of extend_ttl": lambda m: m.extend_ttl("a", "s", ttl=0),
    "ttl that is a bool": lambda m: m.append_to_history("a", "s", MORE, ttl=True),
    "ttl that is a str": lambda m: m.append_to_history("a", "s", MORE, ttl="60"),  # type: ignore[arg-type]  # a wrong type is meant
    "ttl beyond all bounds": lambda m: m.append_to_history("a", "s", MORE, ttl=10**12),
    "max_history 0": lambda m: m.append_to_history("a", "s", MORE, max_history=0),
    "max_history -1": lambda m: m.append_to_history("a", "s", MORE, max_history=-1),
    "state is a list": lambda m: m.save_agent_state("a", []),  # type: ignore[arg-type]  # a wrong type is meant
    "empty agent": lambda m: m.get_conversation_history("", "s"),
    "agent is None": lambda m: m.get_agent_state(None),  # type: ignore[arg-type]  # a wrong type is meant
    "session too long": lambda m: m.append_to_history("a", "s" * 513, MORE),
    "session with a lone surrogate": lambda m: m.append_to_history("a", "\udfff", MORE),
    "empty key": lambda m: m.set_session_data("s", "", 1),
}


@pytest.mark.parametrize("call", BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_bad_input_is_refused_before_anything_is_written(
    call: Callable[[RedisMemoryService], object], fake_backend: Backend
) -> None:
    """A clear error, which is also a ValueError, and not one key."""
    with pytest.raises(InvalidInput) as caught:
        call(fake_backend.service())

    assert isinstance(caught.value, ValueError)
    assert str(caught.value)
    assert fake_backend.keys() == []


def test_the_factory_gives_the_same_service_for_the_same_arguments(redis_url: str) -> None:
    """`get_redis_memory` with arguments is a door to that server and to no other."""
    parts = urlsplit(redis_url)
    try:
        first = get_redis_memory(host=parts.hostname, port=parts.port, password=parts.password)
        assert first is get_redis_memory(
            host=parts.hostname, port=parts.port, password=parts.password
        )
        assert first is not get_redis_memory(host="127.0.0.1", port=1)
        assert isinstance(first, RedisMemoryService)
    finally:
        reset_redis_memory()


def test_the_factory_reads_the_settings(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments REDIS_URL says where Redis is; REDIS_MEMORY_TTL is the default TTL."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("REDIS_MEMORY_TTL", "77")
    reset_redis_memory()
    try:
        with create_redis_memory_from_config() as service:
            assert service.health_check() is True
            assert service.default_ttl == 77
        assert get_redis_memory().health_check() is True
        assert get_redis_memory() is get_redis_memory()
    finally:
        reset_redis_memory()


def test_health_check_says_false_where_nothing_listens() -> None:
    """It never raises, and closing twice is fine."""
    service = RedisMemoryService(host="127.0.0.1", port=1)

    assert service.health_check() is False

    service.close()
    service.close()


def test_a_closed_service_opens_again(real_backend: Backend) -> None:
    """A shared service that somebody closed still works."""
    service = real_backend.service()
    assert service.health_check() is True

    service.close()
    service.close()

    assert service.health_check() is True


def test_the_constructor_takes_the_documented_arguments(memory_settings: MemorySettings) -> None:
    """host, port, db, password, default_ttl, by position and by name."""
    by_position = RedisMemoryService("localhost", 6379, 0, None, 86400)
    by_name = RedisMemoryService(host="h", port=1, db=2, password="p", default_ttl=3)  # noqa: S106

    assert (by_position.default_ttl, by_name.default_ttl) == (86400, 3)
    with pytest.raises(InvalidInput):
        RedisMemoryService(port=0)
    with pytest.raises(InvalidInput):
        RedisMemoryService(default_ttl=0)
