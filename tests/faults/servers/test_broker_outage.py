"""A worker process outlives its broker's bad days (docs: faults 13 to 16 and 26)."""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sandbox.process import ServerProcess
from sandbox.resp import RespConnection
from sandbox.valkey import ValkeyServer
from tests.support.faults.celery_messages import MALFORMED, element
from tests.support.machine import scaled
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]


@dataclass
class Rig:
    """One broker and one worker."""

    server: ValkeyServer
    worker: ServerProcess
    output: Path
    names: Iterator[str] = field(default_factory=lambda: (f"job {n}" for n in range(10_000)))

    def send(self, task: str = "echo", *args: str) -> str:
        """Enqueue one job. The text it will write."""
        text = next(self.names)
        self.server.command("LPUSH", "celery", element(task, text, *args))
        return text

    def send_and(self, *command: str) -> str:
        """Enqueue one job and run a command of the server's in one step."""
        text = next(self.names)
        with RespConnection(self.server.port) as connection:
            connection.command("MULTI")
            connection.command("LPUSH", "celery", element("echo", text))
            connection.command(*command)
            connection.command("EXEC")
        return text

    def wait_done(self, text: str, *, timeout_s: float = 15) -> None:
        """Return when that job has run."""
        wait_until(lambda: text in self.done(), timeout_s=timeout_s, what=f"{text} is done")

    def done(self) -> list[str]:
        """What has been written so far."""
        return self.output.read_text().splitlines()

    def wait_logged(self, words: str, since: int) -> None:
        """Return when the worker has said these words after position `since` of its log."""
        wait_until(
            lambda: words in self.worker.log_text()[since:],
            timeout_s=15,
            what=f"the worker notices: {words}",
        )

    def log_position(self) -> int:
        """The length of the worker's log."""
        return len(self.worker.log_text())


@pytest.fixture(scope="module", params=["threads", pytest.param("prefork", marks=pytest.mark.slow)])
def module_rig(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """A broker, and the command for a worker, of each pool."""
    directory = tmp_path_factory.mktemp(request.param)
    output = directory / "output"
    output.touch()
    with ValkeyServer() as server:
        command = (sys.executable, "-m", "celery", "-A", "tests.support.faults.echo_app", "worker")
        options = ("-P", request.param, "-c", "2", "--without-gossip", "--without-mingle")
        worker = ServerProcess(
            (*command, *options, "-l", "INFO"),
            log_path=directory / "worker.log",
            cwd=ROOT,
            env={**os.environ, "ECHO_BROKER_URL": server.url(), "ECHO_OUTPUT": str(output)},
            name="celery worker",
        )
        try:
            yield Rig(server, worker, output)
            assert worker.stop(grace_s=scaled(10)) == 0
        finally:
            worker.kill()


@pytest.fixture
def rig(module_rig: Rig) -> Iterator[Rig]:
    """The broker and a worker that is the same process after the test as before."""
    worker = module_rig.worker
    if not worker.is_running:
        worker.log_path.unlink(missing_ok=True)
        worker.start()
        worker.wait_ready(lambda: " ready." in worker.log_text(), timeout_s=30)
    yield module_rig
    assert worker.is_running, worker.log_tail(50)


def test_the_worker_outlives_a_killed_broker(rig: Rig, tmp_path: Path) -> None:
    """Redis dies while an acks_late task runs, comes back empty: later jobs are done."""
    gate = tmp_path / "gate"
    held = rig.send("hold", str(gate))
    rig.wait_done(f"{held} has begun")
    position = rig.log_position()

    rig.server.kill()
    rig.wait_logged("Connection refused", position)
    gate.touch()
    rig.wait_done(held)
    rig.server.restart()

    rig.wait_done(rig.send(), timeout_s=30)


def test_a_frozen_broker_only_delays(rig: Rig) -> None:
    """Redis answers nothing for a while; even the job that was under way is done."""
    before = rig.send()
    rig.server.freeze()
    # Each question waits a second: longer than the worker's own time-out in all.
    assert not any(rig.server.is_ready() for _ in range(3))
    rig.server.thaw()
    rig.wait_done(before)
    rig.wait_done(rig.send())


def test_malformed_elements_are_put_aside(rig: Rig) -> None:
    """A good job behind every kind of garbage is done within a second; the garbage is kept."""
    rig.wait_done(rig.send())
    rig.server.command("DEL", "celery.quarantine", "unacked", "unacked_index")

    rig.server.command("LPUSH", "celery", *MALFORMED.values())
    rig.wait_done(rig.send(), timeout_s=1)

    assert rig.server.command("LLEN", "celery.quarantine") == len(MALFORMED)
    wait_until(lambda: rig.server.command("HLEN", "unacked") == 0, what="nothing is unacked")
    assert "never" not in rig.done()


def test_no_message_is_shown_in_the_log(rig: Rig) -> None:
    """What is put aside is counted and named by its fault, not quoted."""
    rig.server.command("LPUSH", "celery", b'["a secret"]')
    rig.wait_done(rig.send())

    assert "a secret" not in rig.worker.log_text()
    assert "12 bytes on 'celery'" in rig.worker.log_text()


def test_a_broadcast_of_a_wrong_shape_is_ignored(rig: Rig) -> None:
    """Anything may be published on the channel of the remote control."""
    for payload in ("[1,2]", "null", '{"properties": 1}', "not JSON"):
        wait_until(
            lambda sent=payload: rig.server.command("PUBLISH", "/0.celery.pidbox", sent) == 1,
            what="the worker hears broadcasts",
        )
    rig.wait_done(rig.send())


def test_a_job_taken_while_memory_is_full_is_done(rig: Rig) -> None:
    """OOM: the message is off its list already and must not get lost."""
    rig.wait_done(rig.send())
    # In one transaction, so that memory is full before the worker can note the message.
    text = rig.send_and("CONFIG", "SET", "maxmemory", "1")
    rig.wait_done(text)
    rig.server.command("CONFIG", "SET", "maxmemory", "0")

    rig.wait_done(rig.send())


def _command(*parts: str) -> Callable[[ValkeyServer], object]:
    return lambda server: server.command(*parts)


REFUSALS = {
    "READONLY": (
        "read only replica",
        _command("REPLICAOF", "127.0.0.1", "1"),
        _command("REPLICAOF", "NO", "ONE"),
    ),
    "NOPERM": (
        "no permissions",
        _command("ACL", "SETUSER", "default", "-blmpop"),
        _command("ACL", "SETUSER", "default", "+blmpop"),
    ),
    "WRONGTYPE": (
        "WRONGTYPE",
        _command("SET", "celery", "not a list"),
        _command("DEL", "celery"),
    ),
    "NOREPLICAS": (
        "NOREPLICAS",
        _command("CONFIG", "SET", "min-replicas-to-write", "1"),
        _command("CONFIG", "SET", "min-replicas-to-write", "0"),
    ),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusing_broker_is_waited_for(rig: Rig, kind: str) -> None:
    """The worker says what it is refused, stays alive, and goes on when that is over."""
    words, refuse, relieve = REFUSALS[kind]
    rig.wait_done(rig.send())
    position = rig.log_position()

    refuse(rig.server)
    try:
        rig.wait_logged(words, position)
    finally:
        relieve(rig.server)

    rig.wait_done(rig.send())
