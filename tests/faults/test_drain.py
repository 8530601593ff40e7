"""A drained worker takes nothing new, finishes what runs, gives back the rest, and ends with 0."""

import asyncio
import signal
import socket

import pytest

from tasks import aio, chat_task, drain
from tasks.errors import CannotDrain
from tasks.submit.drain import look
from tests.support.faults.rig import Rig
from tests.support.faults.sender import Sender
from tests.support.machine import scaled
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(240)
HOST = socket.gethostname()
LONG, SHORT = (f"slow-tokens:12x{scaled(each_s):.2f}s" for each_s in (0.6, 0.3))
"""As long as what a test does meanwhile may take."""


def queued(rig: Rig, queue: str) -> int:
    """How many messages lie in a queue of the broker."""
    found = rig.broker("LLEN", queue)
    assert isinstance(found, int)
    return found


@pytest.mark.parametrize("pool", ["", pytest.param("threads", marks=pytest.mark.slow)])
def test_a_drained_worker_finishes_and_gives_back_what_it_has_not_begun(
    rig: Rig, pool: str
) -> None:
    """Longer than WORKER_DRAIN_SECONDS; another worker takes the rest while the turn still runs."""
    name = f"drained-{pool or 'own'}"
    options = ("--prefetch-multiplier", "4", *(("-P", pool) if pool else ()))
    worker = rig.worker("-Q", name, *options, "-c", "1", name=name, WORKER_DRAIN_SECONDS="0.2")
    sender = Sender("instant")
    sessions = sender.sessions(4)
    rig.worker("-Q", f"{name}-others", name=f"{name}-other")
    long = sender.send(sessions[0], model=LONG, queue=name)
    rig.wait_active(1)
    others = [sender.send(one, queue=name) for one in sessions[1:]]
    later = sender.send(sessions[0], queue=name)
    wait_until(lambda: queued(rig, name) < 3, what="the worker holds a message")
    begun = drain(f"{name}@{HOST}")
    assert begun.running >= 1
    if not pool:
        assert begun.running == 1
        wait_until(lambda: queued(rig, name) == 3, what="what has not begun is in the queue again")
    rig.consume(name, worker=f"{name}-other")
    for one in others:
        assert one.get(timeout=scaled(15))["attempt"] == 1
    assert worker.is_running, "the long turn goes on"
    assert look(f"{name}@{HOST}") is not None
    assert worker.wait(scaled(30)) == 0, worker.log_tail()
    assert long.get(timeout=scaled(5))["attempt"] == 1
    assert later.get(timeout=scaled(10))["attempt"] == 1
    rig.check(sender, timeout_s=10, max_calls=1)
    assert look(f"{name}@{HOST}") is None


@pytest.mark.parametrize("pool", ["", "solo"])
def test_an_idle_worker_is_drained_at_once(rig: Rig, pool: str) -> None:
    """It ends with 0, and asked once more in time it says the same."""
    name = f"idle-{pool or 'own'}"
    worker = rig.worker("-Q", name, *(("-P", pool) if pool else ()), name=name)
    node = f"{name}@{HOST}"
    begun = drain(node) if pool else asyncio.run(aio.drain(node))
    assert begun.running == 0
    assert worker.wait(scaled(15)) == 0, worker.log_tail()


def test_a_drain_outlives_the_brokers_connection(rig: Rig) -> None:
    """It breaks while a turn runs: the worker connects again, takes nothing, and ends with 0."""
    worker = rig.worker("-Q", "cut", "-c", "1", name="cut")
    sender = Sender("instant")
    first, second = sender.sessions(2)
    running = sender.send(first, model=SHORT, queue="cut")
    rig.wait_active(1)
    drain(f"cut@{HOST}")
    rig.broker("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    sender.send(second, queue="cut")
    assert worker.wait(scaled(30)) == 0, worker.log_tail()
    assert running.get(timeout=scaled(5))["attempt"] == 1
    assert queued(rig, "cut") >= 1, "a sweeper may have sent it again"
    rig.worker("-Q", "cut", name="cut-other")
    rig.check(sender, timeout_s=20, max_calls=1)


def test_who_cannot_be_drained_is_told(rig: Rig) -> None:
    """A worker that is not there, with the names of those that are; a pool of processes."""
    rig.worker("-Q", "forks", "-P", "processes", "-c", "1", name="forks")
    with pytest.raises(CannotDrain, match=f"no worker nobody@x answers; .*forks@{HOST}"):
        drain("nobody@x")
    with pytest.raises(CannotDrain, match="SIGTERM"):
        drain(f"forks@{HOST}")


@pytest.mark.slow
def test_a_long_drain_of_sigterm_loses_nothing(rig: Rig) -> None:
    """WORKER_DRAIN_SECONDS longer than any turn: all turns that run are finished, all others go to
    another worker."""
    worker = rig.worker("-Q", "patient", "-c", "4", name="patient", WORKER_DRAIN_SECONDS="60")
    sender = Sender("slow-tokens:40x25ms")
    sessions = sender.sessions(8)
    for session in sessions:
        sender.send(session, queue="patient")
    rig.wait_active(4)
    worker.signal(signal.SIGTERM)
    rig.worker("-Q", "patient", name="patient-other")
    assert worker.wait(scaled(30)) == 0, worker.log_tail()
    rig.check(sender, timeout_s=30, max_calls=1)
    results = [chat_task.AsyncResult(jobs[0].job_id) for jobs in sender.jobs.values()]
    assert {one.get(timeout=scaled(5))["attempt"] for one in results} == {1}
