"""A job is sent while others of its session run or wait: each way, each branch, each race."""

import pytest

from memory import outbox
from memory.lifetimes import DEDUPE_MS, RENEWED_MS
from memory.mailbox.intake import (
    EnqueueOutcome,
    MergedEnvelope,
    OnBusy,
    merged_into,
)
from memory.mailbox.outcomes import (
    AcquireOutcome,
    CommitOutcome,
    DiscardOutcome,
    StopPolicy,
)
from memory.records.event import EventType
from tests.support.mailbox.rig import CLAIM_MS, LEASE_MS, Rig, envelope_of, turn_of

pytest_plugins = ["tests.support.mailbox.fixtures"]


def run_to_commit(rig: Rig, job: str, token: str = "t9") -> None:  # noqa: S107 - a lease's token
    """The job is acquired and committed."""
    assert rig.acquire(job, token).outcome is AcquireOutcome.RUN
    assert rig.commit(token, job).outcome is CommitOutcome.OK


def out(rig: Rig) -> dict[str, str]:
    """The jobs in the outbox that were taken out, each with the one it was merged into, or ''."""
    ends = {job: end.event for job, end in rig.ends().items() if end.event.type != "done"}
    assert {event.type for event in ends.values()} <= {EventType.CANCELLED, EventType.MERGED}
    return {job: str(event.data.get("into", "")) for job, event in ends.items()}


# ---- what all of them have in common


@pytest.mark.parametrize("on_busy", OnBusy)
def test_in_an_idle_session_all_ways_are_the_same(rig: Rig, on_busy: OnBusy) -> None:
    """The job is the first, and nobody else is concerned."""
    taken = rig.take_in("j1", on_busy)
    assert (taken.outcome, taken.position) == (EnqueueOutcome.NEW, 0)
    assert (taken.stopping, taken.wake, taken.ended) == ("", "", 0)
    assert rig.told() == [("queued", "j1")]
    run_to_commit(rig, "j1")
    assert rig.history() == list(turn_of("j1"))


@pytest.mark.parametrize("on_busy", OnBusy)
def test_a_repeat_changes_nothing(rig: Rig, on_busy: OnBusy) -> None:
    """Pending, and done after its turn, whatever has come since."""
    first = rig.take_in("j1", on_busy)
    rig.take_in("j2")
    before = rig.dump()
    repeat = rig.take_in("j1", on_busy)
    assert (repeat.outcome, repeat.seq_us) == (EnqueueOutcome.PENDING, first.seq_us)
    del before[rig.keyspace.due.encode()]
    after = rig.dump()
    assert {key: after[key] for key in before} == before
    run_to_commit(rig, "j1")
    again = rig.take_in("j1", on_busy)
    assert (again.outcome, again.is_committed) == (EnqueueOutcome.DONE, True)
    assert rig.pending() == ["j2"]


@pytest.mark.parametrize("on_busy", OnBusy)
@pytest.mark.parametrize("is_done", [False, True])
def test_an_id_is_one_requests(rig: Rig, on_busy: OnBusy, is_done: bool) -> None:
    """Another text under the same id is refused, before and after the turn; nothing changes."""
    rig.take_in("j1", text="this")
    if is_done:
        run_to_commit(rig, "j1")
    rig.take_in("j2")
    pending = rig.pending()
    assert rig.take_in("j1", on_busy, text="that").outcome is EnqueueOutcome.CONFLICT
    assert rig.pending() == pending
    assert out(rig) == {}
    kept = EnqueueOutcome.DONE if is_done else EnqueueOutcome.PENDING
    assert rig.take_in("j1", on_busy, text="this").outcome is kept


@pytest.mark.parametrize("on_busy", sorted(set(OnBusy) - {OnBusy.ROLLBACK, OnBusy.REPLACE_PENDING}))
def test_a_full_mailbox_takes_no_job_in(rig: Rig, on_busy: OnBusy) -> None:
    """It names its first job, and nothing has happened to anyone."""
    rig.take_in("j1")
    rig.take_in("j2")
    before = rig.pending()
    refused = rig.take_in("j3", on_busy, cap=2)
    assert refused.outcome is EnqueueOutcome.FULL
    assert (refused.first, refused.pending) == ("j1", 2)
    assert rig.pending() == before
    assert out(rig) == {}
    # It may be sent again, as something else: it was never in.
    assert rig.take_in("j3", text="other").outcome is EnqueueOutcome.NEW


