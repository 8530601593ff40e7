"""Every option of `celery worker` does what it says, or is refused in one line."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from celery.bin.beat import beat as celery_beat
from celery.bin.worker import worker as celery_worker

from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.servers.redis_users import users_of_tests
from tests.support.waiting import wait_until
from tests.support.warm.python import run_python, warm
from worker.refusal import BAD_SETTINGS
from worker.start.commands import beat, worker

HOST = socket.gethostname()

one_prefix = pytest.mark.skipif(
    users_of_tests() is not None, reason="the users of make test-acl know one key prefix"
)


REFUSED = {
    "--time-limit: Celery would end the task and not its job": ["--time-limit", "60"],
    "--soft-time-limit: ": ["--soft-time-limit", "60", "-P", "processes"],
    "--max-tasks-per-child: only a pool of processes": ["--max-tasks-per-child", "9"],
    "--max-memory-per-child: only": ["--max-memory-per-child", "9", "-P", "threads"],
    "--pool-start-method: only a pool of processes": ["--pool-start-method", "fork"],
    "--concurrency 2001: a worker runs": ["-c", "2001"],
    "--concurrency auto: only a pool of processes": ["-c", "auto"],
    "--concurrency 5: -P solo runs one turn at a time": ["-c", "5", "-P", "solo"],
    "--autoscale 0: a worker runs 1 to": ["--autoscale", "0"],
    "--autoscale: a pool of thread keeps its size": ["--autoscale", "5,2", "-P", "threads"],
    "-O default: only a pool of processes": ["-O", "default"],
    "--pool-start-method spawn: Celery": ["--pool-start-method", "spawn", "-P", "processes"],
    "--queues: names no queue": ["-Q", ","],
    "--prefetch-multiplier -1: must be 0 or more": ["--prefetch-multiplier", "-1"],
    "--heartbeat-interval 0: must be 1 or more": ["--heartbeat-interval", "0"],
    "--scheduler: does nothing without -B": ["--scheduler", "celery.beat:Scheduler"],
    "--umask x: is not an octal number": ["--umask", "x"],
    "--schedule: beat keeps its schedule in memory": ["-s", "schedule.db"],
}
"""Options, by what is said of them."""

# All in one process: a worker that is refused has started nothing.
REFUSALS = """
import contextlib, io, json, sys
from celery.bin.celery import celery
import worker  # which puts other streams in place of the standard ones
said = []
for options in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as error, contextlib.suppress(SystemExit):
        celery(["-A", "worker", "worker", *options])
    said.append(error.getvalue().strip())
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GriotStack]:
    """A stack at a server of its own."""
    directory = tmp_path_factory.mktemp("options")
    with (
        ValkeyServer() as server,
        OllamaStandIn() as ollama,
        GriotStack(
            directory, redis_url=server.url(), ollama_url=ollama.url, settings=FAST, starter=warm
        ) as stack,
    ):
        yield stack
        stack.stop(grace_s=0)


CELERY, GRIOT = ("-m", "celery", "-A", "worker"), ("-m", "griot")
DOORS = pytest.mark.parametrize("door", [CELERY, GRIOT], ids=["celery", "griot"])
"""Both command lines have the same options."""


def run(
    stack: GriotStack, *options: str, door: Sequence[str] = CELERY, **settings: str
) -> subprocess.CompletedProcess[str]:
    """What a worker with these options says that does not start."""
    return run_python(
        *door,
        "worker",
        *options,
        env={**stack.env_of("worker"), **settings},
        cwd=stack.directory,
        timeout_s=scaled(60),
    )


