"""Webhooks in Redis: noted once, claimed by one, put off, given up, erased with their session."""

from dataclasses import replace

import pytest

from memory import erase_session
from memory.webhooks import queue
from memory.webhooks.queue import FULL, MOST, Webhook
from tests.support.memory_fixtures import Backend

LEASE_MS = 60_000


def webhook(backend: Backend, event_id: str = "evt_1", host: str = "a:443") -> Webhook:
    """A webhook of a session."""
    history = backend.service().keyspace.session("energy", "web-1").history
    url = f"https://{host}/x?token=s3cret"
    return Webhook(event_id, "response.completed", "j1", host, history, url, created_at=7)


def test_a_webhook_is_noted_once_and_claimed_by_one(backend: Backend) -> None:
    """Whoever notes it again changes nothing; while one sender has it, no other gets it."""
    keyspace, run, one = backend.service().keyspace, backend.connection.run, webhook(backend)
    assert run(queue.note(keyspace, one)) is True
    assert run(queue.note(keyspace, replace(one, kind="response.failed"))) is False
    assert run(queue.due_hosts(keyspace, now_ms=2**50)) == ["a:443"]
    claim = queue.claim(keyspace, "a:443", limit=5, lease_ms=LEASE_MS)
    assert run(claim).webhooks == (one,)
    assert run(claim).webhooks == ()
    assert "s3cret" not in repr(one)
    assert run(queue.end(keyspace, one)) is True
    assert run(queue.end(keyspace, one)) is False
    assert backend.keys() == []


def test_what_a_sender_did_not_settle_is_due_again(backend: Backend) -> None:
    """It died, or could not reach Redis."""
    keyspace, run, one = backend.service().keyspace, backend.connection.run, webhook(backend)
    run(queue.note(keyspace, one))
    claim = queue.claim(keyspace, "a:443", limit=5, lease_ms=-1)
    assert run(claim).webhooks == run(claim).webhooks == (one,)


def test_each_host_has_a_queue_of_its_own(backend: Backend) -> None:
    """The one with the longest due comes first; of one only as many as there is room for."""
    keyspace, run = backend.service().keyspace, backend.connection.run
    for number in range(3):
        run(queue.note(keyspace, webhook(backend, f"evt_a{number}")))
    run(queue.note(keyspace, webhook(backend, "evt_b", "b:443")))
    assert sorted(run(queue.due_hosts(keyspace, now_ms=2**50))) == ["a:443", "b:443"]
    claimed = run(queue.claim(keyspace, "a:443", limit=2, lease_ms=LEASE_MS)).webhooks
    assert [one.event_id for one in claimed] == ["evt_a0", "evt_a1"]
    (other,) = run(queue.claim(keyspace, "b:443", limit=2, lease_ms=LEASE_MS)).webhooks
    assert other.event_id == "evt_b"


def test_a_webhook_that_failed_is_due_later_and_at_last_a_dead_letter(backend: Backend) -> None:
    """With what came of it; sent again it is due at once."""
    keyspace, run, one = backend.service().keyspace, backend.connection.run, webhook(backend)
    run(queue.note(keyspace, one))
    tried = replace(one, attempts=1, error="it answered 500")
    claim = queue.claim(keyspace, "a:443", limit=5, lease_ms=LEASE_MS)
    assert run(queue.put_off(keyspace, tried, wait_ms=LEASE_MS)) is True
    assert run(claim).webhooks == ()
    assert run(queue.give_up(keyspace, tried)) is True
    assert [found for found, _ in run(queue.letter_ids(keyspace))] == ["evt_1"]
    assert run(queue.find(keyspace, ["evt_1", "evt_2"])) == [tried]
    assert tuple(map(run, queue.counts(keyspace))) == (1, 1)
    assert run(queue.due_hosts(keyspace, now_ms=2**50)) == []
    assert run(queue.put_off(keyspace, one, wait_ms=0)) is True
    assert run(claim).webhooks == (one,)
    assert (run(queue.letter_ids(keyspace)), run(queue.died_at(keyspace, "evt_1"))) == ([], None)


def test_what_was_forgotten_meanwhile_does_not_come_back(backend: Backend) -> None:
    """A sender that notes a failure of what was erased brings nothing of it back."""
    keyspace, run, one = backend.service().keyspace, backend.connection.run, webhook(backend)
    assert run(queue.put_off(keyspace, one, wait_ms=0)) is False
    assert run(queue.give_up(keyspace, one)) is False
    assert backend.keys() == []


def test_of_too_many_the_newest_is_a_dead_letter(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of too many dead letters the oldest goes."""
    assert str(MOST) in FULL
    monkeypatch.setattr(queue, "MOST", 2)
    keyspace, run = backend.service().keyspace, backend.connection.run
    # In one millisecond the order is that of the ids.
    noted = [run(queue.note(keyspace, webhook(backend, f"evt_{n}"))) for n in (1, 2, 0)]
    assert noted == [True, True, False]
    assert [found for found, _ in run(queue.letter_ids(keyspace))] == ["evt_0"]
    for number in (1, 2):
        run(queue.give_up(keyspace, webhook(backend, f"evt_{number}")))
    assert [found for found, _ in run(queue.letter_ids(keyspace))] == ["evt_2", "evt_1"]
    keys = keyspace.session("energy", "web-1")
    assert sorted(run(queue.of_session(keyspace, keys))) == ["evt_1", "evt_2"]


def test_erasing_a_session_forgets_its_webhooks(backend: Backend) -> None:
    """Pending ones and dead letters; those of a session whose id begins alike stay."""
    keyspace, run = backend.service().keyspace, backend.connection.run
    run(queue.note(keyspace, webhook(backend, "evt_1")))
    run(queue.note(keyspace, webhook(backend, "evt_2", "b:443")))
    run(queue.give_up(keyspace, webhook(backend, "evt_2", "b:443")))
    other = keyspace.session("energy", "web-10")
    run(queue.note(keyspace, replace(webhook(backend, "evt_3"), session=other.history)))
    erase_session(backend.connection, keyspace, "energy", "web-1")
    assert run(queue.of_session(keyspace, keyspace.session("energy", "web-1"))) == []
    assert run(queue.of_session(keyspace, other)) == ["evt_3"]
    assert tuple(map(run, queue.counts(keyspace))) == (1, 0)


def test_a_record_that_cannot_be_read_is_named_and_can_be_dropped(backend: Backend) -> None:
    """It keeps no other one waiting."""
    keyspace, run = backend.service().keyspace, backend.connection.run
    for event_id in ("evt_1", "evt_2"):
        run(queue.note(keyspace, webhook(backend, event_id)))
    backend.observer.hset(keyspace.webhooks_to("a:443").webhooks, "evt_1", "odd")
    claimed = run(queue.claim(keyspace, "a:443", limit=5, lease_ms=LEASE_MS))
    assert (claimed.damaged, [one.event_id for one in claimed.webhooks]) == (("evt_1",), ["evt_2"])
    assert run(queue.drop_damaged(keyspace, "a:443", "evt_1")) is True
    assert tuple(map(run, queue.counts(keyspace))) == (1, 0)
