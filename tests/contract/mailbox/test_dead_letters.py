"""Dead letters: nothing that was given up is lost, and it can be put back."""

import pytest

from memory import dead_letters, events
from memory.errors import CorruptData
from memory.mailbox.dead_letters import DeadLetter, FailedAttempt, requeued_id
from memory.mailbox.intake import Enqueued, EnqueueOutcome
from memory.mailbox.mailbox import DEAD_MAX
from memory.mailbox.outcomes import AcquireOutcome
from memory.records.event import with_code
from memory.redis.command import Command
from tests.support.mailbox.rig import (
    CAP,
    DEAD_BYTES,
    GRACE_MS,
    LEASE_MS,
    START_MS,
    Rig,
    envelope_of,
)

pytest_plugins = ["tests.support.mailbox.fixtures"]


def letters_of(rig: Rig) -> tuple[DeadLetter, ...]:
    """All dead letters of the session."""
    return rig.connection.run(dead_letters.letters(rig.box)).letters


def requeue(rig: Rig, letter: DeadLetter, cap: int = CAP) -> Enqueued:
    """Put a job back."""
    commands = rig.box.take_in(
        dead_letters.requeued(rig.box.keys, letter, cap=cap), grace_ms=GRACE_MS
    )
    return rig.connection.run_last(*commands)


def test_a_dead_letter_tells_all_about_its_job(rig: Rig) -> None:
    """Why, when, after how many attempts, and the envelope byte for byte."""
    seq_us = rig.enqueue("j1").seq_us
    rig.acquire("j1", "t1")
    rig.later(1000)
    rig.bury("j1", "t1", reason="404: no such model, “x”\n")
    (letter,) = letters_of(rig)
    assert letter.job_id == "j1"
    assert letter.seq_us == seq_us
    assert letter.attempts == 1
    assert letter.died_at_ms == START_MS + 1000
    assert letter.reason == "404: no such model, “x”\n"
    assert letter.envelope == envelope_of("j1")


def test_the_kind_of_a_failure_is_told_beside_its_words(rig: Rig) -> None:
    """In the dead letter and in the last event; programs need not read the words."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.bury("j1", "t1", reason=with_code("too long: “x”", "context_overflow"))
    (letter,) = letters_of(rig)
    assert (letter.reason, letter.code) == ("too long: “x”", "context_overflow")
    last = rig.connection.run(events.read_now(events.stream_of(rig.box.keys), "0"))[-1]
    assert last.data == {"error": "too long: “x”", "code": "context_overflow"}


def test_a_job_that_used_up_its_attempts_says_so(rig: Rig) -> None:
    """Nobody was there to give another reason."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1", max_attempts=1)
    rig.later(LEASE_MS)
    rig.acquire("j1", "t2", max_attempts=1)
    (letter,) = letters_of(rig)
    assert (letter.reason, letter.attempts) == ("no answer after 1 attempts", 1)
    assert letter.envelope == envelope_of("j1")


def test_a_dead_letter_says_what_each_attempt_came_to(rig: Rig) -> None:
    """When, and why; also of those whose worker died, and of none that does not count."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.fail("t1", error="the model: “broke”, 7:x")
    rig.later(1000)
    rig.acquire("j1", "t2")
    rig.fail("t2", refund=True, error="not counted")
    rig.acquire("j1", "t3")
    rig.later(LEASE_MS)
    rig.acquire("j1", "t4")
    rig.bury("j1", "t4", reason="the last")
    rig.enqueue("j2")
    rig.acquire("j2", "t5")
    rig.bury("j2", "t5")
    first, second = letters_of(rig)
    assert first.failures == (
        FailedAttempt(1, START_MS, "the model: “broke”, 7:x"),
        FailedAttempt(2, START_MS + 1000 + LEASE_MS, "its worker gave no sign of life"),
    )
    assert (first.reason, first.attempts) == ("the last", 3)
    assert second.failures == ()


@pytest.mark.parametrize("is_buried", [True, False])
@pytest.mark.parametrize("size_bytes", [DEAD_BYTES, DEAD_BYTES + 1])
def test_of_an_envelope_that_is_too_large_only_the_size_is_kept(
    rig: Rig, size_bytes: int, is_buried: bool
) -> None:
    """However it ends: another program wrote it, and a letter lies there for 30 days."""
    envelope = b"x" * size_bytes
    rig.enqueue("j1", envelope)
    rig.acquire("j1", "t1", max_attempts=1)
    if is_buried:
        rig.bury("j1", "t1")
    else:
        rig.later(LEASE_MS)
        rig.acquire("j1", "t2", max_attempts=1)
    (letter,) = letters_of(rig)
    is_kept = size_bytes <= DEAD_BYTES
    expected = (envelope, 0) if is_kept else (b"", size_bytes)
    assert (letter.envelope, letter.too_large_bytes) == expected


def test_letters_are_listed_the_oldest_first_and_in_pages(rig: Rig) -> None:
    """And found by their job."""
    for job in ("j1", "j2", "j3"):
        rig.enqueue(job)
        rig.bury(job)
    assert [letter.job_id for letter in letters_of(rig)] == ["j1", "j2", "j3"]
    found = rig.connection.run(dead_letters.letters(rig.box))
    assert found.find("j2") is found.letters[1]
    assert found.find("j4") is None


def test_at_most_so_many_letters_are_kept(rig: Rig) -> None:
    """The oldest go first: at the limit none, one over one."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
        rig.bury(job)
    fill = [b"letter"] * (DEAD_MAX - 3)
    rig.ask("RPUSH", rig.box.keys.dead, *fill)
    for job, first in (("j3", "j1"), ("j4", "j2")):
        rig.enqueue(job)
        rig.bury(job)
        assert letters_of(rig)[0].job_id == first
        assert rig.ask("LLEN", rig.box.keys.dead) == DEAD_MAX


