"""A session's summary in Redis: kept only for the history that it was made from."""

from collections.abc import Callable

import pytest

from memory import Keyspace, Mailbox, encode_message, summary
from memory.keys import SessionKeys
from memory.records import history
from memory.records.summary import Earlier, Summary
from tests.support.mailbox.server_clock import at
from tests.support.memory_fixtures import Backend

TTL_S = 1000


@pytest.fixture
def keys(backend: Backend) -> SessionKeys:
    """A session with six messages."""
    found = Keyspace(backend.prefix).session("energy", "s")
    add(backend, found, 6)
    return found


def add(backend: Backend, keys: SessionKeys, messages: int) -> None:
    """So many messages more, each one of its kind."""
    had = backend.observer.llen(keys.history)
    records = [
        encode_message({"role": "user", "content": f"message {had + number}"}, 1000)
        for number in range(messages)
    ]
    write = history.append(
        keys, records, write_id=history.new_write_id(), keep=100, ttl_s=TTL_S, is_exact=False
    )
    backend.connection.run(write)


def earlier(backend: Backend, keys: SessionKeys, name: bytes = b"me", shown: int = 2) -> Earlier:
    """What one who claims the summary reads."""
    backend.connection.run_all(*summary.claim(keys, name))
    rev = backend.connection.run(summary.revision(keys))
    so_far = backend.connection.run(summary.read(keys))
    messages = backend.connection.run(summary.all_but(keys, shown))
    return Earlier(name, rev, so_far, summary.not_in(so_far, messages))


def keep(backend: Backend, keys: SessionKeys, found: Earlier, text: str = "in short") -> bool:
    """Keep a summary of all that was found."""
    until = summary.name_of(found.messages[-1])
    return backend.connection.run(summary.keep(keys, found, Summary(text, until)))


def test_a_summary_is_kept_as_long_as_the_history(backend: Backend, keys: SessionKeys) -> None:
    """And read back as it was; the messages stay."""
    assert backend.connection.run(summary.read(keys)) is None
    found = earlier(backend, keys)
    assert len(found.messages) == 4
    assert keep(backend, keys, found, "ünd so")
    kept = backend.connection.run(summary.read(keys))
    assert kept == Summary("ünd so", summary.name_of(found.messages[-1]))
    assert abs(backend.observer.ttl(keys.summary) - backend.observer.ttl(keys.history)) <= 1
    assert backend.observer.llen(keys.history) == 6


def test_a_summary_is_kept_while_a_job_waits(backend: Backend, keys: SessionKeys) -> None:
    """The history does not expire then; the summary does, in a day at the soonest."""
    found = earlier(backend, keys)
    box = Mailbox(Keyspace(backend.prefix), keys)
    backend.connection.run_last(*box.enqueue("j1", b"{}", cap=9, grace_ms=1))
    assert backend.observer.ttl(keys.history) == -1
    assert keep(backend, keys, found)
    assert backend.observer.ttl(keys.summary) > 80_000


def test_the_next_one_takes_only_what_is_in_none_yet(backend: Backend, keys: SessionKeys) -> None:
    """Also where the history has lost its front; without the last message, all of it."""
    assert keep(backend, keys, earlier(backend, keys))
    add(backend, keys, 4)
    again = earlier(backend, keys)
    assert [b"message 4" in again.messages[0], b"message 7" in again.messages[-1]] == [True, True]
    assert again.so_far is not None
    backend.observer.ltrim(keys.history, -5, -1)
    assert len(earlier(backend, keys).messages) == 3


CHANGES: dict[str, Callable[[SessionKeys], object]] = {
    "cleared": lambda keys: history.clear(keys, write_id=b"w1"),
    "replaced": lambda keys: history.replace(keys, [b'{"role":"user"}'], write_id=b"w2", ttl_s=9),
    "erased": lambda keys: history.erase(keys, write_id="w3", grace_ms=1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_history_that_changed_meanwhile_gets_no_summary(
    backend: Backend, keys: SessionKeys, change: str
) -> None:
    """Nor has it any more the one that it had: people's words are gone."""
    assert keep(backend, keys, earlier(backend, keys))
    found = earlier(backend, keys)
    backend.connection.run(CHANGES[change](keys))  # type: ignore[arg-type]  # a call of any result
    assert not backend.observer.exists(keys.summary)
    add(backend, keys, 1)
    assert not backend.connection.run(summary.keep(keys, found, Summary("late", b"")))
    assert backend.connection.run(summary.read(keys)) is None


def test_a_session_that_is_cleaned_up_leaves_no_summary(
    backend: Backend, keys: SessionKeys
) -> None:
    """CLEAN takes it with the history."""
    assert keep(backend, keys, earlier(backend, keys))
    mailbox = Mailbox(Keyspace(backend.prefix), keys)
    backend.connection.run(at(mailbox.clean(0, ttl_ms=10**12), 10**16))
    assert not backend.observer.exists(keys.history, keys.summary)


def test_the_revision_of_the_lease_counts_too(backend: Backend, keys: SessionKeys) -> None:
    """A claim made anew does not help one who has read the history before."""
    backend.observer.hset(keys.lease, "rev", 3)
    backend.observer.expire(keys.lease, 100)
    found = earlier(backend, keys)
    backend.observer.hincrby(keys.lease, "rev", 1)
    assert not keep(backend, keys, found)


def test_of_two_who_claim_the_later_may_keep(backend: Backend, keys: SessionKeys) -> None:
    """So a worker that was away for a while overwrites nothing; keeping twice is harmless."""
    first, second = earlier(backend, keys, b"first"), earlier(backend, keys, b"second")
    assert keep(backend, keys, second, "newer")
    assert not keep(backend, keys, first, "older")
    assert not keep(backend, keys, second, "newer")
    kept = backend.connection.run(summary.read(keys))
    assert kept is not None
    assert kept.text == "newer"


def test_a_claim_without_a_summary_does_not_stay(backend: Backend, keys: SessionKeys) -> None:
    """It has a TTL; a summary that is there keeps its own."""
    earlier(backend, keys)
    assert 0 < backend.observer.ttl(keys.summary) <= 600
    assert keep(backend, keys, earlier(backend, keys))
    earlier(backend, keys)
    assert backend.observer.ttl(keys.summary) > 600


def test_a_session_that_is_used_keeps_its_summary(backend: Backend, keys: SessionKeys) -> None:
    """With each turn, and with the extension of TTLs."""
    assert keep(backend, keys, earlier(backend, keys))
    backend.connection.run(summary.prolong(keys, ttl_s=5000))
    assert backend.observer.ttl(keys.summary) > 4000
    backend.connection.run(history.extend(keys, ttl_s=9000))
    assert backend.observer.ttl(keys.summary) > 8000
    assert backend.connection.run(summary.prolong(keys, ttl_s=10)) == 0


def test_one_makes_a_summary_at_a_time_and_a_message_takes_the_turn_away(backend: Backend) -> None:
    """Whoever it is."""
    keyspace = Keyspace(backend.prefix)
    run = backend.connection.run
    assert run(summary.take_lock(keyspace, b"a", ttl_ms=5000))
    assert not run(summary.take_lock(keyspace, b"b", ttl_ms=5000))
    assert run(summary.lock_holder(keyspace)) == b"a"
    run(summary.renew_lock(keyspace, ttl_ms=9000))
    assert backend.observer.pttl(keyspace.summary_lock) > 5000
    run(summary.remove_lock(keyspace))
    assert run(summary.lock_holder(keyspace)) is None
    assert run(summary.take_lock(keyspace, b"b", ttl_ms=5000))
