"""One damaged key delays no other session's maintenance, and is named in the log."""

import logging
from collections.abc import Callable
from dataclasses import fields

import pytest

from memory import Keyspace, Mailbox, SessionKeys
from memory.upkeep.housekeeping import Housekeeping
from tests.support.memory_fixtures import Backend

MESSAGE = {"role": "user", "content": "x"}
LONG_AGO_MS = 1_000_000
NO_KEYS = {"agent_id", "session_id", "cipher", "is_archived"}
SESSION_KEYS = [one.name for one in fields(SessionKeys) if one.name not in NO_KEYS]
DAMAGED: dict[str, Callable[[Keyspace], str]] = {
    **{
        name: lambda keyspace, name=name: getattr(keyspace.session("bad", "bad"), name)  # type: ignore[misc]  # bound now
        for name in SESSION_KEYS
    },
    "sessions": lambda keyspace: keyspace.sessions("bad"),
    "state": lambda keyspace: keyspace.state("bad"),
    "fields": lambda keyspace: keyspace.session_fields("bad"),
    "data": lambda keyspace: keyspace.session_data("bad", "k"),
}


@pytest.fixture(params=DAMAGED, ids=str)
def damaged(request: pytest.FixtureRequest, real_backend: Backend) -> str:
    """A key that holds a type that no key of ours has there, among sessions that are well."""
    service = real_backend.service()
    for agent, session in (("bad", "bad"), ("good", "good"), ("zulu", "zulu")):
        service.append_to_history(agent, session, MESSAGE, ttl=100)
        service.set_session_data(session, "k", 1)
        real_backend.observer.expire(service.keyspace.session_data(session, "k"), 100)
        service.save_agent_state(agent, {}, ttl=100)
    key = DAMAGED[request.param](service.keyspace)
    # No key of ours is a set.
    real_backend.observer.unlink(key)
    real_backend.observer.sadd(key, b"damaged")
    real_backend.observer.expire(key, 100)
    return key


def test_extending_goes_on(
    damaged: str, real_backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """Every other session lives longer."""
    service = real_backend.service()
    with caplog.at_level(logging.ERROR):
        Housekeeping(real_backend.connection, service.keyspace).extend_active(
            window_s=60, ttl_s=1000
        )

    for name in ("good", "zulu"):
        assert real_backend.observer.ttl(service.keyspace.session(name, name).history) > 900
        assert real_backend.observer.ttl(service.keyspace.session_data(name, "k")) > 900


def test_cleaning_up_goes_on(damaged: str, real_backend: Backend) -> None:
    """Every other stale session goes."""
    service = real_backend.service()
    keyspace = service.keyspace
    for name in ("bad", "good", "zulu"):
        if keyspace.sessions(name) != damaged:
            real_backend.observer.zadd(keyspace.sessions(name), {name: LONG_AGO_MS})
        real_backend.observer.zadd(keyspace.agents, {name: LONG_AGO_MS})
        real_backend.observer.unlink(keyspace.session(name, name).history)

    Housekeeping(real_backend.connection, keyspace).clean_stale(idle_s=60)

    for name in ("good", "zulu"):
        assert not real_backend.observer.exists(keyspace.sessions(name))
        # Whether an agent whose index is damaged uses the data too cannot be known.
        is_kept = real_backend.observer.exists(keyspace.session_fields(name)) == 1
        assert is_kept == (damaged == keyspace.sessions("bad"))


def test_strays_are_found(damaged: str, real_backend: Backend) -> None:
    """In every other session."""
    keyspace = real_backend.service().keyspace
    for name in ("good", "zulu"):
        box = Mailbox.of(keyspace, name, name)
        real_backend.connection.run_all(*box.enqueue(name, b"{}", cap=9, grace_ms=1))
    real_backend.observer.unlink(keyspace.due)

    bad = keyspace.session("bad", "bad")
    # What may hold work and is there, whatever it is, is worth a look.
    expected = 2 + (damaged in (bad.queue, bad.outbox, bad.delayed, bad.schedules))
    assert Housekeeping(real_backend.connection, keyspace).add_strays() == expected

    for name in ("good", "zulu"):
        real_backend.observer.unlink(
            keyspace.session(name, name).queue, keyspace.session(name, name).jobs
        )


def test_statistics_are_noted(damaged: str, real_backend: Backend) -> None:
    """Without the agent whose index is damaged."""
    service = real_backend.service()
    stats = Housekeeping(real_backend.connection, service.keyspace).record_stats()
    assert stats["sessions"] == (2 if damaged == service.keyspace.sessions("bad") else 3)


def test_other_agents_are_listed_and_read(damaged: str, real_backend: Backend) -> None:
    """As ever."""
    redis_memory = real_backend.service()
    for name in ("good", "zulu"):
        assert redis_memory.get_all_sessions_for_agent(name) == [name]
        assert redis_memory.get_conversation_history(name, name) == [MESSAGE]
