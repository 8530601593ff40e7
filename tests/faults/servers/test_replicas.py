"""REDIS_WAIT_REPLICAS with real producers and workers, while the replica is there and while not."""

from collections.abc import Iterator, Sequence

import pytest

from sandbox.valkey import HOST, ValkeyServer
from tests.support.faults.rig import Rig
from tests.support.faults.sender import Sender
from tests.support.machine import scaled
from tests.support.waiting import wait_until

WAITING = {"REDIS_WAIT_REPLICAS": "1", "REDIS_WAIT_TIMEOUT": "0.5"}
PRODUCER = """
import asyncio, sys
from tasks import NotAccepted, chat_task
from tasks.aio import send
def in_a_thread(session_id, message):
    chat_task.apply_async(("energy", session_id, message), task_id=f"job {message}")
def on_a_loop(session_id, message):
    asyncio.run(send("energy", session_id, message, task_id=f"job {message}"))
for way, *job in ((in_a_thread, *sys.argv[1:3]), (on_a_loop, *sys.argv[3:])):
    try:
        way(*job)
        print("in")
    except NotAccepted as exc:
        print(exc)
"""


@pytest.fixture
def replica(rig: Rig) -> Iterator[ValkeyServer]:
    """A replica of the rig's Redis."""
    with ValkeyServer(options={"replicaof": f"{HOST} {rig.valkey.port}"}) as server:
        wait_until(lambda: rig.valkey.command("WAIT", 1, 100) == 1, what="the replica is there")
        yield server
        server.thaw()


def jobs_of(sender: Sender, sessions: Sequence[str]) -> list[str]:
    """The next job of each session, as arguments of the producer."""
    jobs = []
    for session_id in sessions:
        message = sender.next_message(session_id)
        sender.note(session_id, f"job {message}", message)
        jobs += [session_id, message]
    return jobs


def test_a_sender_waits_for_the_replica_and_a_worker_goes_on_without(
    rig: Rig, sender: Sender, replica: ValkeyServer
) -> None:
    """What is in is on the replica, whether sent in a thread or on a loop; where that is frozen,
    NotAccepted says to send again, and the job, which is in nevertheless, has one turn."""
    sessions = sender.sessions(2)
    first, second = jobs_of(sender, sessions), jobs_of(sender, sessions)
    worker = rig.worker(name="waiting", **WAITING)

    assert rig.python(PRODUCER, *first, **WAITING).stdout == "in\nin\n"
    for session_id in sessions:
        keys = rig.keys(session_id)
        assert replica.command("EXISTS", keys.queue, keys.done) == 1, "it waits, or is done"

    replica.freeze()
    told = rig.python(PRODUCER, *second, **WAITING).stdout.splitlines()
    assert len(told) == 2
    for one in told:
        assert "0 of 1 replicas" in one
        assert "send it again with the same task_id, duplicates are ignored" in one
    rig.check(sender, timeout_s=scaled(30), max_calls=1)
    wait_until(lambda: "replicas confirmed it" in worker.log_tail(400), what="a warning")
    assert "work goes on" in worker.log_tail(400)

    replica.thaw()
    assert rig.python(PRODUCER, *second, **WAITING).stdout == "in\nin\n"
    rig.check(sender, timeout_s=scaled(30), max_calls=1)
    worker.stop()
