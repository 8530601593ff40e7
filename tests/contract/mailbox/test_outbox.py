"""The outbox: each end of a job lies there, in the same step, until its result is delivered."""

from collections.abc import Callable

import pytest

from memory import outbox
from memory.errors import CorruptData
from memory.keys import Keyspace
from memory.lifetimes import DEDUPE_MS
from memory.mailbox.intake import OnBusy
from memory.mailbox.outbox import ENDS_AT_ONCE, End
from memory.mailbox.outcomes import AcquireOutcome, CommitOutcome, DiscardOutcome
from memory.records.event import ENDINGS, EventType, with_code
from memory.records.index import Entry
from tests.support.mailbox.rig import CLAIM_MS, GRACE_MS, LEASE_MS, Rig, done_event

pytest_plugins = ["tests.support.mailbox.fixtures"]

LINES = b'{"job":"j1","options":{"link":[1]}}\n'


def _commit(rig: Rig) -> None:
    rig.acquire("j1", "t1")
    rig.commit("t1", "j1", event=done_event("j1", "hello \u201cyou\u201d"))


def _bury(rig: Rig) -> None:
    rig.acquire("j1", "t1")
    rig.bury("j1", "t1", reason='no "model"\n')


def _die(rig: Rig) -> None:
    rig.acquire("j1", "t0", max_attempts=1)
    rig.later(LEASE_MS)
    assert rig.acquire("j1", "t1", max_attempts=1).outcome is AcquireOutcome.DEAD


def _give_up(rig: Rig) -> None:
    rig.acquire("j1", "t1")
    rig.give_up("j1", "t1", reason=with_code("too late", "expired"))


