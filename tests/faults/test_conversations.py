"""The promise as a whole: 50 conversations of 20 turns, two workers, and kill -9 all along."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.process import ServerProcess
from tests.support.faults.rig import Rig
from tests.support.faults.sender import Sender
from tests.support.machine import scaled
from tests.support.waiting import elapsed, wait_until

SESSIONS, JOBS = 50, 20
WORKERS = ("first", "second")
KILLS = 3
KILL_EVERY_S = 1.5

pytestmark = pytest.mark.timeout(150)


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


def test_50_conversations_of_20_turns(
    rig: Rig, workers: list[ServerProcess], sender: Sender
) -> None:
    """None lost, doubled or out of place; each call of the model saw exactly the turns before."""
    _send_all(sender)
    rig.check(sender, timeout_s=60, max_calls=1)
    assert all(worker.is_running for worker in workers)


def test_50_conversations_while_workers_and_redis_are_killed(
    rig: Rig, workers: list[ServerProcess], sender: Sender
) -> None:
    """The same while one worker after the other is killed, and Redis once."""
    with ThreadPoolExecutor(1) as producer:
        sending = producer.submit(_send_all, sender)
        for kill in range(KILLS):
            wait_until(elapsed(KILL_EVERY_S), what="it is time for a fault")
            workers[kill % 2].kill()
            if kill == 1:
                rig.valkey.kill()
                rig.valkey.start()
            workers[kill % 2] = rig.worker(name=WORKERS[kill % 2])
        sending.result(timeout=scaled(60))
    rig.check(sender, timeout_s=60)
