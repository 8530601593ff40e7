"""The history of a session in which a job waits does not expire."""

import pytest

from memory.lifetimes import DEDUPE_MS
from memory.mailbox.intake import OnBusy
from memory.records import history
from tests.support.mailbox.rig import LEASE_MS, TTL_S, Rig, turn_of

pytest_plugins = ["tests.support.mailbox.fixtures"]

LEFT_MS = 60_000
LONG_MS = 10 * TTL_S * 1000


def have_a_history(rig: Rig, ttl_ms: int = LEFT_MS) -> None:
    """One turn, whose history expires soon."""
    rig.enqueue("j0")
    rig.acquire("j0", "t0")
    rig.commit("t0", "j0")
    rig.ask("PEXPIRE", rig.box.keys.history, ttl_ms)


@pytest.mark.parametrize("on_busy", OnBusy)
def test_a_job_that_waits_keeps_the_history(rig: Rig, on_busy: OnBusy) -> None:
    """From the moment at which it is taken in, and with every attempt."""
    have_a_history(rig)
    rig.take_in("j1", on_busy)
    assert rig.ttl_ms(rig.box.keys.history) == -1
    rig.acquire("j1", "t1")
    rig.fail("t1")
    rig.later(10 * LONG_MS)
    acquired = rig.acquire("j1", "t2")
    assert acquired.history == turn_of("j0")
    assert rig.ttl_ms(rig.box.keys.history) == -1


@pytest.mark.parametrize("how", ["commit", "cancel", "bury", "die"])
def test_the_end_of_the_last_job_gives_the_ttl_back(rig: Rig, how: str) -> None:
    """At least the session's own; not before the last one is over."""
    have_a_history(rig)
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.cancel("j2")
    assert rig.ttl_ms(rig.box.keys.history) == -1
    if how in ("commit", "die"):
        rig.acquire("j1", "t1", max_attempts=1)
    if how == "commit":
        rig.commit("t1", "j1")
    elif how == "die":
        rig.later(LEASE_MS)
        rig.acquire("j1", "t2", max_attempts=1)
    else:
        getattr(rig, how)("j1")
    assert rig.pending() == []
    assert 0 < rig.ttl_ms(rig.box.keys.history) <= TTL_S * 1000


def test_a_longer_ttl_comes_back_as_it_was(rig: Rig) -> None:
    """Somebody gave it with the history: waiting does not shorten it."""
    have_a_history(rig, LONG_MS)
    rig.enqueue("j1")
    rig.later(1000)
    rig.cancel("j1")
    left_ms = rig.ttl_ms(rig.box.keys.history)
    assert LONG_MS - 60_000 < left_ms <= LONG_MS


@pytest.mark.parametrize("on_busy", [OnBusy.ROLLBACK, OnBusy.REPLACE_PENDING, OnBusy.MERGE])
def test_jobs_that_take_others_out_keep_it_too(rig: Rig, on_busy: OnBusy) -> None:
    """Though for a moment the mailbox is empty; and the longer TTL is not forgotten."""
    have_a_history(rig, LONG_MS)
    rig.take_in("j1")
    rig.take_in("j2", on_busy)
    assert rig.ttl_ms(rig.box.keys.history) == -1
    rig.acquire("j2", "t2")
    rig.commit("t2", "j2")
    assert LONG_MS - 60_000 < rig.ttl_ms(rig.box.keys.history) <= LONG_MS


@pytest.mark.parametrize("is_exact", [False, True])
def test_a_write_while_a_job_waits_does_not_let_the_history_expire(
    rig: Rig, is_exact: bool
) -> None:
    """The TTL of the write counts once the jobs are over."""
    have_a_history(rig)
    rig.enqueue("j1")
    write = history.append(
        rig.box.keys, [b"{}"], write_id=b"w1", keep=9, ttl_s=1, is_exact=is_exact
    )
    rig.connection.run(write)
    assert rig.ttl_ms(rig.box.keys.history) == -1
    rig.cancel("j1")
    assert 0 < rig.ttl_ms(rig.box.keys.history) <= TTL_S * 1000


def test_a_write_while_a_job_waits_shortens_no_ttl(rig: Rig) -> None:
    """As without a job: only an exact one does."""
    have_a_history(rig, LONG_MS)
    rig.enqueue("j1")
    write = history.append(rig.box.keys, [b"{}"], write_id=b"w1", keep=9, ttl_s=1, is_exact=False)
    rig.connection.run(write)
    rig.cancel("j1")
    assert LONG_MS - 60_000 < rig.ttl_ms(rig.box.keys.history) <= LONG_MS


def test_a_history_that_is_replaced_while_a_job_waits_does_not_expire(rig: Rig) -> None:
    """Neither does one that was cleared before and is written anew."""
    have_a_history(rig)
    rig.enqueue("j1")
    rig.connection.run(history.clear(rig.box.keys, write_id=b"w1"))
    rig.connection.run(history.replace(rig.box.keys, [b"{}"], write_id=b"w2", ttl_s=1))
    assert rig.ttl_ms(rig.box.keys.history) == -1
    rig.cancel("j1")
    assert 0 < rig.ttl_ms(rig.box.keys.history) <= TTL_S * 1000


def test_the_last_end_leaves_no_history_that_lives_for_ever(rig: Rig) -> None:
    """The lease, which knew the TTL, is gone."""
    have_a_history(rig)
    rig.enqueue("j1")
    rig.ask("DEL", rig.box.keys.lease)
    rig.cancel("j1")
    assert 0 < rig.ttl_ms(rig.box.keys.history) <= DEDUPE_MS


def test_garbage_for_a_ttl_counts_as_none(rig: Rig) -> None:
    """The session's own is given."""
    have_a_history(rig)
    rig.enqueue("j1")
    rig.ask("HSET", rig.box.keys.lease, "expires_at", "garbage")
    rig.cancel("j1")
    assert 0 < rig.ttl_ms(rig.box.keys.history) <= TTL_S * 1000
