"""What people say is in the memory, the results and nowhere else."""

import json
import threading
from collections.abc import Iterator

import pytest
from celery import Celery

from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import JobFailed, app, chat_task
from tests.support.machine import scaled
from tests.support.waiting import wait_until

CANARY = "canary-7f3a"
WAIT_S = scaled(20)


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> ServerProcess:
    """A worker that logs everything."""
    return stack.worker("--loglevel=DEBUG")


@pytest.fixture(scope="module")
def events(worker: ServerProcess) -> Iterator[list[dict[str, object]]]:
    """Celery's events, as a monitor such as Flower sees them."""
    seen: list[dict[str, object]] = []
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": seen.append})
        thread = threading.Thread(target=_capture, args=(receiver,), daemon=True)
        thread.start()
        wait_until(lambda: seen, what="the monitor hears the worker's heartbeat")
        yield seen
        receiver.should_stop = True
        thread.join(scaled(5))


def _capture(receiver: object) -> None:
    receiver.capture(limit=None, timeout=None, wakeup=False)  # type: ignore[attr-defined]


def ended(events: list[dict[str, object]], job_id: str) -> list[dict[str, object]]:
    """The job's events, once one of them ends it."""
    endings = {"task-succeeded", "task-failed"}
    wait_until(
        lambda: any(e.get("uuid") == job_id and e["type"] in endings for e in list(events)),
        what="the job's last event",
    )
    return [event for event in events if event.get("uuid") == job_id]


def raw_sender(valkey: ValkeyServer) -> Celery:
    """A service that knows nothing of ours."""
    return Celery("foreign", broker=valkey.url(1), backend=valkey.url(2), set_as_current=False)


def test_no_text_in_logs_and_events(
    events: list[dict[str, object]], worker: ServerProcess, valkey: ValkeyServer
) -> None:
    """Neither a message nor its reply is shown, however it was sent, answered or refused."""
    ours = chat_task.delay("energy", "private", f"my {CANARY}")
    assert CANARY in ours.get(timeout=WAIT_S)["response"]
    refused = chat_task.delay("energy", "private", f"my {CANARY}", model="missing")
    with pytest.raises(JobFailed):
        refused.get(timeout=WAIT_S)
    with raw_sender(valkey) as foreign:
        raw = foreign.send_task("tasks.chat_task", args=["energy", "private", f"my {CANARY}"])
        assert CANARY in raw.get(timeout=WAIT_S)["response"]
        wrong = foreign.send_task(
            "tasks.chat_task",
            kwargs={"agent_id": "energy", "session_id": "s", "message": CANARY, "wrong": CANARY},
        )
        with pytest.raises(Exception, match="wrong"):
            wrong.get(timeout=WAIT_S)
    for job in (ours, refused, raw, wrong):
        told = json.dumps(ended(events, job.id))
        assert CANARY not in told
    assert "energy" in json.dumps(ended(events, raw.id))
    assert CANARY not in worker.log_text()


def test_no_text_in_the_broker(valkey: ValkeyServer) -> None:
    """A wake-up of ours says whose turn it is, not what was said."""
    wait_until(
        lambda: CANARY not in str(valkey.command("EVAL", BROKER_TEXT, 0)),
        what="the raw jobs of other tests are over",
    )
    seen = set()
    for n in range(5):
        chat_task.delay("energy", "unseen", f"{CANARY} {n}", model="delay:0.2s")
        seen.add(str(valkey.command("EVAL", BROKER_TEXT, 0)))
    assert not any(CANARY in text for text in seen)


BROKER_TEXT = """
redis.call('SELECT', 1)
local all = {}
for _, part in ipairs(redis.call('HVALS', 'unacked')) do all[#all + 1] = part end
for _, part in ipairs(redis.call('LRANGE', 'chat', 0, -1)) do all[#all + 1] = part end
return table.concat(all, ' ')
"""


def test_inspection_shows_no_text(valkey: ValkeyServer) -> None:
    """`celery inspect active` and `conf` show neither what is said nor a password."""
    # A connection of its own: those that this process keeps may lead to an earlier server.
    with raw_sender(valkey) as foreign, app.connection_for_write() as connection:
        sent = foreign.send_task(
            "tasks.chat_task",
            kwargs={
                "agent_id": "energy",
                "session_id": "slow",
                "message": CANARY,
                "model": "endless",
            },
        )
        inspect = app.control.inspect(timeout=scaled(1), connection=connection)
        wait_until(lambda: any((inspect.active() or {}).values()), what="the job is active")
        told = json.dumps(inspect.active(), default=str)
        chat_task.cancel(sent.id)
    assert "slow" in told
    assert CANARY not in told
