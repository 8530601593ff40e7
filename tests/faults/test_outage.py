"""A model server is away for a while: it costs its jobs time, and no attempt."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery.exceptions import TaskRevokedError

from memory import EventType, Outage, Slots, dead_letters
from sandbox.process import ServerProcess
from tasks import CancelOutcome, JobFailed, chat_task, follow_job
from tests.support.effort import effort
from tests.support.faults.rig import Rig
from tests.support.faults.sender import Sender
from tests.support.machine import SLOWNESS, scaled
from tests.support.waiting import elapsed, wait_until

pytestmark = pytest.mark.timeout(240)

AWAY_S = effort(6, long=60)
SESSIONS, JOBS = effort(6, long=20), effort(3, long=8)
LIMIT = 2
BOUNDED = {"OLLAMA_NUM_PARALLEL": str(LIMIT)}
PROFILES = """
[agents.careful]
model = "gpu-500"
fallback = ["missing", "instant"]
fallback_after_s = {after_s}
"""


@pytest.fixture(scope="module", autouse=True)
def workers(rig: Rig) -> list[ServerProcess]:
    """Two workers, for as long as the module lasts."""
    return [rig.worker(name=f"steady{number}") for number in range(2)]


def make_well(rig: Rig) -> None:
    """Return when the outage before is over; its calls are forgotten."""
    outage = Outage(rig.keyspace, rig.ollama.url)
    wait_until(lambda: rig.connection.run(outage.state()) is None, timeout_s=20, what="all is well")
    rig.ollama.reset()


@contextmanager
def stopped(rig: Rig) -> Iterator[None]:
    """The server is away within the block, whatever it was doing."""
    rig.ollama.stop()
    try:
        yield
    finally:
        rig.ollama.start()


@contextmanager
def away(rig: Rig) -> Iterator[None]:
    """The same where all was well and nothing ran."""
    make_well(rig)
    with stopped(rig):
        yield


def parked(rig: Rig) -> int:
    """How many sessions wait for the server."""
    return rig.connection.run(Outage(rig.keyspace, rig.ollama.url).waiting())


def attempts_of(sender: Sender) -> set[int]:
    """The numbers of the attempts that have answered."""
    jobs = [sent for jobs in sender.jobs.values() for sent in jobs]
    return {chat_task.AsyncResult(sent.job_id).get(timeout=scaled(5))["attempt"] for sent in jobs}


@pytest.mark.long
def test_a_restart_under_load_costs_nothing_but_time(rig: Rig) -> None:
    """As an upgrade does: jobs are queued when it begins (160 in the long run), some in mid-reply,
    and more come meanwhile. All are answered in order, in their first attempt, none is dead.
    """
    make_well(rig)
    sender = Sender("slow-tokens:16x50ms")
    sessions = sender.sessions(SESSIONS)
    sender.send_all(sessions, JOBS)
    wait_until(lambda: rig.ollama.stats.active >= SESSIONS // 2, what="it is at work")
    with stopped(rig):
        sender.send_all(sessions, 2)
        wait_until(lambda: parked(rig) == SESSIONS, what="every session waits")
        wait_until(elapsed(AWAY_S / SLOWNESS), timeout_s=2 * AWAY_S, what="it is away for long")
        assert parked(rig) == SESSIONS
    # A call that broke off is made once more.
    rig.check(sender, timeout_s=60, max_calls=2)
    assert attempts_of(sender) == {1}
    assert sum(map(len, sender.jobs.values())) == SESSIONS * (JOBS + 2)
    assert parked(rig) == 0


@pytest.mark.slow
def test_an_outage_is_logged_once(rig: Rig, workers: list[ServerProcess]) -> None:
    """As a warning by whoever meets it first, and when it is over, with what has waited."""
    before: dict[ServerProcess, int] = {}

    # Of all workers that run: any of them may be the one that looks.
    def lines(word: str) -> list[str]:
        texts = (one.log_text()[start:] for one, start in before.items())
        return [line for text in texts for line in text.splitlines() if word in line]

    sender = Sender()
    with away(rig):
        before |= {one: len(one.log_text()) for one in rig.stack.processes if one.is_running}
        assert before.keys() >= set(workers)
        sender.send_all(sender.sessions(8), 1)
        wait_until(lambda: parked(rig) == 8, what="every session waits")
        wait_until(elapsed(1), what="somebody has looked")
    rig.check(sender, max_calls=1)
    # Of the outage before the last line may be as late.
    wait_until(lambda: lines("8 jobs have waited"), timeout_s=20, what="the outage is over")
    (warning,) = lines(" is unavailable (")
    assert "WARNING" in warning
    assert rig.ollama.url in warning
    (over,) = lines("8 jobs have waited")
    assert "INFO" in over
    assert "answers again" in over


def test_no_slot_is_held_and_all_wait_in_one_place(rig: Rig) -> None:
    """Those that waited for a slot, too; when the server is back the slots bound the calls."""
    rig.worker("-Q", "bounded", name="bounded", **BOUNDED)
    sender = Sender("delay:50ms")
    slots = Slots(rig.keyspace, "delay:50ms", (rig.ollama.url,), LIMIT)
    with away(rig):
        for session_id in sender.sessions(5):
            sender.send(session_id, queue="bounded")
            sender.send(session_id, queue="bounded")
        wait_until(lambda: parked(rig) == 5, what="every session waits for the server")
        assert rig.connection.run_each(slots.taken()) == [0]
        assert rig.connection.run(slots.waiting()) == 0
    rig.check(sender, timeout_s=30, max_calls=1)
    assert attempts_of(sender) == {1}
    assert rig.ollama.stats.peak <= LIMIT


def test_who_waits_is_told_why_and_can_be_cancelled(rig: Rig) -> None:
    """The follower, `griot status` and `griot check` name the server and since when."""
    sender = Sender()
    with away(rig):
        (session_id,) = sender.sessions(1)
        job, behind = sender.send(session_id), sender.send(session_id)
        told = next(event for event in follow_job(job.id) if event.type is EventType.WAITING)
        assert told.data["reason"] == "servers_away"
        assert told.data["servers"] == [rig.ollama.url.removeprefix("http://")]
        status, check = rig.griot(["status", "--json"], ["check", "--json"])
        found = json.loads(status)["outages"]
        (outage,) = (one for one in found if not one["model"])
        assert (outage["server"], outage["is_away"], outage["waiting"]) == (rig.ollama.url, True, 1)
        assert outage["since_ms"] == pytest.approx(1000 * told.data["since"], abs=100)
        named = [one["found"] for one in json.loads(check) if one["check"] == "outage"]
        assert any("away for the workers" in one and "1 sessions wait" in one for one in named)
        assert chat_task.cancel(job.id) is CancelOutcome.CANCELLED
        with pytest.raises(TaskRevokedError):
            job.get(timeout=scaled(5))
    assert behind.get(timeout=scaled(20))["attempt"] == 1


def test_who_waits_too_long_is_a_dead_letter_that_says_so(rig: Rig) -> None:
    """After CHAT_MAX_WAIT_SECONDS, each job for itself; it is logged as a warning."""
    worker = rig.worker("-Q", "hasty", name="hasty", CHAT_MAX_WAIT_SECONDS="1")
    sender = Sender()
    with away(rig):
        (session_id,) = sender.sessions(1)
        jobs = [sender.send(session_id, queue="hasty") for _ in range(2)]
        for job in jobs:
            with pytest.raises(JobFailed, match="CHAT_MAX_WAIT_SECONDS=1"):
                job.get(timeout=scaled(30))
    wait_until(lambda: "is a dead letter" in worker.log_text(), what="it is logged")
    (line,) = [one for one in worker.log_text().splitlines() if f"{jobs[0].id} is a dead" in one]
    assert "WARNING" in line
    worker.stop()


def test_a_dead_letter_says_what_each_attempt_came_to(rig: Rig) -> None:
    """Its last error is the reason; the others are kept with their times."""
    rig.ollama.reset()
    sender = Sender("gone-500")
    (session_id,) = sender.sessions(1)
    hopeless = sender.send(session_id)
    with pytest.raises(JobFailed, match="HTTP 500"):
        hopeless.get(timeout=scaled(30))
    letters = rig.connection.run(dead_letters.letters(rig.mailbox(session_id)))
    letter = letters.find(hopeless.id)
    assert letter is not None
    assert [one.attempt for one in letter.failures] == [1, 2, 3, 4]
    assert all("HTTP 500" in one.error for one in letter.failures)
    times = [one.failed_at_ms for one in letter.failures]
    assert times == sorted(times)
    (shown,) = rig.griot(["dead-letters", "show", hopeless.id])
    assert "attempt 4" in shown


@pytest.mark.parametrize("after_s", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_another_model_answers_while_no_server_can_load_its_own(
    rig: Rig, tmp_path: Path, after_s: float
) -> None:
    """After its time, and only one that can; the receipt says so."""
    rig.ollama.reset()
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(PROFILES.format(after_s=after_s))
    name = f"falling{after_s}"
    worker = rig.worker("-Q", name, name=name, AGENT_PROFILES=str(profiles))
    options = {"agent_id": "careful", "session_id": f"fallback-{after_s}", "message": "hello"}
    result = chat_task.apply_async(kwargs=options, queue=name).get(timeout=scaled(30))
    assert (result["model"], result["receipt"]["fallback_for"]) == ("instant", "gpu-500")
    assert result["attempt"] == 1
    assert "uses instant: no server can answer with gpu-500" in worker.log_text()
    named = chat_task.apply_async(kwargs={**options, "model": "gpu-500"}, queue=name)
    told = next(event for event in follow_job(named.id) if event.type is EventType.WAITING)
    assert told.data["reason"] == "servers_away", "who names a model gets no other"
    state = rig.connection.run(Outage(rig.keyspace, rig.ollama.url).state())
    assert state is None or not state.is_away, "jobs for other models go on"
    assert chat_task.cancel(named.id) is CancelOutcome.CANCELLED
    worker.stop()


def test_workers_that_start_in_an_outage_find_who_waits(
    rig: Rig, workers: list[ServerProcess]
) -> None:
    """All that parked the sessions are dead."""
    sender = Sender()
    with away(rig):
        sender.send_all(sender.sessions(5), 1)
        wait_until(lambda: parked(rig) == 5, what="every session waits")
        for worker in workers:
            worker.kill()
        workers[:] = [rig.worker(name="fresh")]
    rig.check(sender, timeout_s=30, max_calls=1)
    assert attempts_of(sender) == {1}
