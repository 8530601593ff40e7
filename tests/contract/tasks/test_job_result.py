"""Waiting for a result while the server of the results is away, on a real server."""

import json
import logging
import threading
from collections.abc import Iterator

import pytest
from celery import Celery
from celery.exceptions import TimeoutError as ResultTimeout
from celery.result import denied_join_result

from memory import MemorySettings, MemoryUnavailable
from memory.redis.announced import Announcements
from sandbox.valkey import ValkeyServer
from tasks.process.configuration import load_settings
from tasks.process.services import ProducerServices
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


@pytest.fixture(params=["in one trip", "by Celery"])
def celery(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Celery:
    """A client whose retries are short, in each way that a result comes."""
    server.command("FLUSHALL")  # the other way's results have the same ids
    services = ProducerServices(load_settings())
    vars(services)["results_url"] = server.url()
    is_plain = request.param == "in one trip"
    settings = MemorySettings(url=server.url(), timeout_s=5.0)
    vars(services)["results"] = Announcements(settings) if is_plain else None
    monkeypatch.setattr(job_result, "producer_services", lambda: services)
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


def store(
    server: ValkeyServer, job_id: str, status: str = "SUCCESS", result: object = None
) -> None:
    """The job has ended: its worker stores and announces that, as Celery does."""
    body = json.dumps({
        "task_id": job_id, "status": status, "traceback": None, "children": [],
        "result": {"response": job_id} if result is None else result,
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
    assert [one.found for one in waiting] == [[], []]
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


@pytest.mark.parametrize("propagate", [True, False])
def test_a_failure_is_raised_or_returned(
    server: ValkeyServer, celery: Celery, *, propagate: bool
) -> None:
    """As Celery does, with its class."""
    error = {"exc_type": "ValueError", "exc_message": ["no"], "exc_module": "builtins"}
    store(server, "j7", status="FAILURE", result=error)
    job = JobResult("j7", app=celery)
    if propagate:
        with pytest.raises(ValueError, match="no"):
            job.get(timeout=30)
    else:
        assert repr(job.get(timeout=30, propagate=False)) == "ValueError('no')"
    assert job.state == "FAILURE"


def test_a_job_that_goes_on_is_waited_for(server: ValkeyServer, celery: Celery) -> None:
    """A result that says STARTED is none."""
    store(server, "j8", status="STARTED", result={})
    waiting = Waiting(celery, "j8")
    waiting.start()
    wait_until(elapsed(0.3), what="it has looked some times")
    assert not waiting.found
    store(server, "j8")
    waiting.join(30)
    assert waiting.found == [{"response": "j8"}]


def test_no_task_waits_for_a_result(server: ValkeyServer, celery: Celery) -> None:
    """Celery refuses that, before it waits."""
    with denied_join_result(), pytest.raises(RuntimeError, match="within a task"):
        JobResult("j9", app=celery).get(timeout=30)


def test_a_result_that_is_dropped_is_listened_for_no_more(celery: Celery) -> None:
    """Where Celery was asked to call somebody with it."""
    result, consumer = JobResult("dropped", app=celery), celery.backend.result_consumer
    result.then(print, weak=True)
    assert consumer.subscribed_to
    del result
    assert not consumer.subscribed_to
