"""The promise as a whole: conversations of many turns, two workers, and kill -9 all along."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.process import ServerProcess
from tests.support.effort import effort
from tests.support.faults.rig import Rig
from tests.support.faults.sender import Sender
from tests.support.machine import scaled

SESSIONS, JOBS = effort(12, long=50), effort(5, long=20)
WORKERS = ("first", "second")
KILLS = 3
CALLS = SESSIONS * JOBS // 5
"""Model calls between two kills, so that each comes in the middle of turns."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def _send_all(sender: Sender) -> None:
    """Session after session; the model takes 0 to 50 ms."""
    rng = random.Random(20)
    for session_id in sender.sessions(SESSIONS):
        for _ in range(JOBS):
            sender.insist(session_id, model=f"delay:{rng.randrange(51)}ms")


@pytest.fixture
def workers(rig: Rig) -> Iterator[list[ServerProcess]]:
    """Two workers, started at once."""
    with ThreadPoolExecutor(len(WORKERS)) as threads:
        started = list(threads.map(lambda name: rig.worker(name=name), WORKERS))
    yield started
    for worker in started:
        worker.kill()


@pytest.mark.slow
def test_conversations_of_many_turns(
    rig: Rig, workers: list[ServerProcess], sender: Sender
) -> None:
    """None lost, doubled or out of place; each call of the model saw exactly the turns before."""
    _send_all(sender)
    rig.check(sender, timeout_s=60, max_calls=1)
    assert all(worker.is_running for worker in workers)


def test_conversations_while_workers_and_redis_are_killed(
    rig: Rig, workers: list[ServerProcess], sender: Sender
) -> None:
    """The same while one worker after the other is killed, and Redis once."""
    with ThreadPoolExecutor(1) as producer:
        sending = producer.submit(_send_all, sender)
        for kill in range(KILLS):
            rig.wait_calls(CALLS)
            workers[kill % 2].kill()
            if kill == 1:
                rig.valkey.kill()
                rig.valkey.start()
            workers[kill % 2].start()
        sending.result(timeout=scaled(60))
    rig.check(sender, timeout_s=60)
