"""No more calls at a model than it has places, from all workers, whatever dies."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from celery.exceptions import TaskRevokedError

from memory import EventType, Slots
from sandbox.process import ServerProcess
from tasks import CancelOutcome, chat_task, follow_job
from tests.support.effort import effort
from tests.support.faults.rig import GRACE_S, LEASE_S, SWEEP_S, Rig
from tests.support.faults.sender import AGENT_ID, Sender
from tests.support.machine import scaled
from tests.support.waiting import wait_until

LIMIT = 3
MODEL = "delay:25ms"
LONG = "delay:60s"
SINGLE = "delay:50ms"
CROWDED = f"delay:{scaled(1.5)}s"
BOUNDED = {
    "OLLAMA_NUM_PARALLEL": str(LIMIT),
    "OLLAMA_NUM_PARALLEL_BY_MODEL": f"{SINGLE}=1, {LONG}=1",
}
AGENTS = (AGENT_ID, "trade", "water")
SESSIONS = effort(5, long=40)
"""Of each agent, where there is a crowd."""

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module", autouse=True)
def workers(rig: Rig) -> list[ServerProcess]:
    """Two workers that know the limits, for as long as the module lasts."""
    return [rig.worker(name=f"steady{number}", **BOUNDED) for number in range(2)]


def slots(rig: Rig, model: str) -> Slots:
    """The places at one model."""
    return Slots(rig.keyspace, model, (rig.ollama.url,), LIMIT)


def waiting(rig: Rig, model: str) -> int:
    """How many sessions stand in line."""
    return rig.connection.run(slots(rig, model).waiting())


def assert_nobody_is_left(rig: Rig, model: str) -> None:
    """No place is taken or kept, nobody stands in line."""
    keys = slots(rig, model).keys
    left = [*keys.slots, keys.waiters, keys.round_robin, keys.enqueued_at]
    wait_until(lambda: not rig.observer.exists(*left), what="nothing is taken and nobody waits")


@pytest.mark.long
def test_many_jobs_never_exceed_the_limit(rig: Rig) -> None:
    """Sent by three agents at once, with several jobs in each session; each answered once."""
    rig.ollama.reset()
    senders = [Sender(MODEL, agent_id) for agent_id in AGENTS]
    for sender in senders:
        sender.send_all(sender.sessions(SESSIONS), 3)
    for sender in senders:
        rig.check(sender, timeout_s=60, max_calls=1)
    assert rig.ollama.stats.requests == len(AGENTS) * SESSIONS * 3
    assert rig.ollama.stats.peak == LIMIT
    assert_nobody_is_left(rig, MODEL)


@pytest.mark.long
@pytest.mark.slow
def test_a_killed_workers_slots_are_free_when_its_lease_ends(rig: Rig) -> None:
    """kill -9 of two of four workers in the middle of many jobs."""
    rig.ollama.reset()
    doomed = [rig.worker(name=f"doomed{number}", **BOUNDED) for number in range(2)]
    senders = [Sender(MODEL, agent_id) for agent_id in AGENTS]
    for sender in senders:
        sender.send_all(sender.sessions(SESSIONS), 2)
    for killed, worker in enumerate(doomed):
        wait_until(
            lambda killed=killed: rig.ollama.stats.requests > 2 * SESSIONS * (killed + 1),
            timeout_s=20,
            what="the jobs are under way",
        )
        worker.kill()
    for sender in senders:
        rig.check(sender, timeout_s=60)
    assert rig.ollama.stats.peak <= LIMIT
    assert_nobody_is_left(rig, MODEL)


def test_a_line_goes_on_after_the_death_of_the_only_holder(rig: Rig) -> None:
    """All places are with a worker that dies: the next is called within lease and sweep."""
    rig.ollama.reset()
    doomed = rig.worker("-Q", "doomed", name="doomed", **BOUNDED)
    first, second = Sender(LONG), Sender(LONG)
    (holding,), (following,) = first.sessions(1), second.sessions(1)
    held = first.send(holding, queue="doomed")
    rig.wait_active(1)
    later = second.send(following)
    wait_until(lambda: waiting(rig, LONG) == 1, what="the other stands in line")
    assert rig.ollama.stats.active == 1
    doomed.kill()
    began = time.monotonic()
    wait_until(
        lambda: rig.ollama.stats.requests == 2,
        timeout_s=LEASE_S + SWEEP_S + GRACE_S + rig.slack_s,
        what="the next asks the model",
    )
    assert time.monotonic() - began < scaled(LEASE_S + SWEEP_S + GRACE_S + rig.slack_s)
    for job in (held, later):
        chat_task.cancel(job.id, "discard")
    rig.wait_active(0)
    assert_nobody_is_left(rig, LONG)


@contextmanager
def occupied(rig: Rig, model: str) -> Iterator[None]:
    """The one place of a model is taken within the block; who is called at its end is woken."""
    at = replace(slots(rig, model), limit=1)
    assert rig.connection.run(at.take(rig.keys("nobody"), "nobody", lease_ms=60_000))
    yield
    rig.connection.run(at.release("nobody", took_ms=1))  # the sweeper calls


def test_a_stopping_worker_leaves_its_slot_at_once(rig: Rig) -> None:
    """SIGTERM with too little time: who stands in line is called before any lease ends."""
    rig.ollama.reset()
    stopping = rig.worker("-Q", "stopping", name="stopping", WORKER_DRAIN_SECONDS="0.1", **BOUNDED)
    sender = Sender(LONG)
    holding, following = sender.sessions(2)
    held = sender.send(holding, queue="stopping")
    rig.wait_active(1)
    later = sender.send(following)
    wait_until(lambda: waiting(rig, LONG) == 1, what="the other stands in line")
    began = time.monotonic()
    stopping.signal(signal.SIGTERM)
    wait_until(lambda: rig.ollama.stats.requests == 2, what="the next asks the model")
    assert time.monotonic() - began < scaled(0.1 + SWEEP_S + rig.slack_s)
    assert stopping.wait(scaled(10)) == 0, stopping.log_tail()
    assert rig.ollama.stats.peak == 1
    for job in (held, later):
        chat_task.cancel(job.id, "discard")
    rig.wait_active(0)
    assert_nobody_is_left(rig, LONG)


def test_jobs_of_one_agent_ask_in_the_order_of_sending(rig: Rig) -> None:
    """One place: what arrived first is called first, whichever worker had it in hand first."""
    rig.ollama.reset()
    sender = Sender(SINGLE)
    with occupied(rig, SINGLE):
        for session_id in sender.sessions(8):
            sender.send(session_id)
        wait_until(lambda: waiting(rig, SINGLE) == 8, what="all stand in line")
    rig.check(sender, timeout_s=30, max_calls=1)
    asked = [call.messages[-1]["content"] for call in rig.ollama.calls]
    assert asked == [sent.message for jobs in sender.jobs.values() for sent in jobs]
    assert rig.ollama.stats.peak == 1


def test_agents_get_slots_in_turn(rig: Rig) -> None:
    """One with a long line does not keep another from its answer."""
    rig.ollama.reset()
    busy, calm = Sender(SINGLE), Sender(SINGLE, "trade")
    with occupied(rig, SINGLE):
        for session_id in busy.sessions(6):
            busy.send(session_id)
        wait_until(lambda: waiting(rig, SINGLE) == 6, what="there is a line")
        for session_id in calm.sessions(3):
            calm.send(session_id)
        wait_until(lambda: waiting(rig, SINGLE) == 9, what="all stand in line")
    rig.check(busy, timeout_s=30, max_calls=1)
    rig.check(calm, max_calls=1)
    asked = [str(call.messages[-1]["content"]).split()[0] for call in rig.ollama.calls]
    assert [session_id in calm.jobs for session_id in asked] == [False, True] * 3 + [False] * 3


def test_a_job_in_line_is_told_so_and_can_be_cancelled(rig: Rig) -> None:
    """At once, though the model is busy; whoever stands behind it goes on."""
    rig.ollama.reset()
    sender = Sender(LONG)
    holding, waits, behind = sender.sessions(3)
    held = sender.send(holding)
    rig.wait_active(1)
    slot_wait = sender.send(waits)
    wait_until(lambda: waiting(rig, LONG) == 1, what="one stands in line")
    last = sender.send(behind)
    wait_until(lambda: waiting(rig, LONG) == 2, what="two stand in line")
    told = next(event for event in follow_job(last.id) if event.type is EventType.WAITING)
    assert told.data["ahead"] == 1
    seen = rig.python("from worker.cli import main; main(['status'])", role="operator", **BOUNDED)
    row = next(line.split("\t") for line in seen.stdout.splitlines() if LONG in line)
    assert row[:3] == [LONG, f"1 of 1 at {rig.ollama.url}", "2"], seen.stderr
    assert chat_task.cancel(slot_wait.id) is CancelOutcome.CANCELLED
    with pytest.raises(TaskRevokedError):
        slot_wait.get(timeout=scaled(5))
    assert chat_task.cancel(held.id, "discard") is CancelOutcome.STOPPING
    wait_until(lambda: rig.ollama.stats.requests == 2, what="the last one asks the model")
    assert chat_task.cancel(last.id, "discard") is CancelOutcome.STOPPING
    rig.wait_active(0)
    assert_nobody_is_left(rig, LONG)


def test_jobs_in_line_hold_no_slot_and_are_no_attempts(rig: Rig) -> None:
    """I6: two slots, one place: a job for another model runs at once, however many wait."""
    rig.ollama.reset()
    worker = rig.worker("-Q", "slots", "-c", "2", name="slots", **BOUNDED)
    crowd, other = Sender(LONG), Sender("instant")
    jobs = [crowd.send(session_id, queue="slots") for session_id in crowd.sessions(8)]
    wait_until(lambda: waiting(rig, LONG) == 7, what="all but one stand in line")
    (free,) = other.sessions(1)
    assert other.send(free, queue="slots").get(timeout=scaled(5))["session_id"] == free
    attempts = {
        rig.observer.hget(rig.keys(session_id).lease, "attempt") for session_id in crowd.jobs
    }
    assert attempts == {b"0", b"1"}
    for job in reversed(jobs):
        chat_task.cancel(job.id, "discard")
    rig.wait_active(0)
    assert_nobody_is_left(rig, LONG)
    worker.kill()


def test_a_lost_call_is_made_up_for(rig: Rig) -> None:
    """The place is kept in vain for a session whose wake-up is gone; then it is called again."""
    rig.ollama.reset()
    sender = Sender(SINGLE)
    (session_id,) = sender.sessions(1)
    at = slots(rig, SINGLE)
    rig.connection.run(at.take(rig.keys("nobody"), "gone", lease_ms=60_000))
    sender.send(session_id)
    wait_until(lambda: waiting(rig, SINGLE) == 1, what="it stands in line")
    rig.connection.run(at.release("gone", took_ms=1))
    rig.connection.run(at.grant_next(reserve_ms=round(scaled(GRACE_S) * 1000)))
    rig.check(sender, timeout_s=GRACE_S + 2 * SWEEP_S + rig.slack_s, max_calls=1)
    assert_nobody_is_left(rig, SINGLE)


def test_without_a_limit_nothing_is_counted(rig: Rig) -> None:
    """As it was: as many calls as there are jobs, and no key of a place."""
    rig.ollama.reset()
    worker = rig.worker("-Q", "free", name="free")
    sender = Sender(CROWDED)
    for session_id in sender.sessions(12):
        sender.send(session_id, queue="free")
    rig.wait_active(12)
    assert not rig.observer.exists(*slots(rig, CROWDED).keys.slots)
    rig.check(sender, max_calls=1)
    worker.kill()
