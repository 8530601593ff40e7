"""ERASE: no word of a session stays, its jobs end as erased, and nothing writes again."""

from dataclasses import replace

import pytest

from memory import dead_letters, outbox
from memory.lifetimes import DEDUPE_MS, RENEWED_MS
from memory.mailbox.intake import EnqueueOutcome, OnBusy
from memory.mailbox.outcomes import AcquireOutcome, CommitOutcome, DiscardOutcome, StopPolicy
from memory.records.event import Event, EventType
from memory.upkeep.erasure import erase_session
from tests.support.mailbox.ends import all_keys
from tests.support.mailbox.rig import CLAIM_MS, GRACE_MS, LEASE_MS, Rig

pytest_plugins = ["tests.support.mailbox.fixtures"]

WORDS = b"envelope of"
SAID = Event(EventType.TOKEN, "j3", 1, "envelope of nothing")


def live(rig: Rig) -> None:
    """j1 has its turn, j2 is a dead letter, j3 runs and says something, j4 and j5 wait."""
    for number in range(1, 6):
        rig.take_in(f"j{number}", callbacks=b"envelope of a callback of j%d\n" % number)
    rig.acquire("j1", "t1")
    rig.commit("t1", "j1")
    rig.acquire("j2", "t2")
    rig.bury("j2", "t2", reason="envelope of j2 is no JSON")
    rig.connection.run(outbox.delivered(rig.box.keys, list(rig.ends().values())))
    rig.ask("HSET", rig.box.keys.summary, "text", "envelope of nothing")
    rig.ask("EXPIRE", rig.box.keys.summary, 60)
    rig.acquire("j3", "t3")
    assert rig.say("t3", SAID)


def words(rig: Rig, *but: str) -> list[str]:
    """The keys of the session in which words are."""
    found = []
    for key in all_keys(rig.keyspace, rig.box.keys.history):
        kind = rig.ask("TYPE", key)
        reads = {b"list": "LRANGE", b"stream": "XRANGE", b"zset": "ZRANGE", b"hash": "HGETALL"}
        ends = {b"list": (0, -1), b"stream": ("-", "+"), b"zset": (0, -1), b"hash": ()}
        kept = repr(rig.ask(reads[kind], key, *ends[kind])).encode() if kind != b"none" else b""  # type: ignore[index]
        if WORDS in kept or b"job_id" in kept:
            found.append(key)
    return [key for key in found if key not in but]


def test_no_word_stays(rig: Rig) -> None:
    """But for what follows the jobs in Celery, until it is delivered."""
    live(rig)
    assert len(words(rig)) >= 6
    erased = rig.erase("eraser")
    assert (erased.keys, erased.jobs, erased.running) == (5, 3, "j3")
    assert words(rig, rig.box.keys.outbox) == []
    rig.connection.run(outbox.delivered(rig.box.keys, rig.take_ends("eraser").ends))
    assert words(rig) == []
    assert rig.ends() == {}


def test_every_job_ends_as_erased_also_those_that_were_over(rig: Rig) -> None:
    """The results of those hold words too; what waits or runs has its last event in the stream."""
    live(rig)
    rig.erase("eraser")
    assert {job: end.event.type for job, end in rig.ends().items()} == dict.fromkeys(
        ("j1", "j2", "j3", "j4", "j5"), EventType.ERASED
    )
    assert {end.job_id for end in rig.take_ends("eraser").ends} == set(rig.ends())
    assert rig.told() == [("erased", job) for job in ("j3", "j4", "j5")]
    assert 0 < rig.ttl_ms(rig.box.keys.events) <= 60_000
    for key in (rig.box.keys.outbox, rig.box.keys.done, rig.box.keys.lease):
        assert 0 < rig.ttl_ms(key) <= DEDUPE_MS + RENEWED_MS


def test_what_follows_a_job_hears_that_it_was_erased(rig: Rig) -> None:
    """A chord counts it: one that waits, and one whose end nobody had delivered yet."""
    for job in ("j1", "j2"):
        rig.take_in(job, callbacks=b"chord of %s\n" % job.encode())
    rig.acquire("j1", "t1")
    rig.commit("t1", "j1")
    rig.erase("eraser")
    callbacks = {job: end.callbacks for job, end in rig.ends().items()}
    assert callbacks == {"j1": b"chord of j1\n", "j2": b"chord of j2\n"}


def test_nothing_of_a_job_that_runs_is_written_any_more(rig: Rig) -> None:
    """Neither its turn nor its events; its worker is told to stop."""
    live(rig)
    rig.erase("eraser")
    assert rig.connection.run(rig.box.stop_asked("j3")) is StopPolicy.DISCARD
    before = rig.dump()
    assert not rig.renew("t3")
    assert not rig.say("t3", SAID, number=2)
    assert not rig.fail("t3")
    assert rig.commit("t3", "j3").outcome is CommitOutcome.GONE
    assert rig.cancel("j3", "t3").outcome is DiscardOutcome.GONE
    assert rig.bury("j3", "t3").outcome is DiscardOutcome.GONE
    after = rig.dump()
    due = rig.keyspace.due.encode()
    assert {**after, due: None} == {**before, due: None}


