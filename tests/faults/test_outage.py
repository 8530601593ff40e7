"""A model server is away for a while: it costs its jobs time, and no attempt."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from memory import Outage
from sandbox.process import ServerProcess
from tasks import chat_task
from tests.support.effort import effort
from tests.support.faults.rig import Rig
from tests.support.faults.sender import Sender
from tests.support.machine import SLOWNESS, scaled
from tests.support.waiting import elapsed, wait_until

pytestmark = pytest.mark.timeout(240)

AWAY_S = effort(6, long=60)


@pytest.fixture(scope="module", autouse=True)
def workers(rig: Rig) -> list[ServerProcess]:
    """Two workers, for as long as the module lasts."""
    return [rig.worker(name=f"steady{number}") for number in range(2)]


@contextmanager
def away(rig: Rig) -> Iterator[None]:
    """The server is away within the block."""
    rig.ollama.reset()
    rig.ollama.stop()
    try:
        yield
    finally:
        rig.ollama.start()


def parked(rig: Rig) -> int:
    """How many sessions wait for the server."""
    return rig.connection.run(Outage(rig.keyspace, rig.ollama.url).waiting())


def attempts_of(sender: Sender) -> set[int]:
    """The numbers of the attempts that have answered."""
    jobs = [sent for jobs in sender.jobs.values() for sent in jobs]
    return {chat_task.AsyncResult(sent.job_id).get(timeout=scaled(5))["attempt"] for sent in jobs}


@pytest.mark.long
def test_an_outage_costs_nothing_but_time(rig: Rig) -> None:
    """40 jobs of 20 sessions: all are answered in order, in their first attempt, none is dead."""
    sender = Sender()
    with away(rig):
        sender.send_all(sender.sessions(20), 2)
        wait_until(lambda: parked(rig) == 20, what="every session waits")
        wait_until(elapsed(AWAY_S / SLOWNESS), timeout_s=2 * AWAY_S, what="it is away for long")
        assert parked(rig) == 20
    rig.check(sender, timeout_s=30, max_calls=1)
    assert attempts_of(sender) == {1}
    assert parked(rig) == 0