@pytest.mark.parametrize("on_busy", OnBusy)
def test_numbers_only_grow(rig: Rig, on_busy: OnBusy) -> None:
    """No job overtakes another, so the order of turns is that of the numbers (I3)."""
    numbers = [rig.take_in(job).seq_us for job in ("j1", "j2")]
    rig.later(-1000)
    rig.acquire("j1", "t1")
    if on_busy is not OnBusy.REJECT:
        numbers.append(rig.take_in("j3", on_busy).seq_us)
        numbers.append(rig.take_in("j4").seq_us)
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("on_busy", OnBusy)
def test_what_is_remembered_ends(rig: Rig, on_busy: OnBusy) -> None:
    """The dedupe window for the request, the marks and the ends."""
    rig.take_in("j1")
    rig.take_in("j2", on_busy)
    for key in (rig.box.keys.requests, rig.box.keys.lease):
        assert 0 < rig.ttl_ms(key) <= DEDUPE_MS + RENEWED_MS
    for key in (rig.box.keys.done, rig.box.keys.outbox):
        assert rig.ttl_ms(key) != -1
    assert rig.ttl_ms(rig.box.keys.events) > 0


# ---- reject


@pytest.mark.parametrize("is_running", [False, True])
def test_reject_takes_no_job_in_where_one_is(rig: Rig, is_running: bool) -> None:
    """Running or waiting for a worker: the session is busy with it."""
    rig.take_in("j1")
    if is_running:
        rig.acquire("j1", "t1")
    refused = rig.take_in("j2", OnBusy.REJECT)
    assert (refused.outcome, refused.first) == (EnqueueOutcome.FULL, "j1")
    assert rig.pending() == ["j1"]


def test_reject_races_with_the_commit(rig: Rig) -> None:
    """Just before it: refused. Just after it: taken in."""
    rig.take_in("j1")
    rig.acquire("j1", "t1")
    assert rig.take_in("j2", OnBusy.REJECT).outcome is EnqueueOutcome.FULL
    rig.commit("t1", "j1")
    assert rig.take_in("j2", OnBusy.REJECT).outcome is EnqueueOutcome.NEW


# ---- interrupt


def test_interrupt_asks_the_running_turn_to_stop_and_keep(rig: Rig) -> None:
    """Its holder is named, and finds the wish; the new job is next."""
    rig.take_in("j1")
    rig.acquire("j1", "t1")
    taken = rig.take_in("j2", OnBusy.INTERRUPT)
    assert (taken.outcome, taken.position, taken.stopping) == (EnqueueOutcome.NEW, 1, "j1")
    assert taken.wake == ""
    assert rig.connection.run(rig.box.stop_asked("j1")) is StopPolicy.KEEP
    kept = rig.commit("t1", "j1")
    assert (kept.outcome, kept.next and kept.next.job_id) == (CommitOutcome.OK, "j2")
    following = rig.acquire("j2", "t2")
    assert (following.outcome, following.stop) == (AcquireOutcome.RUN, None)


def test_interrupt_tells_the_holder_again_when_it_is_repeated(rig: Rig) -> None:
    """The first reply was lost, and with it the announcement."""
    rig.take_in("j1")
    rig.acquire("j1", "t1")
    rig.take_in("j2", OnBusy.INTERRUPT)
    assert rig.take_in("j2", OnBusy.INTERRUPT).stopping == "j1"
    rig.commit("t1", "j1")
    assert rig.take_in("j2", OnBusy.INTERRUPT).stopping == ""
    rig.acquire("j2", "t2")
    assert rig.take_in("j2", OnBusy.INTERRUPT).stopping == "", "never itself"


def test_an_interrupt_outlives_the_holder(rig: Rig) -> None:
    """Whoever runs the turn next, after a crash, is told by ACQUIRE."""
    rig.take_in("j1")
    rig.acquire("j1", "t1")
    rig.take_in("j2", OnBusy.INTERRUPT)
    rig.later(LEASE_MS)
    again = rig.acquire("j1", "t2")
    assert (again.outcome, again.stop) == (AcquireOutcome.RUN, StopPolicy.KEEP)
    assert rig.commit("t1", "j1").outcome is CommitOutcome.FENCED
    assert rig.commit("t2", "j1").outcome is CommitOutcome.OK
    assert rig.acquire("j2", "t3").stop is None


