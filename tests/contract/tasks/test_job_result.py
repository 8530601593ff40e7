"""Waiting for a result while the server of the results is away, on a real server."""

import json
import logging
import threading
from collections.abc import Iterator

import pytest
from celery import Celery
from celery.exceptions import TimeoutError as ResultTimeout

from memory import MemoryUnavailable
from sandbox.valkey import ValkeyServer
from tasks.submit import job_result
from tasks.submit.job_result import JobResult
from tests.support.waiting import elapsed, wait_until

GIVES_UP_S = 0.3
"""After so long Celery's own `get` raises."""


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """One server of results for all of this file."""
    with ValkeyServer() as running:
        yield running


@pytest.fixture
def celery(server: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> Celery:
    """A client whose retries are short."""
    # No mailbox belongs to these jobs.
    monkeypatch.setattr(job_result, "LOOKS_PER_QUESTION", 10**9)
    monkeypatch.setattr(job_result, "LOOK_AGAIN_S", 0.1)
    made = Celery("client", broker="memory://", backend=server.url(), set_as_current=False)
    made.conf.result_backend_transport_options = {
        "retry_policy": {"timeout": GIVES_UP_S, "interval_start": 0.05, "interval_step": 0}
    }
    return made


class Waiting(threading.Thread):
    """A client that waits for one result."""

    def __init__(self, celery: Celery, job_id: str) -> None:
        super().__init__(daemon=True)
        self.found: list[object] = []
        self._job = JobResult(job_id, app=celery)

    def run(self) -> None:
        try:
            self.found.append(self._job.get(timeout=60))
        except (RuntimeError, ResultTimeout, ConnectionError) as exc:  # the test looks at it
            self.found.append(exc)


def store(server: ValkeyServer, job_id: str) -> None:
    """The job has ended: its worker stores and announces that, as Celery does."""
    body = json.dumps({
        "task_id": job_id, "status": "SUCCESS", "result": {"response": job_id},
        "traceback": None, "children": [],
    })  # fmt: skip
    key = f"celery-task-meta-{job_id}"
    server.command("SET", key, body)
    server.command("PUBLISH", key, body)


def test_get_outlasts_the_servers_absence(
    server: ValkeyServer, celery: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    """Longer than Celery tries to get it back. It is said once, and a later get() works too."""
    caplog.set_level(logging.INFO)
    waiting = [Waiting(celery, job_id) for job_id in ("j1", "j2")]
    for one in waiting:
        one.start()
    subscribed = "PUBSUB", "NUMSUB", "celery-task-meta-j1"
    wait_until(lambda: server.command(*subscribed)[1], what="it has subscribed")  # type: ignore[index]  # a list
    server.kill()
    wait_until(elapsed(4 * GIVES_UP_S), what="Celery has given up")
    assert not any(one.found for one in waiting)
    server.restart()
    wait_until(lambda: server.command(*subscribed)[1], what="it subscribes again")  # type: ignore[index]  # a list
    for job_id in ("j1", "j2", "j3"):
        store(server, job_id)
    for one in waiting:
        one.join(30)
    assert [one.found for one in waiting] == [[{"response": "j1"}], [{"response": "j2"}]]
    assert JobResult("j3", app=celery).get(timeout=30) == {"response": "j3"}
    said = [one.getMessage() for one in caplog.records if "cannot be asked for" in one.message]
    assert sorted(line.split()[4] for line in said) == ["j1", "j2"]


def test_get_keeps_to_its_time_while_the_server_is_away(
    server: ValkeyServer, celery: Celery
) -> None:
    """Its error is Celery's own, and says what was wrong."""
    server.kill()
    try:
        with pytest.raises(ResultTimeout, match="cannot be reached"):
            JobResult("j4", app=celery).get(timeout=0.2)
    finally:
        server.restart()


def test_a_result_cannot_be_deleted_while_the_server_is_away(
    server: ValkeyServer, celery: Celery
) -> None:
    """The error is one of ours, which a gateway answers with 503; later it can be."""
    store(server, "j5")
    server.kill()
    try:
        with pytest.raises(MemoryUnavailable):
            JobResult("j5", app=celery).forget()
    finally:
        server.restart()
    store(server, "j5")
    JobResult("j5", app=celery).forget()
    assert server.command("EXISTS", "celery-task-meta-j5") == 0
