"""A job's id is one request of one session: claimed with the job, compared, kept as long as it."""

import pytest

from memory import dead_letters, outbox
from memory.errors import CorruptData, MemoryFull
from memory.lifetimes import DEAD_MS, DEDUPE_MS
from memory.mailbox.intake import Claim, EnqueueOutcome, Intake, OnBusy, claim
from memory.mailbox.outcomes import AcquireOutcome
from memory.mailbox.pointer import keep_pointer, locate, unclaim
from memory.redis.command import Command
from memory.redis.replies import raw
from tests.support.mailbox.rig import GRACE_MS, Rig, request_of

pytest_plugins = ["tests.support.mailbox.fixtures"]


@pytest.mark.parametrize("on_busy", OnBusy)
@pytest.mark.parametrize("state", ["waits", "runs", "is done", "is cancelled", "is erased"])
def test_another_session_cannot_have_the_id(rig: Rig, on_busy: OnBusy, state: str) -> None:
    """It is refused, and nothing of the first is touched or of its own made."""
    rig.take_in("j1", text="same")
    if state in ("runs", "is done"):
        rig.acquire("j1", "t1")
    if state == "is done":
        rig.commit("t1", "j1")
    if state == "is cancelled":
        rig.cancel("j1")
    if state == "is erased":
        rig.erase("eraser")
    other = rig.other("session-2")
    before = rig.dump()
    assert other.take_in("j1", on_busy, text="same").outcome is EnqueueOutcome.CONFLICT
    after = rig.dump()
    due = rig.keyspace.due.encode()
    assert {**after, due: None} == {**before, due: None}
    assert rig.connection.run(locate(rig.keyspace, "j1")) == rig.box.keys
    assert rig.take_in("j1", text="same").outcome in (EnqueueOutcome.PENDING, EnqueueOutcome.DONE)


def test_another_request_cannot_have_the_id_once_the_session_has_forgotten_it(rig: Rig) -> None:
    """The pointer is what is compared: it lives as long as anything of the job."""
    rig.take_in("j1", text="this")
    rig.cancel("j1")
    rig.ask("DEL", rig.box.keys.requests, rig.box.keys.done)
    assert rig.take_in("j1", text="that").outcome is EnqueueOutcome.CONFLICT
    assert rig.take_in("j1", text="this").outcome is EnqueueOutcome.NEW


@pytest.mark.parametrize("on_busy", [OnBusy.REJECT, OnBusy.ENQUEUE])
def test_who_is_refused_leaves_no_pointer(rig: Rig, on_busy: OnBusy) -> None:
    """Nobody has heard of the job; it can be sent again as anything."""
    rig.take_in("j1")
    assert rig.take_in("j2", on_busy, cap=1).outcome is EnqueueOutcome.FULL
    assert rig.ask("EXISTS", rig.keyspace.job("j2")) == 0
    assert rig.connection.run(locate(rig.keyspace, "j2")) is None
    assert rig.other("session-2").take_in("j2", text="another").outcome is EnqueueOutcome.NEW


def test_a_sender_that_met_full_memory_leaves_no_pointer(real_rig: Rig) -> None:
    """Pointer and job are one step."""
    real_rig.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(MemoryFull):
            real_rig.enqueue("j1")
    finally:
        real_rig.ask("CONFIG", "SET", "maxmemory", "0")
    assert real_rig.ask("EXISTS", real_rig.keyspace.job("j1")) == 0


def test_a_repeat_does_not_need_the_pointer(rig: Rig) -> None:
    """It was lost: the sender is answered, and so is who has another text."""
    rig.take_in("j1", text="this")
    rig.ask("DEL", rig.keyspace.job("j1"))
    assert rig.take_in("j1", text="this").outcome is EnqueueOutcome.PENDING


def test_a_pointer_that_is_none_of_ours_conflicts_or_is_named(rig: Rig) -> None:
    """Somebody wrote it; no mailbox is found by it."""
    rig.ask("SET", rig.keyspace.job("j1"), b"\xff not ours", "EX", 60)
    assert rig.take_in("j1").outcome is EnqueueOutcome.CONFLICT
    with pytest.raises(CorruptData):
        rig.connection.run(locate(rig.keyspace, "j1"))