def test_an_interrupt_ends_a_back_off(rig: Rig) -> None:
    """A turn between two attempts ends at once: the caller wakes it."""
    rig.take_in("j1")
    rig.acquire("j1", "t1")
    assert rig.fail("t1", delay_ms=60_000)
    taken = rig.take_in("j2", OnBusy.INTERRUPT)
    assert (taken.stopping, taken.wake) == ("", "j1")
    again = rig.acquire("j1", "t2")
    assert (again.outcome, again.stop) == (AcquireOutcome.RUN, StopPolicy.KEEP)


def test_a_turn_that_fails_after_an_interrupt_does_not_back_off(rig: Rig) -> None:
    """Nor one that was asked to stop: it is to end, and the sweeper may wake it at once."""
    for job, is_interrupted in (("j1", True), ("j2", False)):
        rig.take_in(job)
        rig.acquire(job, f"t-{job}")
        if is_interrupted:
            rig.take_in("j2", OnBusy.INTERRUPT)
        else:
            rig.connection.run(rig.box.stop(job, StopPolicy.KEEP))
        rig.fail(f"t-{job}", delay_ms=60_000)
        again = rig.acquire(job, f"again-{job}")
        assert (again.outcome, again.stop) == (AcquireOutcome.RUN, StopPolicy.KEEP)
        rig.commit(f"again-{job}", job)


def test_an_interrupt_ends_what_waits_before_it_and_nothing_after_it(rig: Rig) -> None:
    """Each question is kept in its place, none is answered; later ones are."""
    for job in ("j1", "j2"):
        rig.take_in(job)
    taken = rig.take_in("j3", OnBusy.INTERRUPT)
    rig.take_in("j4")
    assert (taken.position, taken.stopping, taken.wake) == (2, "", "j1")
    stops = []
    for job in ("j1", "j2", "j3", "j4"):
        stops.append(rig.acquire(job, f"t-{job}").stop)
        rig.commit(f"t-{job}", job)
    assert stops == [StopPolicy.KEEP, StopPolicy.KEEP, None, None]


def test_of_two_interrupts_the_later_ends_the_earlier(rig: Rig) -> None:
    """Who types twice is answered once, with both questions in their order."""
    rig.take_in("j1")
    rig.acquire("j1", "t1")
    rig.take_in("j2", OnBusy.INTERRUPT)
    assert rig.take_in("j3", OnBusy.INTERRUPT).stopping == "j1"
    rig.commit("t1", "j1")
    assert rig.acquire("j2", "t2").stop is StopPolicy.KEEP
    rig.commit("t2", "j2")
    assert rig.acquire("j3", "t3").stop is None


def test_an_interrupt_does_not_revive_what_is_to_be_discarded(rig: Rig) -> None:
    """Who cancelled the turn before has said that nothing of it is kept."""
    rig.take_in("j1")
    rig.acquire("j1", "t1")
    rig.connection.run(rig.box.stop("j1", StopPolicy.DISCARD))
    rig.take_in("j2", OnBusy.INTERRUPT)
    assert rig.connection.run(rig.box.stop_asked("j1")) is StopPolicy.DISCARD
    rig.later(LEASE_MS)
    assert rig.acquire("j1", "t2").stop is StopPolicy.DISCARD


def test_interrupt_races_with_the_commit(rig: Rig) -> None:
    """Just before it: nobody is stopped. Just after: the whole turn is committed all the same."""
    rig.take_in("j1")
    rig.acquire("j1", "t1")
    rig.commit("t1", "j1")
    taken = rig.take_in("j2", OnBusy.INTERRUPT)
    assert (taken.position, taken.stopping, taken.wake) == (0, "", "")
    rig.acquire("j2", "t2")
    rig.take_in("j3", OnBusy.INTERRUPT)
    assert rig.commit("t2", "j2").outcome is CommitOutcome.OK
    run_to_commit(rig, "j3")
    assert rig.history() == [record for job in ("j1", "j2", "j3") for record in turn_of(job)]


# ---- rollback


def test_rollback_removes_the_running_turn(rig: Rig) -> None:
    """Its commit comes too late, its holder is told to discard; the new job runs at once."""
    rig.take_in("j1")
    rig.acquire("j1", "t1")
    taken = rig.take_in("j2", OnBusy.ROLLBACK)
    assert (taken.outcome, taken.position, taken.stopping) == (EnqueueOutcome.NEW, 0, "j1")
    assert (out(rig), taken.ended) == ({"j1": ""}, 1)
    assert rig.connection.run(rig.box.stop_asked("j1")) is StopPolicy.DISCARD
    assert not rig.renew("t1")
    assert rig.acquire("j2", "t2").attempt == 1
    assert rig.commit("t1", "j1").outcome is CommitOutcome.GONE
    assert rig.cancel("j1", "t1").outcome is DiscardOutcome.GONE
    assert not rig.fail("t1")
    assert rig.commit("t2", "j2").outcome is CommitOutcome.OK
    assert rig.history() == list(turn_of("j2"))
    assert rig.acquire("j1", "t3").outcome is AcquireOutcome.GONE


