"""One session never delays another: fault 29, and the invariants I6 and I8."""

import statistics
import time

import pytest

from sandbox.process import ServerProcess
from tasks import app
from tasks.process.wakeup import publish, wakeup_kwargs
from tests.support.faults.rig import Rig
from tests.support.faults.sender import Sender
from tests.support.waiting import wait_until

BACKLOG = 1000
OTHERS = 50


def _wave_s(rig: Rig) -> float:
    """The median time in which one job each of 50 sessions is answered, sent at a steady pace."""
    sender = Sender("delay:30ms")
    took_s = []
    for session_id in sender.sessions(OTHERS):
        began = time.monotonic()
        sender.send(session_id).get(timeout=10)
        took_s.append(time.monotonic() - began)
    rig.check(sender, max_calls=1)
    return statistics.median(took_s)


@pytest.mark.timeout(150)
def test_a_session_with_1000_jobs_beside_50_others(
    rig: Rig, steady: ServerProcess, sender: Sender
) -> None:
    """The others are not slower than twice idle; the 1000 have their turns in order."""
    idle_s = _wave_s(rig)
    sender.model = "delay:8ms"  # or the 1000 would be done before the others
    (crowded,) = sender.sessions(1)
    for _ in range(BACKLOG):
        rig.enqueue_silently(sender, crowded, max_history=10)
    busy_s = min(_wave_s(rig), _wave_s(rig))  # a busy machine may spoil one of them
    assert rig.dumps(sender)[0].pending, "the 1000 were under way all the time"
    assert busy_s < 2 * idle_s
    rig.check(sender, timeout_s=90, max_calls=1, window=10)


def test_waiting_jobs_hold_no_slot(rig: Rig, sender: Sender) -> None:
    """I6: with every job of a session waiting for its first, a worker of two slots is free."""
    worker = rig.worker("-Q", "slots", "-c", "2", name="slots")
    waiting, free = sender.sessions(2)
    sender.send(waiting, model="delay:2.5s", queue="slots")
    jobs = [sender.send(waiting, queue="slots") for _ in range(20)]
    rig.wait_active(1)
    for job in jobs:
        publish(app, job.id, wakeup_kwargs(rig.keys(waiting), None), {"queue": "slots"})
    began = time.monotonic()
    answered = sender.send(free, queue="slots").get(timeout=10)
    took_s = time.monotonic() - began
    assert answered["session_id"] == free
    assert took_s < (len(jobs) + 1) * 0.05 + rig.delay_s, (
        "each message that must wait is answered in 50 ms"
    )
    rig.check(sender, max_calls=1)
    wait_until(lambda: rig.broker("LLEN", "slots") == 0, what="no message is left")
    worker.kill()
