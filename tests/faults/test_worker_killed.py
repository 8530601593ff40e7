"""kill -9 of a process between any two effects: nothing is lost, doubled or out of place.

Faults 1 to 9, a killed producer, a killed sweeper; docs: crash points of the session mailbox.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from sandbox.process import ServerProcess
from tasks.process.crash_points import CrashPoint
from tests.support.faults.rig import GRACE_S, LEASE_S, SWEEP_S, Rig, armed
from tests.support.faults.sender import Sender
from tests.support.machine import scaled
from tests.support.waiting import wait_until

JOBS = 2
MODEL = "slow-tokens:15x25ms"

# Ten workers start at once, which takes long on a small or busy machine.
pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Fault:
    """Where the worker dies, after how long its session goes on, and what it costs."""

    point: CrashPoint
    passage: int
    within_s: float
    calls: int
    places: int = 1
    """With a second place the worker hands the session's next job over to itself."""

    @property
    def name(self) -> str:
        """The name of the worker and of its queue."""
        return f"{self.point.value}-{self.passage}-{self.places}"


UNDER_LEASE_S = LEASE_S + SWEEP_S + GRACE_S
NO_LEASE_S = SWEEP_S + GRACE_S

FAULTS = (
    Fault(CrashPoint.BEFORE_ACQUIRE, 1, NO_LEASE_S, calls=1),
    Fault(CrashPoint.AFTER_ACQUIRE, 1, UNDER_LEASE_S, calls=1),
    Fault(CrashPoint.TOKEN, 1, UNDER_LEASE_S, calls=2),
    Fault(CrashPoint.TOKEN, 8, UNDER_LEASE_S, calls=2),
    Fault(CrashPoint.MODEL_DONE, 1, UNDER_LEASE_S, calls=2),
    Fault(CrashPoint.BEFORE_COMMIT, 1, UNDER_LEASE_S, calls=2),
    Fault(CrashPoint.AFTER_COMMIT, 1, NO_LEASE_S, calls=1),
    Fault(CrashPoint.BEFORE_WAKE, 1, NO_LEASE_S, calls=1),
    Fault(CrashPoint.BEFORE_RESULT, 1, 0.0, calls=1),
    Fault(CrashPoint.BEFORE_ACK, 1, 0.0, calls=1),
    Fault(CrashPoint.BEFORE_WAKE, 1, NO_LEASE_S, calls=1, places=2),
    Fault(CrashPoint.BEFORE_ACQUIRE, 2, NO_LEASE_S, calls=1, places=2),
    Fault(CrashPoint.BEFORE_RESULT, 1, UNDER_LEASE_S, calls=2, places=2),
)


@dataclass
class Case:
    """One worker that is to die while it runs the first of some jobs of one session."""

    fault: Fault
    worker: ServerProcess
    sender: Sender
    died_at: float = 0.0
    done_at: float = 0.0


@pytest.fixture(scope="module")
def cases(rig: Rig, steady: ServerProcess) -> dict[str, Case]:
    """All of them at once, each with a queue of its own, which the steady worker takes over."""

    def start(fault: Fault) -> Case:
        options = ("-Q", fault.name, "-c", str(fault.places))
        doomed = rig.doomed_worker(fault.point, fault.passage, *options, name=fault.name)
        return Case(fault, doomed, Sender(MODEL))

    with ThreadPoolExecutor(len(FAULTS)) as threads:
        waiting = list(threads.map(start, FAULTS))
    cases = {case.fault.name: case for case in waiting}
    for case in waiting:
        session_id = case.sender.sessions(1)[0]
        for _ in range(JOBS):
            case.sender.send(session_id, queue=case.fault.name)
    wait_until(lambda: _all_done(rig, waiting), timeout_s=30, what="every case is over")
    return cases


def _all_done(rig: Rig, waiting: list[Case]) -> bool:
    """Look at every case; note the death of a worker, and when its session is done."""
    for case in waiting:
        if not case.died_at and not case.worker.is_running:
            case.died_at = time.monotonic()
            rig.consume(case.fault.name)
        if case.died_at and not case.done_at and rig.is_drained(case.sender):
            case.done_at = time.monotonic()
    return all(case.done_at for case in waiting)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_worker_dies_and_another_goes_on(rig: Rig, cases: dict[str, Case], fault: Fault) -> None:
    """Every job has one turn, in order, within the stated time and with no needless model call."""
    case = cases[fault.name]
    assert case.worker.returncode == -9
    rig.check(case.sender, max_calls=fault.calls)
    own_run_s = JOBS * 0.5
    assert case.done_at - case.died_at < scaled(fault.within_s + own_run_s + rig.slack_s)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_result_can_be_had_whoever_died(rig: Rig, cases: dict[str, Case], fault: Fault) -> None:
    """Also where the turn was committed and its worker died before it stored the result."""
    sent = cases[fault.name].sender.jobs.values()
    jobs = [job.job_id for of_session in sent for job in of_session]
    wait_until(
        lambda: all(rig.results.exists(f"celery-task-meta-{job_id}") for job_id in jobs),
        timeout_s=NO_LEASE_S + rig.slack_s,
        what="every result is stored",
    )


def test_a_producer_dies_before_it_publishes(
    rig: Rig, steady: ServerProcess, sender: Sender
) -> None:
    """A job that is in its mailbox is answered although nobody was told of it."""
    session_id = sender.sessions(1)[0]
    message = sender.next_message(session_id)
    job = f"task_id='j-{session_id}', args=['energy', '{session_id}', '{message}']"
    code = f"from tasks import chat_task; chat_task.apply_async({job})"
    produced = rig.python(code, **armed(CrashPoint.ENQUEUED))
    assert produced.returncode == -9, produced.stderr
    sender.note(session_id, f"j-{session_id}", message)
    rig.check(sender, timeout_s=SWEEP_S + GRACE_S + rig.slack_s, max_calls=1)


def test_a_sweeper_dies_before_it_publishes(
    rig: Rig, steady: ServerProcess, sender: Sender
) -> None:
    """It has noted a wake-up that nobody gets: the next sweeper does it again after the gap."""
    doomed = rig.doomed_worker(
        CrashPoint.SWEEP_WAKE, 1, "-Q", "nothing", name="sweeper", CHAT_SWEEP_SECONDS="0.1"
    )

    def is_dead_after_a_loss() -> bool:
        (session_id,) = sender.sessions(1)
        sender.send(session_id, queue="lost")
        wait_until(
            lambda: rig.observer.hexists(rig.keys(session_id).lease, "woken_at"),
            what="some sweeper has noticed",
        )
        return not doomed.is_running

    wait_until(is_dead_after_a_loss, what="the doomed sweeper was the first to notice")
    rig.consume("lost")
    rig.check(sender, timeout_s=2 * GRACE_S + SWEEP_S + rig.slack_s, max_calls=1)
