"""One session never delays another: fault 29, and the invariants I6 and I8."""

import statistics
import time

import pytest

from sandbox.process import ServerProcess
from tasks import app
from tasks.process.wakeup import publish, wakeup_kwargs
from tests.support.effort import effort
from tests.support.faults.rig import Rig
from tests.support.faults.sender import Sender
from tests.support.machine import scaled
from tests.support.waiting import wait_until

BACKLOG = effort(120, long=1000)
OTHERS = effort(9, long=50)
AHEAD = 4
"""Jobs of the crowd that the model may be asked between the sending of another's job and its
answer: more than begin while nobody waits for them, and far less than there are."""


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_session_with_1000_jobs_beside_50_others(
    rig: Rig, steady: ServerProcess, sender: Sender
) -> None:
    """The others go past the 1000 (fewer in every run), which have their turns in order."""
    sender.model = "delay:15ms"  # or the 1000 would be done before the others
    (crowded,) = sender.sessions(1)
    for _ in range(BACKLOG):
        rig.enqueue_silently(sender, crowded, max_history=10)
    wait_until(lambda: _asked(rig, crowded) > 0, what="the crowd is under way")
    others, ahead = Sender("instant"), []
    for session_id in others.sessions(OTHERS):
        before = _asked(rig, crowded)
        others.send(session_id).get(timeout=scaled(10))
        ahead.append(_asked(rig, crowded) - before)
    assert rig.dumps(sender)[0].pending, "the 1000 were under way all the time"

    assert statistics.median(ahead) <= AHEAD, ahead
    rig.check(others, max_calls=1)
    rig.check(sender, timeout_s=90, max_calls=1, window=10)


def _asked(rig: Rig, session_id: str) -> int:
    """How many jobs of a session the model has been asked."""
    return sum(
        str(call.messages[-1]["content"]).startswith(session_id) for call in rig.ollama.calls
    )


def test_waiting_jobs_hold_no_slot(rig: Rig, sender: Sender) -> None:
    """I6: with every job of a session waiting for its first, a worker of two slots is free."""
    worker = rig.worker("-Q", "slots", "-c", "2", name="slots")
    waiting, free = sender.sessions(2)
    sender.send(waiting, model=f"delay:{scaled(2)}s", queue="slots")
    jobs = [sender.send(waiting, queue="slots") for _ in range(20)]
    rig.wait_active(1)
    for job in jobs:
        publish(app, job.id, wakeup_kwargs(rig.keys(waiting), None), {"queue": "slots"})
    began = time.monotonic()
    answered = sender.send(free, queue="slots").get(timeout=scaled(10))
    took_s = time.monotonic() - began
    assert answered["session_id"] == free
    assert took_s < scaled((len(jobs) + 1) * 0.05 + rig.delay_s), (
        "each message that must wait is answered in 50 ms"
    )
    rig.check(sender, max_calls=1)
    wait_until(lambda: rig.broker("LLEN", "slots") == 0, what="no message is left")
    worker.kill()