@pytest.fixture(scope="module")
def refusals(worlds: GriotStack) -> dict[str, str]:
    """What each of REFUSED came to."""
    done = run_python(
        "-c",
        REFUSALS,
        json.dumps(list(REFUSED.values())),
        env=worlds.env,
        cwd=worlds.directory,
        timeout_s=scaled(60),
    )
    return dict(zip(REFUSED, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("line", REFUSED)
def test_an_option_that_would_do_nothing_is_refused(refusals: dict[str, str], line: str) -> None:
    """Before the worker takes a job, in one line that says what to do."""
    assert refusals[line].startswith(f"griot: {line}")
    assert "\n" not in refusals[line]


@DOORS
def test_what_is_refused_is_said_on_standard_error(worlds: GriotStack, door: Sequence[str]) -> None:
    """And the worker's status is not that of one that has stopped."""
    refused = run(worlds, "--time-limit", "60", door=door)
    assert refused.returncode == BAD_SETTINGS
    (said,) = [one for one in refused.stderr.splitlines() if one.startswith("griot: ")]
    assert said.startswith("griot: --time-limit: ")
    assert "Traceback" not in refused.stderr


@DOORS
def test_no_turns_at_all_are_refused(worlds: GriotStack, door: Sequence[str]) -> None:
    """Celery takes `-c 0` for no option, and would run WORKER_CONCURRENCY of them."""
    refused = run(worlds, "-c", "0", door=door)
    assert refused.returncode == 2
    assert "'--concurrency': a worker runs 1 to 2000 turns" in refused.stderr


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_settings_that_would_not_be_read_are_refused(worlds: GriotStack, command: str) -> None:
    """Celery's `--config` is for an app that has none of its own."""
    refused = run_python(
        *("-m", "celery", "--config", "other", "-A", "worker", command),
        env=worlds.env,
        cwd=worlds.directory,
        timeout_s=scaled(60),
    )
    assert refused.returncode == BAD_SETTINGS
    assert "griot: --config other: Griot's settings come from the environment" in refused.stderr


@DOORS
def test_a_worker_in_the_background_says_before_why_it_does_not_start(
    worlds: GriotStack, tmp_path: Path, door: Sequence[str]
) -> None:
    """And where all is well it runs, with its mask, its process id and its log where they should
    be."""
    refused = run(worlds, "-D", "-c", "2001", door=door)
    assert refused.returncode == BAD_SETTINGS
    assert "griot: --concurrency 2001: a worker runs 1 to" in refused.stderr
    pid, log = tmp_path / "worker.pid", tmp_path / "worker.log"
    options = ("-n", "behind@%h", "--pidfile", str(pid), "--logfile", str(log), "--umask", "077")
    assert run(worlds, "-D", *options, door=door).returncode == 0
    wait_until(lambda: log.exists() and " ready." in log.read_text(), timeout_s=40, what="it runs")
    assert log.stat().st_mode & 0o077 == 0
    os.kill(int(pid.read_text()), signal.SIGTERM)
    wait_until(lambda: not pid.exists(), timeout_s=20, what="it ends")


def test_both_command_lines_have_the_same_options() -> None:
    """Those of `celery worker` and `celery beat`, and with `griot` two that stand before those."""
    for own, of_celery in ((worker, celery_worker), (beat, celery_beat)):
        names = {one.name: one.opts for one in of_celery.params}
        assert {one.name: one.opts for one in own.params if one.name in names} == names
        assert {one.name for one in own.params} - names.keys() == {"no_color", "quiet"}


@one_prefix
def test_a_beat_of_the_workers_own_sends_what_is_due(worlds: GriotStack) -> None:
    """With -B; the worker itself may consume the queue in which that is."""
    worker = worlds.worker(
        *("-B", "--loglevel", "debug", "-Q", "maintenance,chat"),
        name="both",
        REDIS_KEY_PREFIX="both",
    )
    wait_until(
        lambda: "tasks.sweep" in worker.log_text().partition(" ready.")[2],
        timeout_s=30,
        what="a sweep",
    )
    worker.stop()


def test_a_file_for_beats_schedule_is_refused(worlds: GriotStack) -> None:
    """By beat itself, too, which would never write it."""
    command = (sys.executable, "-m", "celery", "-A", "worker", "beat", "-s", "schedule.db")
    refused = run_python(*command[1:], env=worlds.env, cwd=worlds.directory, timeout_s=scaled(60))
    assert refused.returncode == BAD_SETTINGS
    assert "griot: --schedule: beat keeps its schedule in memory" in refused.stderr


def test_a_pulse_that_no_heartbeat_gives_is_refused(worlds: GriotStack, tmp_path: Path) -> None:
    """Else the health check would kill a worker that works."""
    for options in (["--without-heartbeat"], ["--heartbeat-interval", "60"]):
        refused = run(worlds, *options, WORKER_ALIVE_FILE=str(tmp_path / "alive"))
        assert refused.returncode == BAD_SETTINGS
        assert "is touched with each heartbeat" in refused.stderr


@one_prefix
def test_two_workers_of_one_name_are_refused(worlds: GriotStack) -> None:
    """The second; a name of its own is enough, and so is another key prefix. A worker that was
    killed leaves its name to the next."""
    first = worlds.worker(name="same")
    refused = run(worlds, "--hostname", "same@%h")
    assert refused.returncode == BAD_SETTINGS
    assert (
        f"--hostname same@{HOST}: a worker with that name already runs on this host"
        in refused.stderr
    )
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


def test_a_crash_point_that_no_test_has_armed_is_ignored(worlds: GriotStack) -> None:
    """A variable that has strayed into a deployment kills nobody; the worker says that it is there.

    Whatever it names: an unknown point keeps no worker from its start either.
    """
    worker = worlds.worker(name="unarmed", GRIOT_CRASH_AT="before-acquire:1")
    assert "GRIOT_CRASH_AT is ignored: it is for tests only" in worker.log_text()
    code = "from tasks.process.crash_points import CrashPoint, crash_if_armed as passed; "
    lives = "passed(CrashPoint.TOKEN); print('lives')"
    for at, armed, expected in (
        ("token:1", "", 0),
        ("no such point", "", 0),
        ("token:1", "yes", 0),
        ("token:1", "tests", -signal.SIGKILL),
    ):
        env = {**worlds.env, "GRIOT_CRASH_AT": at, "GRIOT_CRASH_ARMED": armed}
        done = run_python("-c", code + lives, env=env, cwd=worlds.directory, timeout_s=scaled(60))
        assert done.returncode == expected, (at, armed)