Act = Callable[[Rig], object]
ENDS: dict[str, tuple[Act, str, EventType, int, str, dict[str, object]]] = {
    "COMMIT": (_commit, "t1", EventType.DONE, 1, "hello \u201cyou\u201d", {}),
    "DISCARD by the holder": (_bury, "t1", EventType.FAILED, 1, "", {"error": 'no "model"\n'}),
    "DISCARD without a letter": (
        _give_up, "t1", EventType.FAILED, 1, "", {"error": "too late", "code": "expired"}
    ),
    "DISCARD by another": (
        lambda rig: rig.cancel("j1"), "someone", EventType.CANCELLED, 0, "", {"reason": "cancelled"}
    ),
    "ACQUIRE's DEAD": (
        _die, "t1", EventType.FAILED, 1, "", {"error": "no answer after 1 attempts"}
    ),
    "SUPERSEDE": (
        lambda rig: rig.take_in("j2", OnBusy.ROLLBACK), "someone", EventType.CANCELLED, 0, "",
        {"reason": "withdrawn: another message has taken its place"},
    ),
    "MERGE": (
        lambda rig: rig.take_in("j2", OnBusy.MERGE), "someone", EventType.MERGED, 0, "",
        {"into": "j2"},
    ),
    "ERASE": (lambda rig: rig.erase("eraser"), "eraser", EventType.ERASED, 0, "", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_each_end_is_in_stream_and_outbox_with_what_follows(rig: Rig, name: str) -> None:
    """The same last event in both, and its deliverer is who asked for it."""
    act, owner, kind, attempt, text, data = ENDS[name]
    rig.take_in("j1", callbacks=LINES)
    act(rig)
    assert rig.take_ends("a-stranger").left == 1
    (end,) = rig.take_ends(owner).ends
    assert end.job_id == end.event.job_id == "j1"
    assert (end.event.type, end.event.attempt, end.event.text) == (kind, attempt, text)
    assert dict(end.event.data) == data
    # What follows a merged job follows the one that answers it.
    assert end.callbacks == (b"" if name == "MERGE" else LINES)
    told = [event for event in rig.events() if event.type in ENDINGS]
    assert [(one.type, one.text, dict(one.data)) for one in told] == [(kind, text, data)]
    assert 0 < rig.ttl_ms(rig.box.keys.outbox) <= DEDUPE_MS
    assert rig.ask("HEXISTS", rig.box.keys.callbacks, "j1") == 0


REPEATS: dict[str, Act] = {
    "COMMIT": lambda rig: rig.commit("t1", "j1").outcome is CommitOutcome.ALREADY,
    "DISCARD by the holder": lambda rig: rig.bury("j1", "t1").outcome is DiscardOutcome.GONE,
    "DISCARD by another": lambda rig: rig.cancel("j1").outcome is DiscardOutcome.GONE,
    "ACQUIRE's DEAD": lambda rig: rig.acquire("j1", "t1").outcome is AcquireOutcome.GONE,
    "SUPERSEDE": lambda rig: rig.take_in("j2", OnBusy.ROLLBACK).ended == 1,
    "MERGE": lambda rig: rig.take_in("j2", OnBusy.MERGE).ended == 1,
    "ERASE": lambda rig: rig.erase("eraser").jobs == 0,
}


@pytest.mark.parametrize("name", REPEATS)
def test_who_repeats_after_a_lost_reply_delivers(rig: Rig, name: str) -> None:
    """The end is there once, and still the caller's; the stream tells it once."""
    act, owner, kind, *_ = ENDS[name]
    rig.take_in("j1", callbacks=LINES)
    act(rig)
    ends, told = rig.ends(), rig.told()
    assert REPEATS[name](rig)
    assert (rig.ends(), rig.told()) == (ends, told)
    assert [end.event.type for end in rig.take_ends(owner).ends] == [kind]


@pytest.mark.parametrize("name", REPEATS)
def test_what_is_delivered_does_not_come_back(rig: Rig, name: str) -> None:
    """A repeat that comes after the delivery has nothing to deliver."""
    act, owner, *_ = ENDS[name]
    rig.take_in("j1", callbacks=LINES)
    act(rig)
    delivered = outbox.delivered(rig.box.keys, rig.take_ends(owner).ends)
    for _ in range(2):
        assert rig.connection.run(delivered) == ()
    REPEATS[name](rig)
    assert rig.ends() == {}


def test_a_merged_jobs_callbacks_follow_the_job_that_answers(rig: Rig) -> None:
    """Those of all that were merged, the oldest first, also over several merges."""
    for number in range(1, 4):
        rig.take_in(f"j{number}", OnBusy.MERGE, callbacks=b"%d\n" % number)
    rig.acquire("j3", "t1")
    rig.commit("t1", "j3")
    assert {job: end.callbacks for job, end in rig.ends().items()} == {
        "j1": b"", "j2": b"", "j3": b"1\n2\n3\n"
    }  # fmt: skip


def test_an_end_is_its_deliverers_for_a_while_and_then_anybodys(rig: Rig) -> None:
    """First the grace of the script, then the claim of who took it; a repeat takes it again."""
    rig.enqueue("j1")
    rig.cancel("j1")
    rig.later(GRACE_MS - 1)
    assert rig.take_ends("another").ends == ()
    rig.later(1)
    assert [end.job_id for end in rig.take_ends("another").ends] == ["j1"]
    assert (rig.take_ends("third").ends, rig.take_ends("third").left) == ((), 1)
    rig.later(CLAIM_MS - 1)
    assert len(rig.take_ends("another").ends) == 1, "a repeat, which prolongs the claim"
    rig.later(CLAIM_MS - 1)
    assert rig.take_ends("third").ends == ()
    rig.later(1)
    assert len(rig.take_ends("third").ends) == 1
    assert rig.take_ends("another").ends == (), "it was late"


def test_a_clock_that_was_set_back_keeps_no_end_back(rig: Rig) -> None:
    """A time that nobody can have been given is not believed."""
    rig.enqueue("j1")
    rig.cancel("j1")
    rig.later(-3_600_000)
    assert [end.job_id for end in rig.take_ends("another").ends] == ["j1"]
    assert rig.take_ends("third").ends == (), "it has a new time now"


def test_a_dead_deliverers_job_that_is_asked_for_again_is_delivered(rig: Rig) -> None:
    """The reply of a cancel is lost, its caller dies, another cancels again."""
    rig.enqueue("j1")
    rig.cancel("j1")
    rig.later(GRACE_MS)
    assert rig.cancel("j1").outcome is DiscardOutcome.GONE
    assert [end.event.type for end in rig.take_ends().ends] == [EventType.CANCELLED]


def test_so_many_ends_are_taken_at_once(rig: Rig) -> None:
    """A result may be large; the others come with the next take."""
    jobs = [f"j{number}" for number in range(ENDS_AT_ONCE + 3)]
    for job in jobs:
        rig.enqueue(job)
        rig.cancel(job)
    taken = rig.take_ends()
    assert (len(taken.ends), taken.left) == (ENDS_AT_ONCE, 3)
    rig.connection.run(outbox.delivered(rig.box.keys, taken.ends))
    rest = rig.take_ends()
    assert (len(rest.ends), rest.left) == (3, 0)
    assert sorted(end.job_id for end in (*taken.ends, *rest.ends)) == sorted(jobs)


def test_a_large_outbox_is_emptied_part_by_part(rig: Rig) -> None:
    """Whoever takes; nobody looks at all of it at once, and nothing is left."""
    jobs = [f"j{number}" for number in range(15 * ENDS_AT_ONCE)]
    for job in jobs:
        rig.cancel(job)
    delivered: list[str] = []
    while ends := rig.take_ends().ends:
        assert len(ends) <= ENDS_AT_ONCE
        delivered += [end.job_id for end in ends]
        rig.connection.run(outbox.delivered(rig.box.keys, ends))
    assert sorted(delivered) == sorted(jobs)


DAMAGED = (
    b"", b"garbage", b"1 owner", b"x owner 2 {}", b"1 owner 99 {}", b"1 owner 2 {}",
    b'1 owner 14 {"type":"odd"}', b"1 owner 2 \xff\xfe", b"1 owner 0 ", b"0 \xff 2 []",
)  # fmt: skip


@pytest.mark.parametrize("element", DAMAGED)
def test_a_damaged_element_is_named_and_costs_no_other(rig: Rig, element: bytes) -> None:
    """It is taken whoever it seems to belong to, once its time is over, and can be removed."""
    rig.enqueue("j1")
    rig.cancel("j1")
    rig.ask("HSET", rig.box.keys.outbox, "broken", element)
    taken = rig.take_ends()
    assert [end.job_id for end in taken.ends] == ["j1"]
    assert (taken.corrupt, taken.left) == ((b"broken",), 0)
    rig.connection.run(outbox.drop(rig.box.keys, taken.corrupt))
    assert set(rig.ends()) == {"j1"}
    assert rig.connection.run(outbox.end_of(rig.box.keys, "broken")) is None


def test_a_job_id_that_is_no_text_is_corrupt(rig: Rig) -> None:
    """Somebody else wrote it; it is set aside as it lies there."""
    rig.enqueue("j1")
    rig.cancel("j1")
    last = done_event("j2")
    rig.ask("HSET", rig.box.keys.outbox, b"\xff\xfe", b"1 owner %d %s" % (len(last), last))
    taken = rig.take_ends()
    assert [end.job_id for end in taken.ends] == ["j1"]
    assert taken.corrupt == (b"\xff\xfe",)
    rig.connection.run(outbox.drop(rig.box.keys, taken.corrupt))
    assert rig.ask("HKEYS", rig.box.keys.outbox) == [b"j1"]


def test_the_end_of_one_job_can_be_asked_for(rig: Rig) -> None:
    """A follower whose events are gone; None for one that is delivered or never was."""
    rig.enqueue("j1")
    rig.cancel("j1")
    end = rig.connection.run(outbox.end_of(rig.box.keys, "j1"))
    assert end == rig.ends()["j1"].event
    assert rig.connection.run(outbox.end_of(rig.box.keys, "j2")) is None


def test_an_end_is_not_taken_out_by_who_delivered_another(rig: Rig) -> None:
    """Its job was erased meanwhile: the reply that was stored just now must go."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.commit("t1", "j1")
    (done,) = rig.take_ends("t1").ends
    rig.erase("eraser")
    assert rig.take_ends("eraser").ends == (), "the deliverer has its time: its result comes first"
    delivered = outbox.delivered(rig.box.keys, [done])
    for _ in range(2):
        (again,) = rig.connection.run(delivered)
        assert (again.job_id, again.event.type) == ("j1", EventType.ERASED)
    rig.later(CLAIM_MS)
    (erased,) = rig.take_ends("eraser").ends
    assert erased.event.type is EventType.ERASED
    assert rig.connection.run(outbox.delivered(rig.box.keys, [erased])) == ()
    assert rig.ends() == {}
    (again,) = rig.connection.run(delivered)
    assert again.event.type is EventType.ERASED, "who was so slow stores it as erased once more"


def test_late_sessions_are_noted_found_and_forgotten(rig: Rig) -> None:
    """The longest first; one that was noted again meanwhile is not forgotten."""
    other = rig.other("session-2")
    for one in (rig, other):
        one.enqueue(f"job-{one.session_id}")
        one.cancel(f"job-{one.session_id}")
        assert one.connection.run(outbox.size(one.box.keys)) == 1
        one.connection.run(outbox.note_late(one.keyspace, one.box.keys))
        other.later(10)
    late = outbox.late_sessions(rig.keyspace, limit=9)
    entries = rig.connection.run(late)
    assert [entry.member for entry in entries] == [rig.box.keys.history, other.box.keys.history]
    assert rig.connection.run(outbox.late_sessions(rig.keyspace, limit=1)) == entries[:1]
    other.later(10)
    other.connection.run(outbox.note_late(rig.keyspace, other.box.keys))
    assert rig.connection.run(outbox.forget(rig.keyspace, entries)) == 1
    assert [entry.member for entry in rig.connection.run(late)] == [other.box.keys.history]


def test_a_note_that_came_after_another_has_forgotten_the_session_is_kept(rig: Rig) -> None:
    """Who read an earlier note would else forget a session whose ends nobody looks at again."""
    note = outbox.note_late(rig.keyspace, rig.box.keys)
    late = outbox.late_sessions(rig.keyspace, limit=9)
    rig.connection.run(note)
    entries = rig.connection.run(late)
    assert rig.connection.run(outbox.forget(rig.keyspace, entries)) == 1
    rig.later(1)
    rig.connection.run(note)
    assert rig.connection.run(outbox.forget(rig.keyspace, entries)) == 0
    again = rig.connection.run(late)
    rig.later(-3_600_000)
    rig.connection.run(note)
    assert rig.connection.run(outbox.forget(rig.keyspace, again)) == 0


def test_a_late_session_that_is_no_text_is_forgotten_as_it_lies_there(rig: Rig) -> None:
    """It ends nobody's sweep."""
    rig.ask("ZADD", rig.keyspace.outbox, 1, b"\xff\xfe", 2, "not:ours")
    entries = rig.connection.run(outbox.late_sessions(rig.keyspace, limit=9))
    assert [rig.keyspace.find_session(entry.member) for entry in entries] == [None, None]
    assert rig.connection.run(outbox.forget(rig.keyspace, entries)) == 2
    assert rig.ask("EXISTS", rig.keyspace.outbox) == 0


def test_a_damaged_index_is_named(rig: Rig) -> None:
    """The sweep of the mailboxes goes on without; here it is said which key it is."""
    rig.ask("SET", rig.keyspace.outbox, "not ours", "EX", 60)
    with pytest.raises(CorruptData, match="outbox"):
        rig.connection.run(outbox.note_late(rig.keyspace, rig.box.keys))
    with pytest.raises(CorruptData, match="outbox"):
        rig.connection.run(outbox.forget(rig.keyspace, [Entry("x", 1)]))


def test_an_end_does_not_show_what_people_wrote() -> None:
    """Not in a log, nor in a traceback."""
    stored = done_event("j1", "a secret answer")
    end = End.parse(
        Keyspace().session("a", "s"), "j1", b"%d %s a secret callback" % (len(stored), stored)
    )
    assert end.callbacks
    assert "secret" not in repr(end)