def test_rollback_takes_out_what_waits_too(rig: Rig) -> None:
    """As if nothing before it had been sent; what was committed stays."""
    rig.take_in("j0")
    run_to_commit(rig, "j0")
    for job in ("j1", "j2", "j3"):
        rig.take_in(job)
    rig.acquire("j1", "t1")
    taken = rig.take_in("j4", OnBusy.ROLLBACK)
    assert out(rig) == {"j1": "", "j2": "", "j3": ""}
    assert taken.ended == 4, "with the end of j0, which nobody has delivered"
    assert rig.pending() == ["j4"]
    assert rig.ask("HKEYS", rig.box.keys.jobs) == [b"j4"]
    run_to_commit(rig, "j4")
    assert rig.history() == [*turn_of("j0"), *turn_of("j4")]


def test_rollback_takes_out_a_turn_between_two_attempts(rig: Rig) -> None:
    """Neither its back-off nor its attempts are the new job's."""
    rig.take_in("j1")
    rig.acquire("j1", "t1")
    rig.fail("t1", delay_ms=60_000)
    rig.take_in("j2", OnBusy.ROLLBACK)
    acquired = rig.acquire("j2", "t2")
    assert (acquired.outcome, acquired.attempt) == (AcquireOutcome.RUN, 1)


def test_rollback_races_with_the_commit(rig: Rig) -> None:
    """Just before it: the turn is committed, and there is nothing to roll back."""
    rig.take_in("j1")
    rig.acquire("j1", "t1")
    rig.commit("t1", "j1")
    taken = rig.take_in("j2", OnBusy.ROLLBACK)
    assert (taken.position, taken.stopping, out(rig)) == (0, "", {})
    assert rig.history() == list(turn_of("j1"))


# ---- replace_pending


def test_replace_pending_lets_the_running_turn_go_on(rig: Rig) -> None:
    """Of the others none runs; the new one is next."""
    for job in ("j1", "j2", "j3"):
        rig.take_in(job)
    rig.acquire("j1", "t1")
    taken = rig.take_in("j4", OnBusy.REPLACE_PENDING)
    assert (taken.position, taken.stopping, taken.wake) == (1, "", "")
    assert out(rig) == {"j2": "", "j3": ""}
    assert rig.renew("t1")
    committed = rig.commit("t1", "j1")
    assert committed.next is not None
    assert committed.next.job_id == "j4"
    assert rig.acquire("j2", "t2").outcome is AcquireOutcome.GONE


@pytest.mark.parametrize("how", ["fails", "dies"])
def test_a_turn_that_has_begun_is_not_replaced(rig: Rig, how: str) -> None:
    """Not between two attempts either."""
    rig.take_in("j1")
    rig.acquire("j1", "t1")
    if how == "fails":
        rig.fail("t1", delay_ms=100)
    rig.later(LEASE_MS)
    assert rig.take_in("j2", OnBusy.REPLACE_PENDING).ended == 0
    again = rig.acquire("j1", "t2")
    assert (again.outcome, again.attempt) == (AcquireOutcome.RUN, 2)


def test_a_head_that_nobody_has_begun_is_replaced(rig: Rig) -> None:
    """It waits like the others; its wake-up, under way, finds it gone and wakes the new one."""
    rig.take_in("j1")
    taken = rig.take_in("j2", OnBusy.REPLACE_PENDING)
    assert (taken.position, out(rig)) == (0, {"j1": ""})
    gone = rig.acquire("j1", "t1")
    assert gone.outcome is AcquireOutcome.GONE
    assert gone.next is not None
    assert gone.next.job_id == "j2"


@pytest.mark.parametrize("on_busy", [OnBusy.REPLACE_PENDING, OnBusy.MERGE])
def test_a_job_that_was_given_back_before_it_began_waits_again(rig: Rig, on_busy: OnBusy) -> None:
    """Its attempt does not count, as where it stands in the line of its model; and how long it was
    to wait is not how long the next one does."""
    rig.take_in("j1")
    rig.acquire("j1", "t1")
    rig.fail("t1", refund=True, delay_ms=60_000)
    assert rig.take_in("j2", on_busy).ended == 1
    assert list(out(rig)) == ["j1"]
    acquired = rig.acquire("j2", "t2")
    assert (acquired.outcome, acquired.attempt) == (AcquireOutcome.RUN, 1)