def test_a_late_message_of_an_erased_job_runs_nothing(rig: Rig) -> None:
    """Neither a wake-up nor a sender that repeats itself."""
    live(rig)
    rig.erase("eraser")
    for number in range(1, 6):
        job = f"j{number}"
        assert rig.acquire(job, "t9").outcome in (AcquireOutcome.GONE, AcquireOutcome.DONE)
        assert rig.take_in(job).outcome is EnqueueOutcome.DONE
    assert rig.pending() == []
    assert words(rig, rig.box.keys.outbox) == []


def test_a_repeat_erases_no_later_turn(rig: Rig) -> None:
    """The first reply was lost, and the session goes on meanwhile."""
    live(rig)
    assert rig.erase("eraser").jobs == 3
    rig.take_in("j6")
    rig.acquire("j6", "t6")
    rig.commit("t6", "j6")
    rig.take_in("j7")
    before = rig.dump()
    assert rig.erase("eraser").jobs == 0
    assert rig.dump() == before
    assert rig.pending() == ["j7"]
    assert rig.erase("another").jobs == 1
    assert rig.ask("EXISTS", rig.box.keys.history) == 0


def test_a_session_begins_anew(rig: Rig) -> None:
    """Its next job runs at once, knows nothing, and its turn is kept."""
    live(rig)
    rig.erase("eraser")
    rig.take_in("j6")
    acquired = rig.acquire("j6", "t6")
    assert (acquired.outcome, acquired.attempt) == (AcquireOutcome.RUN, 1)
    assert (acquired.history, acquired.stop) == ((), None)
    assert rig.say("t6", replace(SAID, job_id="j6"))
    assert rig.commit("t6", "j6").outcome is CommitOutcome.OK
    assert len(rig.history()) == 2


def test_who_delivers_an_end_just_now_has_its_time(rig: Rig) -> None:
    """Its result, with the words, is stored at any moment: the erased one must come after it."""
    rig.take_in("j1")
    rig.acquire("j1", "t1")
    rig.commit("t1", "j1")
    rig.erase("eraser")
    assert rig.take_ends("eraser").left == 1
    rig.later(GRACE_MS)
    assert [end.event.type for end in rig.take_ends("eraser").ends] == [EventType.ERASED]
    rig.erase("another")
    assert rig.take_ends("another").left == 1
    rig.later(CLAIM_MS)
    assert len(rig.take_ends("another").ends) == 1


def test_merged_jobs_are_erased_with_what_carries_them(rig: Rig) -> None:
    """Their messages lie in its envelope."""
    for job in ("j1", "j2"):
        rig.take_in(job, OnBusy.MERGE)
    rig.erase("eraser")
    assert {job: end.event.type for job, end in rig.ends().items()} == dict.fromkeys(
        ("j1", "j2"), EventType.ERASED
    )
    assert words(rig) == []


def test_a_session_that_never_was_is_erased(rig: Rig) -> None:
    """Nothing is made by it but what lets a repeat be known."""
    erased = rig.erase("eraser")
    assert (erased.keys, erased.jobs, erased.running) == (0, 0, "")
    assert rig.ask("EXISTS", rig.box.keys.history, rig.box.keys.events) == 0
    assert rig.ttl_ms(rig.box.keys.lease) > 0


@pytest.mark.parametrize("is_running", [False, True])
def test_erasing_a_session_is_found_by_the_sweep(rig: Rig, is_running: bool) -> None:
    """Where the eraser dies before it delivers, and also where the outbox was empty before."""
    rig.take_in("j1")
    if is_running:
        rig.acquire("j1", "t1")
    rig.ask("DEL", rig.keyspace.due)
    erased = erase_session(rig.connection, rig.keyspace, rig.agent_id, rig.session_id)
    assert erased.jobs == 1
    assert rig.due_at_ms() is not None
    assert [end.job_id for end in rig.take_ends(erased.owner).ends] == ["j1"]


def test_erasing_a_session_takes_its_letters_off_the_list(rig: Rig) -> None:
    """The index follows its letters."""
    rig.take_in("j1")
    rig.connection.run(dead_letters.note(rig.box))
    rig.bury("j1")
    erase_session(rig.connection, rig.keyspace, rig.agent_id, rig.session_id)
    assert rig.connection.run(dead_letters.sessions(rig.keyspace, limit=9)) == []
    assert rig.connection.run(dead_letters.letters(rig.box)).letters == ()


def test_a_lease_that_ended_is_not_told_to_stop(rig: Rig) -> None:
    """Its worker is dead; the next job is not the one to be stopped."""
    rig.take_in("j1")
    rig.acquire("j1", "t1")
    rig.later(LEASE_MS)
    assert rig.erase("eraser").running == ""
