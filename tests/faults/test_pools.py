"""The same conversations under every pool of Celery's, killed in the middle: fault 33."""

from concurrent.futures import ThreadPoolExecutor

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from sandbox.process import ServerProcess
from tests.support.faults.rig import Rig
from tests.support.faults.sender import Sender
from tests.support.machine import scaled
from tests.support.waiting import wait_until

POOLS = {"threads": "8", "processes": "3", "solo": "1"}
"""By the names of `-P`: Celery 5.7.0 takes `prefork` for nothing said, and then ours."""
SHOWN = {"threads": "thread", "processes": "prefork", "solo": "solo"}
JOBS, SESSIONS = 4, 4

pytestmark = pytest.mark.slow


def _start_all(rig: Rig) -> list[ServerProcess]:
    """A worker of each pool, with a queue of its own."""

    def start(pool: str) -> ServerProcess:
        return rig.worker("-P", pool, "-c", POOLS[pool], "-Q", pool, name=pool)

    with ThreadPoolExecutor(len(POOLS)) as threads:
        return list(threads.map(start, POOLS))


@pytest.fixture(scope="module")
def senders(rig: Rig) -> dict[str, Sender]:
    """Conversations in each pool whose worker was killed when each session had had a turn."""
    senders = {pool: Sender("delay:60ms") for pool in POOLS}
    workers = _start_all(rig)
    for pool, sender in senders.items():
        sessions = sender.sessions(SESSIONS)
        for _ in range(JOBS):
            for session_id in sessions:
                sender.send(session_id, queue=pool)
    for worker, sender in zip(workers, senders.values(), strict=True):
        wait_until(
            lambda: all(dump.history for dump in rig.dumps(sender)),  # noqa: B023
            what="each session has had a turn",
        )
        worker.kill()
    _start_all(rig)
    return senders


@pytest.mark.parametrize("pool", POOLS)
def test_a_killed_worker_of_each_pool(rig: Rig, senders: dict[str, Sender], pool: str) -> None:
    """Order, memory and turns are the same whatever runs the body of the task."""
    sender = senders[pool]
    rig.check(sender, max_calls=2)
    assert f" ({SHOWN[pool]})" in _worker(rig, pool).log_text(), "another pool was started"
    assert sum(len(dump.history) for dump in rig.dumps(sender)) == 2 * JOBS * SESSIONS


def test_killed_children_of_the_prefork_pool(
    rig: Rig, senders: dict[str, Sender], sender: Sender
) -> None:
    """All die in mid-turn: those that follow, forked off a worker that runs, do their jobs."""
    worker = _worker(rig, "processes")
    sessions = sender.sessions(int(POOLS["processes"]))
    for session_id in sessions:
        sender.send(session_id, queue="processes", model=f"delay:{scaled(0.5)}s")
        sender.send(session_id, queue="processes")
    rig.wait_active(len(sessions))
    children = psutil.Process(worker.pid).children()
    assert len(children) == len(sessions)
    for child in children:
        child.kill()
    rig.check(sender, max_calls=2)
    assert worker.is_running, worker.log_tail()


def _worker(rig: Rig, name: str) -> ServerProcess:
    (worker,) = (p for p in rig.stack.processes if p.name == name and p.is_running)
    return worker