@pytest.mark.parametrize("on_busy", [OnBusy.ROLLBACK, OnBusy.REPLACE_PENDING])
def test_what_is_replaced_makes_room(rig: Rig, on_busy: OnBusy) -> None:
    """A full mailbox takes the job in; only a turn that goes on counts."""
    for job in ("j1", "j2"):
        rig.take_in(job)
    assert rig.take_in("j3", on_busy, cap=2).outcome is EnqueueOutcome.NEW
    rig.acquire("j3", "t3")
    taken = rig.take_in("j4", on_busy, cap=1)
    is_full = on_busy is OnBusy.REPLACE_PENDING
    assert taken.outcome is (EnqueueOutcome.FULL if is_full else EnqueueOutcome.NEW)
    assert rig.pending() == (["j3"] if is_full else ["j4"])


@pytest.mark.parametrize("on_busy", [OnBusy.REPLACE_PENDING, OnBusy.MERGE])
def test_taking_out_races_with_the_commit(rig: Rig, on_busy: OnBusy) -> None:
    """The next job was woken and has begun, or it was taken out before."""
    for job in ("j1", "j2"):
        rig.take_in(job)
    rig.acquire("j1", "t1")
    rig.commit("t1", "j1")
    assert rig.acquire("j2", "t2").outcome is AcquireOutcome.RUN
    rig.take_in("j3", on_busy)
    assert out(rig) == {}
    rig.commit("t2", "j2")
    rig.take_in("j4", on_busy)
    assert list(out(rig)) == ["j3"]
    assert rig.acquire("j3", "t3").outcome is AcquireOutcome.GONE
    assert rig.commit("t3", "j3").outcome is CommitOutcome.GONE
    run_to_commit(rig, "j4")


# ---- merge


def carried(rig: Rig, job: str) -> tuple[bytes, list[tuple[str, bytes]]]:
    """What the job's holder is given."""
    found = MergedEnvelope.parse(rig.acquire(job, "t").envelope)
    return found.envelope, [(one.job_id, one.envelope) for one in found.merged]


def test_merge_carries_what_waits_in_its_order(rig: Rig) -> None:
    """The others are done, each with a pointer; what runs is not touched."""
    for job in ("j1", "j2", "j3"):
        rig.take_in(job)
    rig.acquire("j1", "t1")
    taken = rig.take_in("j4", OnBusy.MERGE)
    assert (taken.outcome, taken.position) == (EnqueueOutcome.NEW, 1)
    assert (out(rig), taken.ended) == ({"j2": "j4", "j3": "j4"}, 2)
    assert rig.pending() == ["j1", "j4"]
    rig.commit("t1", "j1")
    assert carried(rig, "j4") == (
        envelope_of("j4"),
        [("j2", envelope_of("j2")), ("j3", envelope_of("j3"))],
    )
    assert rig.commit("t", "j4").outcome is CommitOutcome.OK
    repeat = rig.take_in("j2")
    assert (repeat.outcome, repeat.is_committed) == (EnqueueOutcome.DONE, False)
    for job, into in (("j2", "j4"), ("j3", "j4"), ("j4", None), ("j1", None), ("no", None)):
        assert rig.connection.run(merged_into(rig.box.keys, job)) == into


def test_a_merged_job_is_carried_on(rig: Rig) -> None:
    """A third message takes the second with all that it carries, in order."""
    for job in ("j1", "j2", "j3"):
        rig.take_in(job, OnBusy.MERGE)
    assert rig.pending() == ["j3"]
    assert carried(rig, "j3")[1] == [(job, envelope_of(job)) for job in ("j1", "j2")]
    assert rig.connection.run(merged_into(rig.box.keys, "j1")) == "j2"
    assert rig.connection.run(merged_into(rig.box.keys, "j2")) == "j3"


def test_merge_leaves_others_messages_alone(rig: Rig) -> None:
    """They keep their place; the merged turn comes where its last message was sent."""
    rig.take_in("a1", who="a")
    rig.take_in("b1", who="b")
    rig.take_in("a2", OnBusy.MERGE, who="a")
    assert out(rig) == {"a1": "a2"}
    assert rig.pending() == ["b1", "a2"]


