"""The server's clock is set, as in a fail-over to another host: no slot is kept for longer than it
was taken or reserved for, and no session waits behind all that come after it."""

import pytest

from memory.keys import Keyspace
from tests.support.memory_fixtures import Backend
from tests.support.slots.rig import LEASE_MS, RESERVE_MS, START_MS, SlotRig

HOUR_MS = 3_600_000


@pytest.fixture
def rig(backend: Backend) -> SlotRig:
    """A model with one slot, on the real and on the fake server in turn."""
    return SlotRig(backend.connection, Keyspace(backend.prefix))


def arrival_us(rig: SlotRig) -> int:
    """That of a job which comes now."""
    return rig.now_ms * 1000


@pytest.mark.parametrize("back_ms", [HOUR_MS, 40_000])
def test_a_dead_holders_slot_is_free_after_a_lease(rig: SlotRig, back_ms: int) -> None:
    """Counted from the sweeper's first look after the jump."""
    rig.take("a/1")
    rig.wait("b/2", arrival_us(rig))
    rig.later(-back_ms)
    assert rig.grant_next() == []
    rig.later(LEASE_MS - 1)
    assert rig.grant_next() == []
    rig.later(1)
    assert rig.grant_next() == ["b/2"]


def test_a_reservation_that_nobody_uses_ends_after_its_time(rig: SlotRig) -> None:
    """It is shorter than a lease."""
    rig.wait("a/1", arrival_us(rig))
    rig.wait("b/2", arrival_us(rig))
    assert rig.grant_next() == ["a/1"]
    rig.later(-HOUR_MS)
    assert rig.grant_next() == []
    rig.later(RESERVE_MS)
    assert rig.grant_next() == ["b/2"]


def test_a_holder_that_lives_keeps_its_slot(rig: SlotRig) -> None:
    """It renews it as ever."""
    rig.take("a/1")
    rig.wait("b/2", arrival_us(rig))
    rig.later(-HOUR_MS)
    for _ in range(4):
        assert rig.renew("a/1")
        assert rig.grant_next() == []
        rig.later(LEASE_MS - 1)


def test_looking_does_not_prolong_a_slot(rig: SlotRig) -> None:
    """Without a jump its end stays where it is."""
    rig.take("a/1")
    rig.wait("b/2", arrival_us(rig))
    for _ in range(LEASE_MS // 1000 - 1):
        rig.later(1000)
        assert rig.grant_next() == []
    rig.later(1000)
    assert rig.grant_next() == ["b/2"]


def test_a_job_from_before_the_jump_arrives_no_later_than_now(rig: SlotRig) -> None:
    """Else all that come within the hour would go before it; and it keeps the place it has got."""
    rig.take("b/0")
    before_us = arrival_us(rig)
    rig.later(-HOUR_MS)
    rig.wait("a/old", before_us)
    rig.later(1000)
    rig.wait("a/new", arrival_us(rig))
    rig.later(1000)
    rig.wait("a/old", before_us)
    assert rig.release("b/0") == ["a/old"]


def test_a_waiter_from_before_the_jump_gets_its_place_when_it_asks_again(rig: SlotRig) -> None:
    """The sweeper wakes it after two minutes at most."""
    rig.take("b/0")
    before_us = arrival_us(rig)
    rig.wait("a/old", before_us)
    rig.later(-HOUR_MS)
    rig.wait("a/old", before_us)
    rig.later(1)
    rig.wait("a/new", arrival_us(rig))
    assert rig.release("b/0") == ["a/old"]


def test_jobs_keep_the_order_in_which_they_arrived(rig: SlotRig) -> None:
    """An arrival that is past is what it is."""
    rig.take("b/0")
    rig.wait("a/2", (START_MS - 1) * 1000)
    rig.wait("a/1", (START_MS - 2) * 1000)
    rig.later(5000)
    rig.wait("a/2", (START_MS - 1) * 1000)
    assert rig.release("b/0") == ["a/1"]
