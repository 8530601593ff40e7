"""Every option of `celery worker` does what it says, or is refused in one line."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.waiting import wait_until

HOST = socket.gethostname()


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GriotStack]:
    """A stack at a server of its own."""
    directory = tmp_path_factory.mktemp("options")
    with (
        ValkeyServer() as server,
        OllamaStandIn() as ollama,
        GriotStack(
            directory, redis_url=server.url(), ollama_url=ollama.url, settings=FAST
        ) as stack,
    ):
        yield stack
        stack.stop(grace_s=0)


def run(stack: GriotStack, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """What a worker with these options says that does not start."""
    return subprocess.run(
        (sys.executable, "-m", "celery", "-A", "worker", "worker", *options),
        env={**stack.env_of("worker"), **settings}, cwd=stack.directory, capture_output=True,
        text=True, timeout=scaled(60), check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--time-limit", "60"], "--time-limit: Celery would end the task and not its job"),
        (["--soft-time-limit", "60", "-P", "processes"], "--soft-time-limit: "),
        (["--max-tasks-per-child", "9"], "--max-tasks-per-child: only a pool of processes"),
        (["--max-memory-per-child", "9", "-P", "threads"], "--max-memory-per-child: only"),
        (["--pool-start-method", "spawn"], "--pool-start-method: only a pool of processes"),
        (["-c", "2001"], "--concurrency 2001: a worker runs"),
        (["-s", "schedule.db"], "--schedule: beat keeps its schedule in memory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_option_that_would_do_nothing_is_refused(
    worlds: GriotStack, options: list[str], line: str
) -> None:
    """Before the worker takes a job, in one line that says what to do."""
    refused = run(worlds, *options)
    assert refused.returncode == 1
    (said,) = [one for one in refused.stderr.splitlines() if one.startswith("griot: ")]
    assert said.startswith(f"griot: {line}")
    assert "Traceback" not in refused.stderr


def test_a_file_for_beats_schedule_is_refused(worlds: GriotStack) -> None:
    """By beat itself, too, which would never write it."""
    command = (sys.executable, "-m", "celery", "-A", "worker", "beat", "-s", "schedule.db")
    refused = subprocess.run(
        command, env=worlds.env, cwd=worlds.directory, capture_output=True, text=True,
        timeout=scaled(60), check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "griot: --schedule: beat keeps its schedule in memory" in refused.stderr


def test_a_pulse_that_no_heartbeat_gives_is_refused(worlds: GriotStack, tmp_path: Path) -> None:
    """Else the health check would kill a worker that works."""
    for options in (["--without-heartbeat"], ["--heartbeat-interval", "60"]):
        refused = run(worlds, *options, WORKER_ALIVE_FILE=str(tmp_path / "alive"))
        assert refused.returncode == 1
        assert "is touched with each heartbeat" in refused.stderr


def test_two_workers_of_one_name_are_refused(worlds: GriotStack) -> None:
    """The second; a name of its own is enough, and so is another key prefix. A worker that was
    killed leaves its name to the next."""
    first = worlds.worker(name="same")
    refused = run(worlds, "--hostname", "same@%h")
    assert refused.returncode == 1
    assert f"--hostname same@{HOST}: a worker of that name runs on this host" in refused.stderr
    worlds.worker("--hostname", "same@%h", name="elsewhere", REDIS_KEY_PREFIX="other").stop()
    first.kill()
    worlds.worker(name="same").stop()


def test_workers_without_a_name_get_one_each(worlds: GriotStack) -> None:
    """The command of the documentation, three times on one machine."""
    processes = [worlds._celery("worker", name=f"unnamed{number}").start() for number in range(3)]
    for process in processes:
        process.wait_ready(lambda process=process: " ready." in process.log_text(), scaled(40))  # type: ignore[misc]  # bound now
    names = {f"celery@{HOST}", f"celery-2@{HOST}", f"celery-3@{HOST}"}
    shown = {name for name in names for one in processes if f"{name} ready." in one.log_text()}
    assert shown == names
    for process in processes:
        process.stop()


def test_the_log_goes_where_the_command_line_says(worlds: GriotStack, tmp_path: Path) -> None:
    """`--logfile` wins over LOG_FILE, with Celery's %n; an explicit `-l warning` over LOG_LEVEL."""
    given, other = tmp_path / "%n.log", tmp_path / "settings.log"
    worker = worlds.worker("--logfile", str(given), name="logged", LOG_FILE=str(other))
    written = tmp_path / "logged.log"
    wait_until(lambda: written.exists() and " ready." in written.read_text(), what="the line")
    assert not other.exists()
    worker.stop()
    quiet = worlds._celery("worker", "-l", "warning", "-n", "quiet@%h", name="quiet").start()
    wait_until(lambda: "append-only file off" in quiet.log_text(), what="a warning")
    quiet.stop()
    assert " ready." not in quiet.log_text()
    assert "INFO" not in quiet.log_text()