def test_an_element_that_is_no_letter_is_counted(rig: Rig) -> None:
    """The others are listed all the same."""
    rig.enqueue("j1")
    rig.bury("j1")
    for element in (b"", b"x", b"3:ab,", b"1:a,1:b,", b"9:a,", b"-1:,", b"1:a,1:x,1:x,1:x,1:x,0:,"):
        rig.ask("RPUSH", rig.box.keys.dead, element)
    found = rig.connection.run(dead_letters.letters(rig.box))
    assert ([letter.job_id for letter in found.letters], found.corrupt) == (["j1"], 7)


def test_reading_letters_of_a_wrong_key_is_corrupt(rig: Rig) -> None:
    """The key holds another type."""
    rig.ask("SET", rig.box.keys.dead, "not ours", "EX", 60)
    with pytest.raises(CorruptData):
        letters_of(rig)


def test_a_job_that_is_put_back_runs_under_a_new_id(rig: Rig) -> None:
    """At the end of the mailbox, with its attempts anew; the old id stays done."""
    rig.enqueue("j1")
    rig.bury("j1")
    rig.enqueue("j2")
    (letter,) = letters_of(rig)
    assert requeue(rig, letter).outcome is EnqueueOutcome.NEW
    assert rig.pending() == ["j2", "j1~r1"]
    assert rig.acquire("j1", "t1").outcome is AcquireOutcome.GONE
    rig.cancel("j2")
    acquired = rig.acquire("j1~r1", "t2")
    assert (acquired.outcome, acquired.attempt) == (AcquireOutcome.RUN, 1)
    assert acquired.envelope == envelope_of("j1")


def test_putting_back_may_be_repeated(rig: Rig) -> None:
    """A lost reply does not double the job."""
    rig.enqueue("j1")
    rig.bury("j1")
    (letter,) = letters_of(rig)
    requeue(rig, letter)
    assert requeue(rig, letter).outcome is EnqueueOutcome.PENDING
    rig.acquire("j1~r1", "t1")
    rig.commit("t1", "j1~r1")
    assert requeue(rig, letter).outcome is EnqueueOutcome.DONE


def test_a_full_mailbox_takes_nothing_back(rig: Rig) -> None:
    """The letter stays until there is room."""
    rig.enqueue("j1")
    rig.bury("j1")
    rig.enqueue("j2")
    (letter,) = letters_of(rig)
    assert requeue(rig, letter, cap=1).outcome is EnqueueOutcome.FULL
    assert letters_of(rig) == (letter,)


def test_a_letter_is_dropped_once(rig: Rig) -> None:
    """A repeat drops no other, and the job stays done."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
        rig.bury(job)
    letter, other = letters_of(rig)
    drop: Command[int] = dead_letters.drop(rig.box, letter)
    assert rig.connection.run(drop) == 1
    assert rig.connection.run(drop) == 0
    assert letters_of(rig) == (other,)
    assert rig.enqueue("j1").outcome is EnqueueOutcome.DONE


def test_sessions_with_dead_letters_are_listed_the_latest_first(rig: Rig) -> None:
    """An operator asks for all of them, and no more than can be shown."""
    other = rig.other("session-2")
    for one in (rig, other):
        rig.connection.run(dead_letters.note(one.box))
    listed = dead_letters.sessions(rig.keyspace, limit=9)
    assert rig.connection.run(listed) == [other.box.keys, rig.box.keys]
    first_only = dead_letters.sessions(rig.keyspace, limit=1)
    assert rig.connection.run(first_only) == [other.box.keys]
    rig.connection.run(dead_letters.forget(other.box))
    assert rig.connection.run(listed) == [rig.box.keys]


@pytest.mark.parametrize(
    ("job_id", "again"),
    [("x", "x~r1"), ("x~r1", "x~r2"), ("x~r9", "x~r10"), ("~r1", "~r1~r1"), ("x~r", "x~r~r1")],
)
def test_each_life_of_a_job_has_an_id_of_its_own(job_id: str, again: str) -> None:
    """Made from the one before, so that it is always the same."""
    assert requeued_id(job_id) == again