def test_a_claim_may_be_repeated_and_is_one_requests(rig: Rig) -> None:
    """On a cluster, in a trip before the job is taken in."""
    pointer = rig.keyspace.job("j1")

    def ask(identity: str) -> Claim:
        return rig.connection.run(claim(pointer, identity))

    assert [ask("this"), ask("this"), ask("that")] == [
        Claim.CLAIMED,
        Claim.KNOWN,
        Claim.CONFLICT,
    ]
    assert 0 < rig.ttl_ms(pointer) <= DEDUPE_MS
    rig.connection.run(unclaim(rig.keyspace, "j1"))
    assert ask("that") is Claim.CLAIMED


def test_a_claim_is_what_taking_in_compares(rig: Rig) -> None:
    """One identity, whoever writes it."""
    intake = Intake("j1", b"", 9, request=request_of("j1"))
    pointer = rig.keyspace.job("j1")
    assert rig.connection.run(claim(pointer, intake.identity(rig.box.keys))) is Claim.CLAIMED
    assert rig.take_in("j1").outcome is EnqueueOutcome.NEW
    assert rig.connection.run(claim(pointer, intake.identity(rig.box.keys))) is Claim.KNOWN


def test_a_dead_letter_is_found_for_as_long_as_it_is_kept(rig: Rig) -> None:
    """Also when the dedupe window is over."""
    rig.take_in("j1")
    rig.bury("j1")
    rig.connection.run(keep_pointer(rig.keyspace, "j1"))
    assert DEDUPE_MS < rig.ttl_ms(rig.keyspace.job("j1")) <= DEAD_MS
    assert rig.connection.run(locate(rig.keyspace, "j1")) == rig.box.keys


def requeue(rig: Rig, job: str) -> EnqueueOutcome:
    """Put the letter of a job back."""
    letter = rig.connection.run(dead_letters.letters(rig.box)).find(job)
    assert letter is not None
    intake = dead_letters.requeued(rig.box.keys, letter, request=request_of(job), cap=9)
    commands = rig.box.take_in(intake, grace_ms=GRACE_MS)
    return rig.connection.run_last(*commands).outcome


def test_a_letter_whose_new_id_is_taken_is_not_lost(rig: Rig) -> None:
    """In this session or in another, it conflicts and the letter stays."""
    for job in ("j1", "j2"):
        rig.take_in(job)
        rig.bury(job)
    rig.take_in("j1~r1", text="somebody's own")
    rig.other("session-2").take_in("j2~r1", text="somebody's own")
    assert [requeue(rig, "j1"), requeue(rig, "j2")] == [EnqueueOutcome.CONFLICT] * 2
    assert len(rig.connection.run(dead_letters.letters(rig.box)).letters) == 2
    assert rig.pending() == ["j1~r1"]


def test_putting_back_after_a_lost_reply_doubles_nothing(rig: Rig) -> None:
    """Its new id is always the same; and its first end stays delivered."""
    rig.take_in("j1")
    rig.bury("j1")
    rig.connection.run(outbox.delivered(rig.box.keys, rig.take_ends().ends))
    assert requeue(rig, "j1") is EnqueueOutcome.NEW
    assert requeue(rig, "j1") is EnqueueOutcome.PENDING
    assert rig.acquire("j1~r1", "t1").outcome is AcquireOutcome.RUN
    rig.commit("t1", "j1~r1")
    assert requeue(rig, "j1") is EnqueueOutcome.DONE
    assert set(rig.ends()) == {"j1~r1"}


def test_the_pointer_says_which_request_of_which_session(rig: Rig) -> None:
    """And no word of it."""
    rig.take_in("j1", text="a secret")
    pointer = rig.connection.run(Command(raw, ("GET", rig.keyspace.job("j1"))))
    digest = request_of("a secret").digest
    assert pointer.decode() == f"{digest} {rig.box.keys.history}"
