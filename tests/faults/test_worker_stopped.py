"""A worker is asked to stop, is frozen, is killed again and again: faults 10 to 12 and 25."""

import signal

import pytest

from sandbox.process import ServerProcess
from tests.support.effort import effort
from tests.support.faults.rig import GRACE_S, LEASE_S, SWEEP_S, Rig
from tests.support.faults.sender import Sender
from tests.support.machine import scaled
from tests.support.waiting import wait_until


def test_a_stopping_worker_finishes_its_turn(rig: Rig, sender: Sender) -> None:
    """SIGTERM in mid-stream with time enough: the turn is done once, and the exit status is 0."""
    worker = rig.worker("-Q", "finishing", name="finishing")
    (session_id,) = sender.sessions(1)
    sender.send(session_id, model="slow-tokens:40x25ms", queue="finishing")
    rig.wait_active(1)
    worker.signal(signal.SIGTERM)
    assert worker.wait(scaled(10)) == 0, worker.log_tail()
    rig.check(sender, timeout_s=0.1, max_calls=1)


@pytest.mark.parametrize("pool", ["", pytest.param("threads", marks=pytest.mark.slow), "processes"])
def test_a_stopping_worker_gives_back_what_takes_too_long(
    rig: Rig, steady: ServerProcess, sender: Sender, pool: str
) -> None:
    """SIGTERM in mid-stream with too little time: another worker has the attempt at once, under
    our pool and Celery's."""
    name = f"too-late-{pool}"
    options = ("-P", pool, "-c", "2") if pool else ()
    worker = rig.worker("-Q", name, *options, name=name, WORKER_DRAIN_SECONDS="0.3")
    (session_id,) = sender.sessions(1)
    rig.ollama.script("ok", ["slow-tokens:1000x20ms", "instant"])
    sent = sender.send(session_id, model="ok", queue=name)
    sender.send(session_id)
    rig.wait_active(1)
    rig.consume(name)
    worker.signal(signal.SIGTERM)
    assert worker.wait(scaled(5)) == 0, worker.log_tail()
    rig.check(sender, timeout_s=1 + rig.slack_s, max_calls=2)
    assert sent.get(timeout=scaled(5))["attempt"] == 1, (
        "an attempt that was given back does not count"
    )


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGQUIT, marks=pytest.mark.slow)]
)
def test_a_stopping_worker_that_is_told_to_hurry(
    rig: Rig, steady: ServerProcess, sender: Sender, number: signal.Signals
) -> None:
    """A second Ctrl-C, or a SIGQUIT: nothing is waited for, all that runs is given back."""
    worker = rig.worker("-Q", number.name, name=number.name, WORKER_DRAIN_SECONDS="60")
    rig.ollama.script("ok", ["slow-tokens:500x20ms", "slow-tokens:500x20ms", "instant", "instant"])
    sent = [sender.send(one, model="ok", queue=number.name) for one in sender.sessions(2)]
    rig.wait_active(2)
    rig.consume(number.name)
    worker.signal(signal.SIGINT)
    wait_until(lambda: "Warm shutdown" in worker.log_text(), what="it has heard the first")
    worker.signal(number)
    worker.wait(scaled(10))
    assert "Traceback" not in worker.log_text(), worker.log_tail()
    rig.check(sender, timeout_s=1 + rig.slack_s, max_calls=2)
    assert [job.get(timeout=scaled(5))["attempt"] for job in sent] == [1, 1]


@pytest.mark.parametrize(
    "is_late",
    [
        pytest.param(False, id="other still runs"),
        pytest.param(True, id="other is done", marks=pytest.mark.slow),
    ],
)
def test_a_worker_that_slept_past_its_lease(
    rig: Rig, steady: ServerProcess, sender: Sender, is_late: bool
) -> None:
    """SIGSTOP past the lease, another takes the turn, SIGCONT: the late reply is dropped."""
    name = f"sleeper-{is_late:d}"
    sleeper = rig.worker("-Q", name, name=name)
    second = "delay:0.2s" if is_late else f"delay:{scaled(1)}s"
    rig.ollama.script("ok", [f"delay:{scaled(0.8)}s", second])
    (session_id,) = sender.sessions(1)
    sent = sender.send(session_id, model="ok", queue=name)
    sender.send(session_id)
    rig.wait_active(1)
    sleeper.freeze()
    rig.consume(name)
    wait_until(lambda: len(_calls_of(rig, session_id)) == 2, what="another worker took over")
    if is_late:
        rig.wait_drained(sender)
    sleeper.thaw()
    rig.check(sender, max_calls=2)
    assert sent.get(timeout=scaled(5))["attempt"] == 2
    wait_until(
        lambda: any(word in sleeper.log_text() for word in ("late commit", "succeeded", "ignored")),
        what="the sleeper has come to its end",
    )
    assert sleeper.is_running
    sleeper.kill()


def test_a_job_that_kills_its_worker_each_time(
    rig: Rig, steady: ServerProcess, sender: Sender
) -> None:
    """It becomes a dead letter after the attempts; the next job of its session and others run."""
    attempts = 2
    killer, other = sender.sessions(2)
    worker = rig.worker("-Q", "victim", name="victim", CHAT_MAX_ATTEMPTS=str(attempts))
    dead = sender.send(killer, model="hang", queue="victim")
    sender.send(killer, queue="victim")
    for number in range(1, attempts + 1):
        # Not any call: those of the other session come and go.
        wait_until(
            lambda so_far=number: len(_calls_of(rig, killer)) == so_far,  # type: ignore[misc]
            what="the attempt has begun",
        )
        worker.kill()
        rig.wait_active(0)
        worker = rig.worker("-Q", "victim", name="victim", CHAT_MAX_ATTEMPTS=str(attempts))
        sender.send(other)
    within_s = LEASE_S + SWEEP_S + GRACE_S + rig.slack_s
    rig.check(sender, timeout_s=within_s, max_calls=attempts, dead=frozenset({dead.id}))
    assert {f"no answer after {attempts} attempts"} == {
        reason for dump in rig.dumps(sender) for reason in dump.dead.values()
    }
    worker.kill()


@pytest.mark.long
def test_all_jobs_in_flight_survive_their_only_worker(rig: Rig, sender: Sender) -> None:
    """kill -9 and a new worker: all are answered within lease + sweep + grace + their own time."""
    jobs = effort(40, long=200)
    sender.model = "flight"
    rig.ollama.script(sender.model, ["hang"] * jobs)
    worker = rig.worker("-Q", "flight", name="flight", WORKER_CONCURRENCY=str(jobs))
    for session_id in sender.sessions(jobs):
        sender.send(session_id, queue="flight")
    rig.wait_active(jobs, timeout_s=30)
    worker.kill()
    worker = rig.worker("-Q", "flight", name="flight", WORKER_CONCURRENCY=str(jobs))
    own_s = 1.5  # what 200 turns cost a worker
    within_s = LEASE_S + SWEEP_S + GRACE_S + own_s + rig.slack_s
    rig.check(sender, timeout_s=within_s, max_calls=2)
    worker.kill()


def _calls_of(rig: Rig, session_id: str) -> list[int]:
    first = f"{session_id} no. 0"
    return [
        call.number
        for call in rig.ollama.calls
        if call.messages and call.messages[-1]["content"] == first
    ]