def test_merged_messages_are_bounded(rig: Rig) -> None:
    """From the latest back; what would make them too long stays a turn of its own."""
    for job, size in (("j1", 10), ("j2", 40), ("j3", 20)):
        rig.take_in(job, text=job[1] * size)
    rig.take_in("j4", OnBusy.MERGE, text="4" * 30, merged_bytes=94)
    assert out(rig) == {"j2": "j4", "j3": "j4"}
    assert rig.pending() == ["j1", "j4"]
    # 30 + 2 + 20 + 2 + 40 are 94: one byte more is too long.
    assert rig.take_in("j5", OnBusy.MERGE, text="5", merged_bytes=96).ended == 2
    assert rig.pending() == ["j1", "j4", "j5"]


def test_what_is_kept_of_merged_jobs_is_bounded(rig: Rig) -> None:
    """A job is never larger than one may be: what would make it so stays a turn of its own."""
    for job in ("j1", "j2", "j3"):
        rig.take_in(job)
    one = len(envelope_of("j1")) + len("j1") + 20
    most = len(envelope_of("j4")) + 10 + 2 * one
    rig.take_in("j4", OnBusy.MERGE, merged_envelope_bytes=most)
    assert out(rig) == {"j2": "j4", "j3": "j4"}
    assert rig.pending() == ["j1", "j4"]
    rig.take_in("j5", OnBusy.MERGE, merged_envelope_bytes=most)
    assert rig.pending() == ["j1", "j4", "j5"]
    run_to_commit(rig, "j1")
    assert len(rig.acquire("j4", "t1").envelope) <= most


def test_a_merged_job_that_dies_takes_its_messages_with_it(rig: Rig) -> None:
    """They are in the dead letter, and come back with it."""
    for job in ("j1", "j2"):
        rig.take_in(job, OnBusy.MERGE)
    rig.acquire("j2", "t1")
    rig.bury("j2", "t1", dead_bytes=1000)
    stored = rig.ask("LRANGE", rig.box.keys.dead, 0, -1)
    assert isinstance(stored, list)
    assert envelope_of("j1") in stored[0]
    assert envelope_of("j2") in stored[0]


# ---- the ends of those that were taken out


@pytest.mark.parametrize("on_busy", [OnBusy.ROLLBACK, OnBusy.REPLACE_PENDING, OnBusy.MERGE])
def test_the_ends_wait_for_the_sender_and_then_for_anybody(rig: Rig, on_busy: OnBusy) -> None:
    """A sender that dies, or whose reply is lost, leaves them to a repeat or to the sweeper."""
    for job in ("j1", "j2"):
        rig.take_in(job)
    assert rig.take_in("j3", on_busy, owner="sender").ended == 2
    assert rig.take_in("j3", on_busy, owner="sender").ended == 2, "a repeat is told too"
    assert rig.take_ends("another").ends == ()
    assert {end.job_id for end in rig.take_ends("sender").ends} == {"j1", "j2"}
    rig.connection.run(outbox.delivered(rig.box.keys, [rig.ends()["j1"]]))
    assert rig.take_in("j3", on_busy, owner="sender").ended == 1
    rig.later(CLAIM_MS)
    assert [end.job_id for end in rig.take_ends("another").ends] == ["j2"]
    rig.connection.run(outbox.delivered(rig.box.keys, [rig.ends()["j2"]]))
    assert rig.take_in("j3", on_busy, owner="sender").ended == 0


# ---- the event


def test_the_queued_event_says_how_many_are_before(rig: Rig) -> None:
    """Once for each job, in the order of taking in, with a place that is true then."""
    for job in ("j1", "j2", "j3"):
        rig.take_in(job)
        rig.take_in(job)
    rig.take_in("j4", OnBusy.INTERRUPT)
    rig.take_in("j5", OnBusy.REPLACE_PENDING)
    rig.take_in("j6", OnBusy.MERGE)
    queued = [event for event in rig.events() if event.type is EventType.QUEUED]
    told_positions = [(event.job_id, dict(event.data)) for event in queued]
    positions = (("j1", 0), ("j2", 1), ("j3", 2), ("j4", 3), ("j5", 0), ("j6", 0))
    assert told_positions == [(job, {"position": place}) for job, place in positions]
    assert {event.attempt for event in queued} == {0}


def test_a_job_with_an_odd_id_is_told_as_it_is(rig: Rig) -> None:
    """Quotes, backslashes and signs of other scripts go into the event unharmed."""
    job = 'a "job"\\ {}, née 1:2'
    rig.take_in(job)
    assert rig.told() == [("queued", job)]
