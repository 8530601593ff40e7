"""Redis' clock is set by an hour, as in a fail-over to another host, while workers are killed; and
a wake-up says that it is an hour old."""

import time
from collections.abc import Iterator

import pytest

from sandbox.process import ServerProcess
from tasks import CancelOutcome, app, chat_task
from tasks.process.redis_clock import redis_clock
from tasks.process.wakeup import publish, wakeup_kwargs
from tests.conftest import GRACE_S, LEASE_S, SWEEP_S
from tests.support.faults.clock import set_clock
from tests.support.faults.rig import Rig
from tests.support.faults.sender import AGENT_ID, Sender
from tests.support.machine import scaled
from tests.support.waiting import wait_until

HOUR_MS = 3_600_000
SESSIONS, JOBS = 6, 3
CALL_S = scaled(0.2)
"""How long the model takes: all jobs must not be done before the clock is set."""
RECOVERY_S = LEASE_S + 2 * SWEEP_S + GRACE_S
"""A lease that counts from the first look after the jump, and the look itself."""
PATIENCE_MS = 60_000

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def workers(rig: Rig) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two; the first of them dies."""
    both = rig.worker(name="dies"), rig.worker(name="lives")
    yield both
    for worker in both:
        worker.kill()
    # What one test has made them patient with is not the next one's.
    rig.observer.delete(rig.keyspace.queue_wait)


def stuck_s(rig: Rig, sender: Sender) -> float:
    """How long it takes until all jobs are done; what they have left behind is looked at then.

    The end that a killed worker was delivering takes longer than its job: `wait_delivered`.
    """
    began = time.monotonic()
    rig.wait_drained(sender, timeout_s=RECOVERY_S + 20)
    took_s = time.monotonic() - began
    rig.check(sender)
    return took_s


@pytest.mark.parametrize(
    ("by_ms", "is_killed_first"),
    [
        pytest.param(-HOUR_MS, False, id="back, kill"),
        pytest.param(HOUR_MS, True, id="kill, forward", marks=pytest.mark.slow),
        pytest.param(-HOUR_MS, True, id="kill, back", marks=pytest.mark.slow),
        pytest.param(HOUR_MS, False, id="forward, kill", marks=pytest.mark.slow),
    ],
)
def test_a_worker_killed_around_a_jump_costs_a_lease(
    rig: Rig,
    workers: tuple[ServerProcess, ServerProcess],
    sender: Sender,
    by_ms: int,
    is_killed_first: bool,
) -> None:
    """All its jobs run again, and nothing waits for an hour."""
    # On a busy machine the sending takes as long as the first jobs do.
    before = rig.ollama.stats.requests
    for session_id in sender.sessions(SESSIONS):
        for _ in range(JOBS):
            sender.send(session_id, model=f"delay:{CALL_S:g}s")
    rig.wait_calls(SESSIONS, since=before)
    if is_killed_first:
        workers[0].kill()
    assert set_clock(rig.observer, rig.keyspace.prefix, by_ms) > 0, "some jobs run or wait"
    if not is_killed_first:
        rig.wait_calls(SESSIONS + SESSIONS // 2, since=before)
        workers[0].kill()
    assert stuck_s(rig, sender) <= scaled(RECOVERY_S + JOBS * 0.3) + JOBS * CALL_S + rig.slack_s


def test_a_head_whose_worker_died_before_the_jump_is_not_busy_for_an_hour(
    rig: Rig, workers: tuple[ServerProcess, ServerProcess], sender: Sender
) -> None:
    """And neither is one whose wake-up was lost then."""
    dead, lost = sender.sessions(2)
    sender.send(dead, model="delay:3s")
    rig.wait_active(1)
    for worker in workers:
        worker.kill()
    rig.enqueue_silently(sender, lost)
    set_clock(rig.observer, rig.keyspace.prefix, -HOUR_MS)
    workers[1].start()
    assert stuck_s(rig, sender) <= scaled(RECOVERY_S + 3) + rig.slack_s + rig.start_s


def test_a_wake_up_of_an_hour_ago_puts_no_look_off_for_hours(
    rig: Rig, workers: tuple[ServerProcess, ServerProcess], sender: Sender
) -> None:
    """It lay in a backlog, or its sender made it up: a minute is believed of it."""
    # The sweeper of a worker that has seen no such wake-up learns of it when the other one looks.
    workers[0].kill()
    aged, running = sender.sessions(2)
    job = sender.send(aged)
    job.get(timeout=scaled(10))
    now_s = redis_clock().now_s
    assert now_s is not None, "this process has sent a job"
    redis_clock().set_ms(round(now_s * 1000) - HOUR_MS)
    for _ in range(10):
        publish(app, job.id, wakeup_kwargs(rig.keys(aged), None), {})
    redis_clock().set_ms(round(now_s * 1000))
    wait_until(lambda: rig.broker("LLEN", "chat") == 0, what="all messages are taken")
    # A job that is over is looked at ten minutes later: this one is not, however late we look.
    hanging = chat_task.delay(AGENT_ID, running, "hold", model="hang")
    rig.wait_active(1)

    def next_look_ms() -> float:
        seconds, _ = rig.observer.time()
        look_ms = rig.observer.zscore(rig.keyspace.due, rig.keys(running).history)
        return float(look_ms or 0) - seconds * 1000

    lease_ms = scaled(LEASE_S) * 1000
    wait_until(lambda: next_look_ms() > lease_ms + 1000, what="a patient sweeper has looked")
    assert next_look_ms() <= lease_ms + PATIENCE_MS + 1000
    assert chat_task.cancel(hanging.id) is CancelOutcome.STOPPING
    rig.wait_active(0)
    rig.check(sender)
