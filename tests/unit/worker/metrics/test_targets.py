"""The files for Prometheus: whose are removed, when, and whose are not."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.ports import free_port
from sandbox.process import ServerProcess
from tests.support.metrics.shown import targets
from tests.support.waiting import wait_until
from worker.metrics import targets as files
from worker.metrics.targets import Cleaner, address_of, announce

MINE = f"griot-{os.getpid()}.json"
ANNOUNCES = """
import socket, sys, time
from pathlib import Path
from worker.metrics.targets import announce
listener = socket.create_server(("127.0.0.1", 0))
announce(Path(sys.argv[1]), f"127.0.0.1:{listener.getsockname()[1]}", "worker")
time.sleep(600)
"""


@pytest.fixture
def listening() -> Iterator[str]:
    """An address at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def dead_pid() -> int:
    """The number of a process that has ended."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def put(folder: Path, pid: int, address: str) -> str:
    """The file of a process; its name."""
    path = folder / f"griot-{pid}.json"
    path.write_text(json.dumps([{"targets": [address], "labels": {"role": "worker"}}]))
    return path.name


def test_files_of_the_dead_are_removed_and_no_others(tmp_path: Path, listening: str) -> None:
    """Of one that is no file of ours, or has no address, nobody knows whose it is."""
    put(tmp_path, dead_pid(), listening)
    kept = {put(tmp_path, os.getppid(), listening), "others.json", "griot-1.json"}
    for name in ("others.json", "griot-1.json"):
        (tmp_path / name).write_text("[]")
    announce(tmp_path, listening, "beat")
    assert {path.name for path in tmp_path.iterdir()} == {MINE, *kept}
    assert json.loads((tmp_path / MINE).read_text())[0]["labels"]["role"] == "beat"


def test_a_number_that_another_process_has_by_now_keeps_no_file(
    tmp_path: Path, listening: str
) -> None:
    """Nobody listens at the address."""
    put(tmp_path, os.getppid(), f"127.0.0.1:{free_port()}")
    announce(tmp_path, listening, "worker")
    assert {path.name for path in tmp_path.iterdir()} == {MINE}


@pytest.mark.parametrize("address", ["127.0.0.1:0x", "no port"])
def test_an_address_that_tells_nothing_keeps_its_file(
    tmp_path: Path, listening: str, address: str
) -> None:
    """Only a refused connection says that nobody is there."""
    name = put(tmp_path, os.getppid(), address)
    announce(tmp_path, listening, "worker")
    assert {path.name for path in tmp_path.iterdir()} == {MINE, name}


def test_a_killed_process_is_gone_once_another_has_started(tmp_path: Path, listening: str) -> None:
    """It could not take its file back."""
    program = (sys.executable, "-c", ANNOUNCES, str(tmp_path))
    with ServerProcess(program, log_path=tmp_path / "log", name="announcer") as process:
        wait_until(lambda: targets(tmp_path).get("worker"), timeout_s=30, what="a file")
        process.kill()
        assert targets(tmp_path)["worker"]
        announce(tmp_path, listening, "beat")
    assert targets(tmp_path) == {"beat": [listening]}


def test_the_maintenance_worker_removes_it_only_after_the_alert(tmp_path: Path) -> None:
    """A file at which nobody answers is what the alert of a killed process is made of."""
    now_s = [0.0]
    cleaner = Cleaner(tmp_path, lambda: now_s[0])
    name = put(tmp_path, dead_pid(), f"127.0.0.1:{free_port()}")
    for now_s[0], left in ((0.0, [name]), (files.KEPT_S - 1, [name]), (files.KEPT_S, [])):
        assert list(cleaner.collect()) == []
        assert [path.name for path in tmp_path.iterdir()] == left


def test_one_that_answers_again_is_looked_at_anew(tmp_path: Path, listening: str) -> None:
    """Its hour begins when it does not answer the next time."""
    now_s = [0.0]
    cleaner = Cleaner(tmp_path, lambda: now_s[0])
    dead = f"127.0.0.1:{free_port()}"
    for now_s[0], address in ((0.0, dead), (10.0, listening), (files.KEPT_S, dead)):
        put(tmp_path, os.getppid(), address)
        cleaner.look()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_is_not_there_costs_the_scrape_nothing(tmp_path: Path) -> None:
    """Somebody has removed it."""
    Cleaner(tmp_path / "gone").look()


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    """Or the port would be a part of it."""
    assert address_of("::1", 9400) == "[::1]:9400"
    assert address_of("127.0.0.1", 9400) == "127.0.0.1:9400"
