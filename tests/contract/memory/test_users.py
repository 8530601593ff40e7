"""The index of a user's sessions: complete as long as anything is left of them, and no longer."""

import logging
import math
from collections.abc import Callable
from dataclasses import fields

import pytest

from memory import (
    Keyspace,
    Mailbox,
    RedisMemoryService,
    SessionKeys,
    UserSession,
    erase_session,
    sessions_of_user,
    users,
)
from memory.ids import MAX_ID_BYTES
from memory.records import index
from memory.upkeep.housekeeping import Housekeeping
from tests.support.memory_fixtures import Backend

LONG_AGO_MS = 1_000_000
MESSAGE = {"role": "user", "content": "x"}


@pytest.fixture
def keyspace(backend: Backend) -> Keyspace:
    """The names of this test's keys."""
    return backend.service().keyspace


@pytest.fixture
def note(backend: Backend, keyspace: Keyspace) -> Callable[[str, str, str], SessionKeys]:
    """A user sends a message to a session."""

    def sends(user: str, agent: str, session: str) -> SessionKeys:
        keys = keyspace.session(agent, session)
        backend.connection.run_all(*users.touch(keyspace, user, keys))
        return keys

    return sends


@pytest.fixture
def listed(backend: Backend, keyspace: Keyspace) -> Callable[[str], list[tuple[str, str, bool]]]:
    """Agent, session and whether it is shared, of all sessions of a user."""

    def of(user: str) -> list[tuple[str, str, bool]]:
        found = sessions_of_user(backend.connection, keyspace, user)
        return [(one.agent_id, one.session_id, one.is_shared) for one in found]

    return of


def _user_indexes(backend: Backend) -> list[str]:
    keys = backend.keys()
    return [key for key in keys if "users" in key]


Note = Callable[[str, str, str], SessionKeys]
Listed = Callable[[str], list[tuple[str, str, bool]]]


def test_a_users_sessions_are_found_and_those_that_others_share(
    redis_memory: RedisMemoryService, note: Note, listed: Listed
) -> None:
    """Last used first; whoever else wrote there makes a session shared."""
    for session in ("own", "shared"):
        redis_memory.append_to_history("a", session, MESSAGE)
    note("me", "a", "own")
    note("you", "a", "shared")
    note("me", "a", "shared")

    assert sorted(listed("me")) == [("a", "own", False), ("a", "shared", True)]
    assert listed("you") == [("a", "shared", True)]
    assert listed("nobody") == []


@pytest.mark.parametrize(
    "user", ["7", "a:b", "{x}", "*", "é 😀", "x" * (MAX_ID_BYTES + 1), "ü" * 4000]
)
def test_any_text_is_a_user(
    user: str, redis_memory: RedisMemoryService, note: Note, listed: Listed
) -> None:
    """Also one that is too long for a key; the ids of agent and session may be any, too."""
    agent, session = "agent:{1}", "s" * MAX_ID_BYTES
    redis_memory.append_to_history(agent, session, MESSAGE)
    note(user, agent, session)

    assert listed(user) == [(agent, session, False)]


@pytest.mark.parametrize(
    "kept",
    [
        one.name
        for one in fields(SessionKeys)
        if one.name not in ("agent_id", "session_id", "users", "cipher", "archive", "is_archived")
    ],
)
def test_a_session_is_listed_while_any_key_of_it_is_there(
    kept: str, backend: Backend, note: Note, listed: Listed
) -> None:
    """Dead letters, for one, outlive the history by a month."""
    keys = note("me", "a", "s")
    assert listed("me") == []
    backend.observer.zadd(keys.users, {"me": LONG_AGO_MS})
    backend.observer.set(getattr(keys, kept), b"anything", ex=60)

    assert listed("me") == [("a", "s", False)]


