"""REDIS_WAIT_REPLICAS with real producers and workers, while the replica is there and while not."""

from collections.abc import Iterator

import pytest

from sandbox.valkey import HOST, ValkeyServer
from tests.support.faults.rig import Rig
from tests.support.faults.sender import Sender
from tests.support.machine import scaled
from tests.support.waiting import wait_until

WAITING = {"REDIS_WAIT_REPLICAS": "1", "REDIS_WAIT_TIMEOUT": "0.3"}
PRODUCER = """
import asyncio, sys
from tasks import NotAccepted, chat_task
from tasks.aio import send
kind, session_id, message = sys.argv[1:]
try:
    if kind == "thread":
        chat_task.apply_async(("energy", session_id, message), task_id=f"job {message}")
    else:
        asyncio.run(send("energy", session_id, message, task_id=f"job {message}"))
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


@pytest.mark.parametrize("kind", ["thread", "loop"])
def test_a_sender_waits_for_the_replica_and_a_worker_goes_on_without(
    kind: str, rig: Rig, sender: Sender, replica: ValkeyServer
) -> None:
    """What is in is on the replica; where that is frozen, NotAccepted says to send again, and the
    job, which is in nevertheless, has one turn."""
    (session_id,) = sender.sessions(1)
    first = sender.next_message(session_id)
    sender.note(session_id, f"job {first}", first)
    second = sender.next_message(session_id)
    sender.note(session_id, f"job {second}", second)
    keys = rig.keys(session_id)
    worker = rig.worker(name=f"waiting-{kind}", **WAITING)

    assert rig.python(PRODUCER, kind, session_id, first, **WAITING).stdout == "in\n"
    assert replica.command("EXISTS", keys.queue, keys.done) == 1, "it waits, or is done"

    replica.freeze()
    told = rig.python(PRODUCER, kind, session_id, second, **WAITING).stdout
    assert "0 of 1 replicas" in told
    assert "send it again with the same task_id, duplicates are ignored" in told
    rig.check(sender, timeout_s=scaled(30), max_calls=1)
    wait_until(lambda: "replicas confirmed it" in worker.log_tail(400), what="a warning")
    assert "work goes on" in worker.log_tail(400)

    replica.thaw()
    assert rig.python(PRODUCER, kind, session_id, second, **WAITING).stdout == "in\n"
    rig.check(sender, timeout_s=scaled(30), max_calls=1)
    worker.stop()
