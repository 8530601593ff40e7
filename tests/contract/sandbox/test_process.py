"""What `sandbox.process` promises about a child process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.errors import SandboxError, ServerDied, ServerNotReady
from sandbox.process import ServerProcess
from tests.support.machine import scaled
from tests.support.waiting import wait_until

SLEEP = ("/bin/sh", "-c", "echo ready; exec sleep 60")
PARENT = """
import sys
from pathlib import Path
from sandbox.process import ServerProcess
server = ServerProcess(("/bin/sh", "-c", "sleep 60 & exec sleep 60"), log_path=Path(sys.argv[1]))
print(server.start().pid, flush=True)
sys.stdin.read()
"""


def _group_is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    """`log_tail` has the last lines of what the child wrote to both streams."""
    process = ServerProcess(
        ("/bin/sh", "-c", "echo one; echo two >&2; echo three"), log_path=tmp_path / "out.log"
    )
    process.start().wait(scaled(5))
    process.kill()

    assert process.log_tail(2) == "two\nthree"
    assert process.returncode == 0


def test_a_child_that_dies_at_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """ServerDied names the status and the end of the output."""
    process = ServerProcess(
        ("/bin/sh", "-c", "echo no such thing; exit 3"), log_path=tmp_path / "out.log"
    )

    with pytest.raises(ServerDied, match=r"status 3.*\n.*no such thing"):
        process.start().wait_ready(lambda: False)


def test_a_child_that_is_never_ready_is_killed(tmp_path: Path) -> None:
    """ServerNotReady leaves nothing running."""
    process = ServerProcess(SLEEP, log_path=tmp_path / "out.log").start()

    with pytest.raises(ServerNotReady, match=r"0\.05 s"):
        process.wait_ready(lambda: False, timeout_s=0.05)

    assert process.returncode == -signal.SIGKILL


def test_an_error_in_the_predicate_leaves_nothing_running(tmp_path: Path) -> None:
    """Any exception while waiting kills the child."""
    process = ServerProcess(SLEEP, log_path=tmp_path / "out.log").start()

    with pytest.raises(ZeroDivisionError):
        process.wait_ready(lambda: 1 / 0)

    assert not process.is_running


def test_stop_is_polite_first(tmp_path: Path) -> None:
    """A child that handles SIGTERM ends with its own status."""
    process = ServerProcess(
        ("/bin/sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"),
        log_path=tmp_path / "out.log",
    ).start()
    process.wait_ready(lambda: "ready" in process.log_text())

    assert process.stop(grace_s=5) == 7


def test_stop_ends_a_child_that_ignores_sigterm_and_its_children(tmp_path: Path) -> None:
    """SIGKILL follows after the grace, for the whole group."""
    process = ServerProcess(
        ("/bin/sh", "-c", "trap '' TERM; sleep 60 & echo ready; sleep 60"),
        log_path=tmp_path / "out.log",
    ).start()
    process.wait_ready(lambda: "ready" in process.log_text())

    assert process.stop(grace_s=0.05) == -signal.SIGKILL
    wait_until(lambda: _group_is_gone(process.pid), what="its children have gone")


def test_a_frozen_child_can_be_stopped(tmp_path: Path) -> None:
    """`stop` thaws first, so the child hears SIGTERM at once."""
    with ServerProcess(SLEEP, log_path=tmp_path / "out.log") as process:
        process.freeze()
        assert process.is_running
        assert process.stop(grace_s=5) == -signal.SIGTERM


def test_the_child_dies_with_a_killed_parent(tmp_path: Path) -> None:
    """SIGKILL of the parent ends the child and its children too."""
    with subprocess.Popen(
        (sys.executable, "-c", PARENT, str(tmp_path / "out.log")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    ) as parent:
        assert parent.stdout is not None
        group = int(parent.stdout.readline())
        assert not _group_is_gone(group)
        parent.kill()

    wait_until(lambda: _group_is_gone(group), what="the child has died with its parent")


def test_a_running_child_is_not_started_twice(tmp_path: Path) -> None:
    """A second `start` is refused, a start after the end is not."""
    with ServerProcess(SLEEP, log_path=tmp_path / "out.log") as process:
        with pytest.raises(SandboxError, match="runs already"):
            process.start()
        first_pid = process.pid
        process.kill()
        assert process.start().pid != first_pid


def test_what_was_never_started_says_so(tmp_path: Path) -> None:
    """`stop` does nothing then, `pid` is an error."""
    process = ServerProcess(SLEEP, log_path=tmp_path / "out.log")

    assert process.stop() is None
    with pytest.raises(SandboxError, match="never started"):
        _ = process.pid