def test_a_session_is_listed_while_its_data_is_there(
    redis_memory: RedisMemoryService, note: Note, listed: Listed
) -> None:
    """Session data belongs to no agent, and may be about the user."""
    note("me", "a", "s")
    redis_memory.set_session_data("s", "k", "v")

    assert listed("me") == [("a", "s", False)]


def test_what_leads_nowhere_leaves_the_indexes(
    backend: Backend, keyspace: Keyspace, note: Note, listed: Listed
) -> None:
    """A reader drops it, unless it is so young that its job may be on its way."""
    old, young = note("me", "a", "old"), note("me", "a", "young")
    backend.observer.zadd(keyspace.user("me"), {"a:old": LONG_AGO_MS})
    backend.observer.zadd(old.users, {"me": LONG_AGO_MS})

    assert listed("me") == []

    assert backend.observer.zrange(keyspace.user("me"), 0, -1) == [b"a:young"]
    assert not backend.observer.exists(old.users)
    assert backend.observer.exists(young.users)


def test_clean_up_forgets_users_of_whose_sessions_nothing_is_left(
    backend: Backend, keyspace: Keyspace, redis_memory: RedisMemoryService, note: Note
) -> None:
    """And only those; no index of theirs is left behind."""
    redis_memory.append_to_history("a", "alive", MESSAGE)
    for user in ("gone", "here"):
        for session in ("dead", "alive") if user == "here" else ("dead",):
            keys = note(user, "a", session)
            backend.observer.zadd(keys.users, {user: LONG_AGO_MS})
            backend.observer.zadd(keyspace.user(user), {f"a:{session}": LONG_AGO_MS})
        backend.observer.zadd(keyspace.users, {user: LONG_AGO_MS})

    done = Housekeeping(backend.connection, keyspace).clean_stale(idle_s=60)

    assert (done.users, done.is_complete) == (1, True)
    assert backend.observer.zrange(keyspace.users, 0, -1) == [b"here"]
    assert backend.observer.zrange(keyspace.user("here"), 0, -1) == [b"a:alive"]
    left = [keyspace.users, keyspace.user("here"), keyspace.session("a", "alive").users]
    assert _user_indexes(backend) == sorted(left)


def test_erasing_a_session_takes_it_off_the_lists_of_all_who_wrote_there(
    backend: Backend, keyspace: Keyspace, redis_memory: RedisMemoryService, note: Note
) -> None:
    """Though marks of its jobs are still there, which would keep it listed."""
    for user in ("me", "you"):
        keys = note(user, "a", "s")
    redis_memory.append_to_history("a", "s", MESSAGE)
    backend.observer.zadd(keys.done, {"job": 1})
    backend.observer.expire(keys.done, 60)
    erase_session(backend.connection, keyspace, "a", "s")
    assert _user_indexes(backend) == []


def test_an_erased_session_is_taken_off_unless_the_user_came_back(
    backend: Backend, keyspace: Keyspace, note: Note
) -> None:
    """`until_ms` is when the erasing began."""
    keys = note("me", "a", "erased")
    note("me", "a", "again")
    now_ms = backend.connection.run(index.server_time_ms())
    again_ms = now_ms + 60_000
    backend.observer.zadd(keyspace.user("me"), {"a:again": again_ms})
    backend.observer.zadd(keyspace.session("a", "again").users, {"me": again_ms})
    erased = [UserSession("a", session, False, now_ms) for session in ("erased", "again")]

    users.forget(backend.connection, keyspace, "me", erased, until_ms=now_ms)

    assert backend.observer.zrange(keyspace.user("me"), 0, -1) == [b"a:again"]
    assert not backend.observer.exists(keys.users)
    assert backend.observer.zscore(keyspace.users, "me") is not None

    users.forget(backend.connection, keyspace, "me", erased, until_ms=again_ms)
    assert _user_indexes(backend) == []


