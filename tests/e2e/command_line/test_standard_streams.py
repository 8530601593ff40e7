"""Standard output and error that are full or closed from the start."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from sandbox.process import Child, ServerProcess, started
from sandbox.stack import GriotStack
from tasks import chat_task
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from tests.support.warm.python import run_python, warm

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")

LOST = {
    ">/dev/full": "No space left on device",
    ">&-": "Bad file descriptor",
}
STREAMS = [
    ">/dev/full 2>/dev/full",
    pytest.param(">/dev/full", marks=pytest.mark.slow),
    pytest.param("<&- >&- 2>&-", marks=pytest.mark.slow),
]


def _shell(command: str, streams: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", f"exec {sys.executable} -m {command} {streams}")


def _into_full(
    command: Sequence[str], _: int, cwd: Path | None, env: Mapping[str, str] | None
) -> Child:
    with Path("/dev/full").open("w") as full:
        return warm(command, full.fileno(), cwd, env)


def _started(
    command: str, streams: str, log: Path, env: Mapping[str, str], name: str
) -> ServerProcess:
    is_full = streams == ">/dev/full 2>/dev/full"
    return ServerProcess(
        (sys.executable, "-m", *command.split()) if is_full else _shell(command, streams),
        log_path=log.with_name("streams"),
        cwd=log.parent,
        env={**env, "LOG_FILE": str(log)},
        name=name,
        starter=_into_full if is_full else started,
    )


Ended = subprocess.CompletedProcess[str]


def _by_shell(stack: GriotStack, command: str, *streams: str) -> Ended:
    return subprocess.run(
        _shell(f"worker.cli {command}", " ".join(streams)), env=stack.env, cwd=stack.directory,
        capture_output=True, text=True, timeout=scaled(30), check=False,
    )  # fmt: skip


def _warm(stack: GriotStack, command: str, *streams: str) -> Ended:
    code = f"""
import os, runpy, sys
{"; ".join(REDIRECTED[one] for one in streams)}
sys.argv = ["griot", *{command.split()!r}]
runpy.run_module("worker.cli", run_name="__main__", alter_sys=True)
"""
    return run_python("-c", code, env=stack.env, cwd=stack.directory, timeout_s=scaled(30))


REDIRECTED = {
    ">/dev/full": "os.dup2(os.open('/dev/full', os.O_WRONLY), 1)",
    "2>/dev/full": "os.dup2(os.open('/dev/full', os.O_WRONLY), 2)",
    ">&-": "sys.stdout = sys.__stdout__ = None; os.close(1)",
}
"""As a shell does it, in a process that has its streams already."""
OF_A_SHELL = [
    ("--version", ">/dev/full"),
    ("--version", ">&-"),
    ("sessions energy", ">/dev/full"),
    ("sessions energy --json", ">&-"),
]


@pytest.mark.parametrize(
    ("command", "streams", "run"),
    [
        ("--version", ">/dev/full", _warm),
        ("sessions energy --json", ">&-", _warm),
        *(pytest.param(*one, _by_shell, marks=pytest.mark.slow) for one in OF_A_SHELL),
    ],
)
def test_a_command_whose_output_is_lost_says_so(
    stack: GriotStack, command: str, streams: str, run: Callable[..., Ended]
) -> None:
    """In one line on standard error, with an exit code of its own; where that is lost, too, by the
    code alone."""
    done = run(stack, command, streams)
    assert done.returncode == 1
    assert done.stderr == f"griot: standard output cannot be written: {LOST[streams]}\n"
    assert run(stack, command, streams, "2>/dev/full").returncode == 1


@pytest.mark.parametrize("run", [_warm, pytest.param(_by_shell, marks=pytest.mark.slow)])
def test_a_command_that_prints_nothing_misses_nothing(
    stack: GriotStack, run: Callable[..., Ended]
) -> None:
    """Its own exit code, for what was wrong."""
    done = run(stack, "no-such-command", ">&-")
    assert done.returncode == 2
    assert "standard output" not in done.stderr


@pytest.fixture(params=STREAMS)
def worker(request: pytest.FixtureRequest, stack: GriotStack, tmp_path: Path) -> Iterator[Path]:
    """A worker of the queue `dark` with such streams; its log file."""
    log, env = tmp_path / "app.log", stack.env_of("worker")
    command = "celery -A worker worker -Q dark --hostname dark@%h"
    process = _started(command, request.param, log, env, "dark")
    with process:
        wait_until(lambda: _has(log, " ready."), timeout_s=30, what="the worker is ready")
        if "<&-" in request.param and Path("/proc/self/fd").exists():
            opened = {Path(f"/proc/{process.pid}/fd/{number}").readlink() for number in range(3)}
            assert opened == {Path("/dev/null")}
        yield log
        assert process.stop(scaled(20)) == 0


def test_a_worker_goes_on(worker: Path) -> None:
    """It works as one whose log file is full, and no socket takes the place of a closed stream."""
    job = chat_task.apply_async(("energy", f"dark-{os.getpid()}", "hello"), queue="dark")
    assert job.get(timeout=scaled(20))["response"]
    assert "Traceback" not in worker.read_text()


def test_beat_goes_on(stack: GriotStack, tmp_path: Path) -> None:
    """It prints before it logs."""
    log, env = tmp_path / "app.log", stack.env_of("beat")
    command = "celery -A worker beat --loglevel debug"
    beat = _started(command, ">/dev/full 2>/dev/full", log, env, "beat")
    with beat:
        wait_until(lambda: _has(log, "beat sent"), timeout_s=30, what="beat publishes")
        assert beat.is_running


def _has(log: Path, text: str) -> bool:
    return log.exists() and text in log.read_text()
