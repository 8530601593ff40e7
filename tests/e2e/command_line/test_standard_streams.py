"""Standard output and error that are full or closed from the start."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import chat_task
from tests.support.machine import scaled
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")

LOST = {
    ">/dev/full": "No space left on device",
    ">&-": "Bad file descriptor",
}
STREAMS = [">/dev/full", ">/dev/full 2>/dev/full", "<&- >&- 2>&-"]


def _shell(command: str, streams: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", f"exec {sys.executable} -m {command} {streams}")


@pytest.mark.parametrize(
    ("command", "streams"),
    [
        ("--version", ">/dev/full"),
        pytest.param("--version", ">&-", marks=pytest.mark.slow),
        pytest.param("sessions energy", ">/dev/full", marks=pytest.mark.slow),
        ("sessions energy --json", ">&-"),
    ],
)
def test_a_command_whose_output_is_lost_says_so(
    stack: GriotStack, command: str, streams: str
) -> None:
    """In one line on standard error, with an exit code of its own; where that is lost, too, by the
    code alone."""
    done = subprocess.run(
        _shell(f"worker.cli {command}", streams), env=stack.env, cwd=stack.directory,
        capture_output=True, text=True, timeout=scaled(30), check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == f"griot: standard output cannot be written: {LOST[streams]}\n"
    silent = subprocess.run(
        _shell(f"worker.cli {command}", f"{streams} 2>/dev/full"), env=stack.env,
        cwd=stack.directory, timeout=scaled(30), check=False,
    )  # fmt: skip
    assert silent.returncode == 1


def test_a_command_that_prints_nothing_misses_nothing(stack: GriotStack) -> None:
    """Its own exit code, for what was wrong."""
    done = subprocess.run(
        _shell("worker.cli no-such-command", ">&-"), env=stack.env, cwd=stack.directory,
        capture_output=True, text=True, timeout=scaled(30), check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "standard output" not in done.stderr


@pytest.fixture(params=STREAMS)
def worker(request: pytest.FixtureRequest, stack: GriotStack, tmp_path: Path) -> Iterator[Path]:
    """A worker of the queue `dark` with such streams; its log file."""
    log = tmp_path / "app.log"
    process = ServerProcess(
        _shell("celery -A worker worker -Q dark --hostname dark@%h", request.param),
        log_path=tmp_path / "streams",
        cwd=tmp_path,
        env={**stack.env_of("worker"), "LOG_FILE": str(log)},
        name="dark",
    )
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
    log = tmp_path / "app.log"
    beat = ServerProcess(
        _shell("celery -A worker beat --loglevel debug", ">/dev/full"),
        log_path=tmp_path / "streams",
        cwd=tmp_path,
        env={**stack.env_of("beat"), "LOG_FILE": str(log)},
        name="beat",
    )
    with beat:
        wait_until(lambda: _has(log, "beat sent"), timeout_s=30, what="beat publishes")
        assert beat.is_running


def _has(log: Path, text: str) -> bool:
    return log.exists() and text in log.read_text()
