"""A session is as urgent as the most urgent of its jobs that wait; its order stays."""

import pytest

from memory import Priority, StopPolicy
from memory.mailbox import looks
from memory.mailbox.intake import OnBusy
from memory.mailbox.outcomes import AcquireOutcome, SweepOutcome
from tests.support.mailbox.rig import Rig

pytest_plugins = ["tests.support.mailbox.fixtures"]

INTERACTIVE, NORMAL, BATCH = Priority


def urgency(rig: Rig) -> Priority:
    """How urgent the session is, as its head says that runs now; it is given back."""
    (head, *_) = rig.pending()
    acquired = rig.acquire(head, "look")
    assert acquired.outcome is AcquireOutcome.RUN
    assert rig.connection.run(looks.asked_meanwhile(rig.box.keys, head, acquired)) is None
    assert rig.fail("look", refund=True)
    return acquired.priority


@pytest.mark.parametrize("first", Priority)
@pytest.mark.parametrize("second", Priority)
def test_the_most_urgent_job_that_waits_decides(
    rig: Rig, first: Priority, second: Priority
) -> None:
    """Before it and after it is the head; then the other alone."""
    rig.take_in("j1", priority=first)
    assert urgency(rig) is first
    rig.take_in("j2", priority=second)
    assert urgency(rig) is min(first, second, key=lambda one: one.rank)
    rig.acquire("j1", "t1")
    committed = rig.commit("t1", "j1")
    assert committed.next is not None
    assert committed.next.priority is second
    assert urgency(rig) is second
    assert rig.pending() == ["j2"]


def test_a_session_falls_back_when_its_urgent_job_has_ended(rig: Rig) -> None:
    """And rises again with the next one; order is as sent."""
    for job, priority in (("j1", BATCH), ("j2", INTERACTIVE), ("j3", BATCH), ("j4", NORMAL)):
        rig.take_in(job, priority=priority)
    found = []
    for job in ("j1", "j2", "j3", "j4"):
        found.append(urgency(rig))
        assert rig.acquire(job, job).outcome is AcquireOutcome.RUN
        rig.commit(job, job)
    assert found == [INTERACTIVE, INTERACTIVE, NORMAL, NORMAL]
    rig.take_in("j5", priority=BATCH)
    assert urgency(rig) is BATCH


@pytest.mark.parametrize("is_lifted", [True, False])
def test_who_gives_a_job_back_hears_what_was_asked_meanwhile(rig: Rig, is_lifted: bool) -> None:
    """A more urgent job, or a wish to stop, came while the lease lived: the sender woke nobody."""
    rig.take_in("j1", priority=BATCH)
    acquired = rig.acquire("j1", "t1")
    asked = looks.asked_meanwhile(rig.box.keys, "j1", acquired)
    assert rig.connection.run(asked) is None
    if is_lifted:
        assert rig.take_in("j2", priority=INTERACTIVE).wake == ""
    else:
        rig.connection.run(rig.box.stop("j1", StopPolicy.KEEP))
    mine = rig.connection.run(asked)
    assert mine is not None
    assert (mine.job_id, mine.priority) == ("j1", INTERACTIVE if is_lifted else BATCH)


def test_a_waiting_head_is_woken_by_a_more_urgent_job(rig: Rig) -> None:
    """Once for each step up; not where nothing rises, nor where the head runs."""
    rig.take_in("j1", priority=BATCH)
    wakes = [
        rig.take_in(f"k{number}", priority=priority).wake
        for number, priority in enumerate((BATCH, NORMAL, NORMAL, BATCH, INTERACTIVE, NORMAL))
    ]
    assert wakes == ["", "j1", "", "", "j1", ""]
    running = rig.other("running")
    running.take_in("r1", priority=BATCH)
    running.acquire("r1", "t1")
    assert running.take_in("r2", priority=INTERACTIVE).wake == ""
    running.commit("t1", "r1")


def test_a_normal_session_has_no_field_of_it(rig: Rig) -> None:
    """It costs nothing where it is not used."""
    for job in ("j1", "j2"):
        rig.take_in(job)
    fields = rig.ask("HKEYS", rig.box.keys.lease)
    assert not {b"interactive_until", b"batch_from"} & set(fields)  # type: ignore[call-overload]  # a list


@pytest.mark.parametrize("priority", Priority)
def test_whoever_is_to_wake_the_head_learns_it(rig: Rig, priority: Priority) -> None:
    """The sweeper, who cancels, who comes too early, who finds the job gone."""
    rig.take_in("j1", priority=BATCH)
    rig.take_in("j2", priority=priority)
    expected = min(BATCH, priority, key=lambda one: one.rank)
    swept = rig.sweep()
    assert swept.outcome is SweepOutcome.WAKE
    early = rig.acquire("j2", "t2").head
    unknown = rig.acquire("nobody", "t3").next
    cancelled = rig.cancel("j1").next
    gone = rig.acquire("j1", "t4").next
    for woken, wanted in (
        (swept.head, expected), (early, expected), (unknown, expected), (cancelled, priority),
        (gone, priority),
    ):  # fmt: skip
        assert woken is not None
        assert woken.priority is wanted


@pytest.mark.parametrize("waiting", Priority)
@pytest.mark.parametrize("merging", Priority)
def test_a_job_is_as_urgent_as_what_it_carries(
    rig: Rig, waiting: Priority, merging: Priority
) -> None:
    """An urgent message does not become one that has time by being merged into such."""
    rig.take_in("j1", priority=waiting)
    assert rig.take_in("j2", OnBusy.MERGE, priority=merging).wake == ""
    assert rig.pending() == ["j2"]
    assert urgency(rig) is min(waiting, merging, key=lambda one: one.rank)


def test_a_delayed_job_is_urgent_when_it_is_due(rig: Rig) -> None:
    """Until then it holds nobody up, and lifts nobody."""
    rig.take_in("j1", priority=BATCH)
    rig.delay("j2", 1000)
    assert urgency(rig) is BATCH
    rig.later(1000)
    assert rig.take_in("j2", priority=INTERACTIVE).wake == "j1"
    assert urgency(rig) is INTERACTIVE
