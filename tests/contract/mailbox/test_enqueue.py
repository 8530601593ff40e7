"""ENQUEUE: a job is taken in once, in order, up to a bound."""

import pytest

from memory.lifetimes import DEDUPE_MS
from memory.mailbox.intake import EnqueueOutcome
from memory.mailbox.pointer import locate
from memory.redis.replies import strings
from tests.support.mailbox.rig import GRACE_MS, START_MS, Rig, envelope_of
from tests.support.memory_fixtures import Backend

pytest_plugins = ["tests.support.mailbox.fixtures"]


def test_the_first_job_is_new_at_position_0(rig: Rig) -> None:
    """Its caller knows that it has to publish the wake-up."""
    enqueued = rig.enqueue("j1")
    assert (enqueued.outcome, enqueued.position) == (EnqueueOutcome.NEW, 0)
    assert enqueued.seq_us == START_MS * 1000


def test_later_jobs_wait_behind_in_the_order_of_their_arrival(rig: Rig) -> None:
    """Sequence numbers grow even within one microsecond."""
    enqueued = [rig.enqueue(job) for job in ("b", "a", "c")]
    assert [answer.position for answer in enqueued] == [0, 1, 2]
    seqs = [answer.seq_us for answer in enqueued]
    assert seqs == sorted(set(seqs))
    assert rig.pending() == ["b", "a", "c"]


def test_sequence_numbers_grow_when_the_clock_goes_back(rig: Rig) -> None:
    """A job that arrives later never overtakes."""
    first = rig.enqueue("j1").seq_us
    rig.later(-60_000)
    assert rig.enqueue("j2").seq_us == first + 1


@pytest.mark.parametrize("job", ["head", "second"])
def test_a_repeat_is_answered_pending(rig: Rig, job: str) -> None:
    """With the same number and place, so that the wake-up can be published after all."""
    first = {name: rig.enqueue(name) for name in ("head", "second")}[job]
    before = rig.pending()
    repeat = rig.enqueue(job, b"another envelope")
    assert (repeat.outcome, repeat.seq_us, repeat.position) == (
        EnqueueOutcome.PENDING,
        first.seq_us,
        first.position,
    )
    assert rig.pending() == before
    assert rig.ask("HGET", rig.box.keys.jobs, job) == envelope_of(job)


def test_a_running_job_is_pending(rig: Rig) -> None:
    """The head stays in the mailbox until its turn is committed."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    assert rig.enqueue("j1").outcome is EnqueueOutcome.PENDING


def test_a_committed_job_is_done_and_committed(rig: Rig) -> None:
    """A producer that repeats itself after the turn does not double it."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.commit("t1", "j1")
    enqueued = rig.enqueue("j1")
    assert (enqueued.outcome, enqueued.is_committed) == (EnqueueOutcome.DONE, True)
    assert rig.pending() == []


@pytest.mark.parametrize("how", ["cancel", "bury"])
def test_a_discarded_job_is_done_and_not_committed(rig: Rig, how: str) -> None:
    """Cancelled or dead, it does not come back under its id."""
    rig.enqueue("j1")
    getattr(rig, how)("j1")
    enqueued = rig.enqueue("j1")
    assert (enqueued.outcome, enqueued.is_committed) == (EnqueueOutcome.DONE, False)
    assert rig.pending() == []


def test_the_last_job_below_the_bound_is_taken_in_and_the_next_is_not(rig: Rig) -> None:
    """FULL names the number of pending jobs and leaves no trace of the job."""
    assert rig.enqueue("j1", cap=2).outcome is EnqueueOutcome.NEW
    assert rig.enqueue("j2", cap=2).outcome is EnqueueOutcome.NEW
    refused = rig.enqueue("j3", cap=2)
    assert (refused.outcome, refused.pending) == (EnqueueOutcome.FULL, 2)
    assert rig.pending() == ["j1", "j2"]
    assert rig.ask("HLEN", rig.box.keys.jobs) == 2


def test_a_repeat_is_pending_even_where_the_mailbox_is_full(rig: Rig) -> None:
    """A producer whose reply was lost does not hear that its job was refused."""
    rig.enqueue("j1", cap=1)
    assert rig.enqueue("j1", cap=1).outcome is EnqueueOutcome.PENDING


def test_the_look_is_noted_with_the_job(rig: Rig) -> None:
    """A producer that dies now is noticed after the grace time."""
    rig.enqueue("j1")
    assert rig.due_at_ms() == START_MS + GRACE_MS


def test_the_jobs_mailbox_can_be_found_by_its_id(rig: Rig) -> None:
    """Cancel and follow know nothing but the id."""
    rig.enqueue("j1")
    assert rig.connection.run(locate(rig.keyspace, "j1")) == rig.box.keys
    assert rig.connection.run(locate(rig.keyspace, "unknown")) is None
    assert 0 < rig.ttl_ms(rig.keyspace.job("j1")) <= DEDUPE_MS


def test_a_pending_job_never_expires(rig: Rig) -> None:
    """Queue and envelopes have no TTL while there is work."""
    rig.enqueue("j1")
    assert rig.ttl_ms(rig.box.keys.queue) == -1
    assert rig.ttl_ms(rig.box.keys.jobs) == -1


def test_the_envelope_comes_back_byte_for_byte(rig: Rig) -> None:
    """Nothing in the mailbox reads or changes it."""
    envelope = bytes(range(256)) * 3
    rig.enqueue("j1", envelope)
    assert rig.acquire("j1", "t1").envelope == envelope


def test_the_clock_is_the_servers(rig: Rig, backend: Backend) -> None:
    """In production the scripts ask the server for the time; only the rig sets it."""
    commands = rig.box.enqueue("j1", b"", cap=1, grace_ms=GRACE_MS)
    seconds, micros = strings(rig.ask("TIME"))
    at_ms, enqueued = backend.connection.run_all(*commands)
    now_us = int(seconds) * 1_000_000 + int(micros)
    assert now_us <= enqueued.seq_us < now_us + 60_000_000
    assert abs(at_ms - GRACE_MS - now_us / 1000) < 60_000
