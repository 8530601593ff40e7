"""`griot send`: a file of messages is sent and answered, once, whatever interrupts it."""

import asyncio
import json
import os
import signal
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from memory import get_redis_memory
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import send_many
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from tests.support.warm.piped import piped_python
from worker.cli import main

WAIT_S = scaled(30)


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> ServerProcess:
    """One worker for all tests of this module."""
    return stack.worker()


@pytest.fixture
def name() -> str:
    """Begins the names of the test's sessions."""
    return f"sent-{uuid.uuid4().hex[:8]}"


def write(path: Path, jobs: Sequence[object]) -> Path:
    """A file of these jobs."""
    path.write_text("".join(f"{json.dumps(job)}\n" for job in jobs))
    return path


def jobs_of(name: str, sessions: int, messages: int, **options: object) -> list[dict[str, object]]:
    """So many messages in so many sessions, mixed."""
    return [
        {
            "agent_id": "energy",
            "session_id": f"{name}-{session}",
            "message": f"no. {number}",
            "model": "instant",
            **options,
        }
        for number in range(messages)
        for session in range(sessions)
    ]


def results_of(file: Path) -> list[dict[str, object]]:
    """The results beside a file."""
    path = file.with_name(f"{file.name}.results.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def griot_send(*arguments: str) -> Result:
    """The command in this process, in a pipe."""
    return CliRunner().invoke(main, ("send", *arguments))


def asked(session_id: str) -> list[str]:
    """What the user said in a session, by its history."""
    history = get_redis_memory().get_conversation_history("energy", session_id)
    return [str(one["content"]) for one in history if one["role"] == "user"]


def test_a_file_is_answered_in_order_and_its_results_written(name: str, tmp_path: Path) -> None:
    """Sent again it asks nobody anything; under another name of the run it is answered anew."""
    file = write(tmp_path / "mine.jsonl", jobs_of(name, sessions=4, messages=5))
    done = griot_send(str(file))
    assert (done.exit_code, done.stdout.split(";")[0]) == (0, "20 of 20 jobs have ended: 20 done")
    results = results_of(file)
    assert {result["line"] for result in results} == set(range(1, 21))
    assert all(result["status"] == "done" and result["response"] for result in results)
    in_order = [f"no. {number}" for number in range(5)]
    assert [asked(f"{name}-{session}") for session in range(4)] == [in_order] * 4

    again = griot_send(str(file))
    assert (again.exit_code, len(results_of(file))) == (0, 20)
    assert "20 of 20 jobs have ended in an earlier run" in again.stderr
    file.with_name("mine.jsonl.results.jsonl").unlink()
    assert griot_send(str(file)).exit_code == 0
    assert (len(results_of(file)), asked(f"{name}-0")) == (20, in_order)
    elsewhere = str(tmp_path / "again.jsonl")
    assert griot_send(str(file), "--run", "second", "--results", elsewhere).exit_code == 0
    assert asked(f"{name}-0") == in_order * 2


def test_a_failed_job_and_a_refused_one_are_results_too(name: str, tmp_path: Path) -> None:
    """Exit code 1; the others are answered. A refused line is tried again by the next run."""
    good, bad, refused, last = jobs_of(name, sessions=4, messages=1)
    bad["model"] = "missing"
    refused["task_id"] = f"taken-{name}"
    send_many([{**last, "session_id": f"{name}-other", "task_id": f"taken-{name}"}])  # type: ignore[typeddict-item]
    file = write(tmp_path / "mixed.jsonl", [good, bad, refused, last])
    done = griot_send(str(file))
    assert done.exit_code == 1
    statuses = {result["line"]: result["status"] for result in results_of(file)}
    assert statuses == {1: "done", 2: "failed", 3: "refused", 4: "done"}
    griot_send(str(file))
    assert [result["line"] for result in results_of(file)[4:]] == [3]


def test_nothing_is_sent_of_a_file_with_a_wrong_line(name: str, tmp_path: Path) -> None:
    """Each wrong line is named, and what is wrong with it."""
    good = jobs_of(name, sessions=1, messages=1)[0]
    wrong = [{"agent_id": "energy"}, [1], {**good, "temperature": 7}, {**good, "task_id": 5}]
    file = write(tmp_path / "wrong.jsonl", [good, *wrong])
    file.write_text(file.read_text() + "{\n\n")
    done = griot_send(str(file))
    assert done.exit_code == 1
    assert "nothing was sent" in done.stderr
    for number in range(2, 7):
        assert f"line {number}: " in done.stderr
    assert not get_redis_memory().get_conversation_history("energy", f"{name}-0")
    assert griot_send(str(tmp_path / "none.jsonl")).exit_code == 2


def test_two_lines_with_one_id_are_told(name: str, tmp_path: Path) -> None:
    """They would be one job, and one of them without a result."""
    good = {**jobs_of(name, sessions=1, messages=1)[0], "task_id": f"twice-{name}"}
    done = griot_send(str(write(tmp_path / "twice.jsonl", [good, good])))
    assert (done.exit_code, "line 2: has the id of line 1" in done.stderr) == (1, True)


def test_an_interrupted_run_goes_on_where_it_stopped(
    stack: GriotStack, name: str, tmp_path: Path
) -> None:
    """By Ctrl-C and by kill -9: all are answered once, in order, and each has one result."""
    jobs = jobs_of(name, sessions=3, messages=12, model="slow-tokens:4x0.05s")
    file = write(tmp_path / "long.jsonl", jobs)
    command = ("-m", "worker.cli", "send", str(file), "--window", "6")
    for number, how in enumerate((signal.SIGINT, signal.SIGKILL), 1):
        with piped_python(*command, env=stack.env, cwd=tmp_path) as run:
            some = 4 * number
            wait_until(
                lambda some=some: len(results_of(file)) >= some,  # type: ignore[misc]
                timeout_s=WAIT_S,
                what="some of the jobs have ended",
            )
            os.kill(run.pid, how)
            _, said = run.communicate(timeout=WAIT_S)
        if how is signal.SIGINT:
            assert run.returncode == 130
            assert "The same command goes on from here" in said
    with file.with_name("long.jsonl.results.jsonl").open("a") as results:
        results.write('{"line": 1, "tas')  # as of a process that was killed while it wrote
    done = griot_send(str(file))
    assert done.exit_code == 0
    assert len(results_of(file)) == len({result["line"] for result in results_of(file)}) == 36
    in_order = [f"no. {number}" for number in range(12)]
    assert [asked(f"{name}-{session}") for session in range(3)] == [in_order] * 3


def test_send_many_may_be_called_beside_an_event_loop(name: str) -> None:
    """From a plain program and from a coroutine."""
    jobs = jobs_of(name, sessions=2, messages=3)

    async def beside() -> list[str]:
        return [str(answer.outcome) for answer in send_many(jobs)]  # type: ignore[arg-type]

    assert asyncio.run(beside()) == ["accepted"] * 6
    wait_until(
        lambda: len(asked(f"{name}-0")) == 3, timeout_s=WAIT_S, what="the messages are answered"
    )
    assert asked(f"{name}-0") == [f"no. {number}" for number in range(3)]
