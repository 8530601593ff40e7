"""LOG_FORMAT=json: what a worker and beat write is JSON, line by line, with the ids of the job."""

import json

import pytest

from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import JobFailed, chat_task
from tests.support.machine import scaled
from tests.support.waiting import wait_until

WAIT_S = scaled(30)


@pytest.fixture(scope="module")
def processes(stack: GriotStack) -> tuple[ServerProcess, ServerProcess]:
    """A worker and beat."""
    return stack.worker(LOG_FORMAT="json", LOG_LEVEL="DEBUG"), stack.beat(LOG_FORMAT="json")


def lines_of(process: ServerProcess) -> list[dict[str, object]]:
    """All that it has written, each line of which has to be an object."""
    return [json.loads(line) for line in process.log_text().splitlines()]


def test_every_line_is_an_object(processes: tuple[ServerProcess, ServerProcess]) -> None:
    """Of an answer and of a failure; those that are about a job have its ids."""
    worker, beat = processes
    answered = chat_task.delay("energy", "kwame", "hello")
    answered.get(timeout=WAIT_S)
    failed = chat_task.delay("energy", "kwame", "hello", model="missing")
    with pytest.raises(JobFailed):
        failed.get(timeout=WAIT_S)
    wait_until(lambda: failed.id in worker.log_text(), what="the failure is in the log")
    for job_id in (answered.id, failed.id):
        about = [line for line in lines_of(worker) if line.get("job") == job_id]
        assert {(line["agent"], line["session"]) for line in about} == {("energy", "kwame")}
        assert 1 in {line.get("attempt") for line in about}
    assert lines_of(beat)
