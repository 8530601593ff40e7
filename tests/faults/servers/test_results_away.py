"""The server of the results is away or frozen: results are late, and nothing else is.

In a module of its own: another worker, with other results, would deliver these ends there.
"""

from collections.abc import Iterator

import pytest

from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.support.faults.rig import GRACE_S, SETTINGS, SWEEP_S, Rig
from tests.support.faults.sender import Sender
from tests.support.machine import scaled
from tests.support.waiting import elapsed, wait_until
from tests.support.warm.python import warm

WAIT_S = scaled(30)
PATIENT_S = 4.0
"""So long that no sweeper makes up for a wake-up that waits for a result."""

SLOW_S = 15.0
"""How long a worker waits for an answer: longer than a lost wake-up may take to be found."""


@pytest.fixture
def apart(
    rig: Rig, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator["Apart"]:
    """A worker whose results lie on a server of their own; a test may give it more settings."""
    more: dict[str, str] = getattr(request, "param", {})
    directory = tmp_path_factory.mktemp("apart")
    with ValkeyServer(free_port(), directory / "results") as results:
        stack = GriotStack(
            directory / "logs",
            redis_url=rig.valkey.url(),
            ollama_url=rig.ollama.url,
            settings={**SETTINGS, "CELERY_RESULT_BACKEND": results.url(), **more},
            starter=warm,
        )
        with stack:
            yield Apart(results, stack.worker("-Q", "apart", name="apart"))


class Apart:
    """A server of results, and the worker that stores them there."""

    def __init__(self, server: ValkeyServer, worker: ServerProcess) -> None:
        self.server = server
        self.worker = worker

    def are_stored(self, sender: Sender) -> bool:
        """Whether there is a result of each job that was sent."""
        jobs = [job.job_id for sent in sender.jobs.values() for job in sent]
        stored = self.server.command("EXISTS", *(f"celery-task-meta-{job}" for job in jobs))
        return stored == len(jobs)


@pytest.mark.parametrize(
    "apart", [{"CHAT_GRACE_SECONDS": f"{scaled(PATIENT_S):.2f}"}], indirect=True, ids=["patient"]
)
def test_turns_of_one_session_go_on_without_their_results(
    rig: Rig, apart: Apart, sender: Sender
) -> None:
    """The next job is woken before the result of the last one is stored."""
    (busy,) = sender.sessions(1)
    apart.server.freeze()
    try:
        for _ in range(10):
            sender.send(busy, queue="apart")
        rig.wait_drained(sender, timeout_s=2 * PATIENT_S)
    finally:
        apart.server.thaw()
    wait_until(lambda: apart.are_stored(sender), timeout_s=WAIT_S, what="all results are there")


@pytest.mark.parametrize(
    "apart", [{"REDIS_TIMEOUT": f"{scaled(SLOW_S):.2f}"}], indirect=True, ids=["slow"]
)
def test_a_frozen_result_server_delays_no_sweep(rig: Rig, apart: Apart, sender: Sender) -> None:
    """A lost wake-up is found as fast as without it, while a sweep tries to deliver."""
    busy, lost = sender.sessions(2)
    apart.server.freeze()
    try:
        for _ in range(10):
            sender.send(busy, queue="apart")
        rig.wait_drained(sender, timeout_s=scaled(5))
        late = rig.keyspace.outbox
        wait_until(lambda: rig.observer.zcard(late), what="a sweep has found late results")
        wait_until(elapsed(2 * SWEEP_S), what="a sweep tries to deliver them")
        rig.enqueue_silently(sender, lost, publish={"queue": "apart"})
        rig.wait_drained(sender, timeout_s=SWEEP_S + GRACE_S + scaled(2) + rig.slack_s)
    finally:
        apart.server.thaw()
    wait_until(lambda: apart.are_stored(sender), timeout_s=WAIT_S, what="all results are there")
    rig.wait_delivered(sender)


def test_results_are_stored_when_their_server_is_back(
    rig: Rig, apart: Apart, sender: Sender
) -> None:
    """Refused connections for a while; then all are there within S + g."""
    apart.server.kill()
    for session_id in sender.sessions(8):
        for _ in range(3):
            sender.send(session_id, queue="apart")
    rig.wait_drained(sender, timeout_s=WAIT_S)
    wait_until(elapsed(3 * (SWEEP_S + GRACE_S)), timeout_s=WAIT_S, what="some sweeps have failed")
    apart.server.start()
    within_s = SWEEP_S + 2 * GRACE_S + 1 + rig.slack_s
    wait_until(lambda: apart.are_stored(sender), timeout_s=within_s, what="all results are there")
    rig.wait_delivered(sender)