def test_damaged_indexes_fail_no_job_and_hide_no_session(
    backend: Backend,
    keyspace: Keyspace,
    note: Note,
    listed: Listed,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A session whose index cannot be read counts as shared; members that are none are passed."""
    backend.service().append_to_history("a", "s", MESSAGE)
    keys = keyspace.session("a", "s")
    backend.observer.set(keys.users, b"damaged", ex=60)
    backend.observer.zadd(keyspace.user("me"), {b"\xff\xfe": LONG_AGO_MS, b"nonsense": LONG_AGO_MS})

    with caplog.at_level(logging.ERROR):
        note("me", "a", "s")
        assert listed("me") == [("a", "s", True)]

    assert keys.users in caplog.text
    assert backend.observer.zrange(keyspace.user("me"), 0, -1) == [b"a:s"]


def test_clean_up_passes_a_damaged_user_and_removes_what_is_none(
    backend: Backend, keyspace: Keyspace, note: Note, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is named; the users behind them are cleaned up all the same."""
    note("gone", "a", "dead")
    for key in (keyspace.user("gone"), keyspace.session("a", "dead").users):
        member = backend.observer.zrange(key, 0, -1)[0]
        backend.observer.zadd(key, {member: LONG_AGO_MS})
    backend.observer.set(keyspace.user("damaged"), b"x", ex=60)
    junk = {b"\xff": 1, b"": 2, b"damaged": 3, b"gone": LONG_AGO_MS}
    backend.observer.zadd(keyspace.users, junk)

    with caplog.at_level(logging.WARNING):
        done = Housekeeping(backend.connection, keyspace).clean_stale(idle_s=60)

    assert done.is_complete
    assert backend.observer.zrange(keyspace.users, 0, -1) == [b"damaged"]
    assert "2 members that are not ids" in caplog.text
    assert f"{keyspace.prefix}" in caplog.text


def test_a_member_that_is_no_id_stops_no_listing_and_no_clean_up(
    backend: Backend,
    keyspace: Keyspace,
    redis_memory: RedisMemoryService,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the index of sessions: named and removed; the agent's other sessions are seen to."""
    redis_memory.append_to_history("a", "good", MESSAGE)
    strange: dict[bytes, float] = {b"": 1, b"\xff\xfe": 2, b"x" * 600: 3}
    strange |= {b"\xfe%d" % number: 4 for number in range(120)}
    backend.observer.zadd(keyspace.sessions("a"), strange)
    backend.observer.zadd(keyspace.sessions("a"), {"stale": LONG_AGO_MS})
    backend.observer.zadd(keyspace.agents, {b"\xff": 1, b"": 2})
    redis_memory.set_session_data("good", "k", 1)
    backend.observer.expire(keyspace.session_data("good", "k"), 30)
    backend.observer.zadd(keyspace.session_fields("good"), {b"": 2**60, b"x" * 600: math.inf})
    housekeeping = Housekeeping(backend.connection, keyspace)

    assert redis_memory.get_all_sessions_for_agent("a") == ["good"]
    assert housekeeping.add_strays() == 0
    housekeeping.extend_active(window_s=10**10, ttl_s=60)
    assert backend.observer.ttl(keyspace.session_data("good", "k")) > 50
    with caplog.at_level(logging.WARNING):
        assert housekeeping.clean_stale(idle_s=60).is_complete

    assert backend.observer.zrange(keyspace.sessions("a"), 0, -1) == [b"good"]
    assert backend.observer.zrange(keyspace.agents, 0, -1) == [b"a"]
    assert "are not ids" in caplog.text


def test_a_session_whose_job_only_waits_is_listed(
    backend: Backend, keyspace: Keyspace, note: Note, listed: Listed
) -> None:
    """So that no message lies anywhere without its entry; the mailbox alone is enough for that."""
    note("me", "a", "s")
    box = Mailbox.of(keyspace, "a", "s")
    backend.connection.run_all(*box.enqueue("j", b"{}", cap=9, grace_ms=1000))

    assert listed("me") == [("a", "s", False)]
