"""A warm process of the tests ends as any Python does, and so does what stands for one."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.machine import scaled
from tests.support.waiting import wait_until
from tests.support.warm.programs import programs
from tests.support.warm.python import IS_COLD, run_python

LAST_WORDS = """
import atexit, sys, threading, time
atexit.register(print, "last")
print("first", end=" ")
threading.Timer(0.05, print, ["a thread"]).start()
"""


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit(-1)", 255, ""),
        ("sys.exit('why')", 1, "why\n"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "KeyboardInterrupt\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
    ],
)
def test_all_is_done_that_python_does_at_its_end(
    tmp_path: Path, code: str, status: int, said: str
) -> None:
    """Threads end, what is registered runs, what was written is there, the status is the same."""
    ended = run_python("-c", LAST_WORDS + code, env=os.environ, cwd=tmp_path, timeout_s=scaled(20))
    assert ended.stdout == "first a thread\nlast\n"
    assert ended.returncode == status
    assert ended.stderr.endswith(said)
    assert bool(said) == bool(ended.stderr)


WAITS = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


@pytest.mark.skipif(IS_COLD, reason="nothing stands for another process")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_what_stands_for_a_process_ends_with_it(tmp_path: Path, number: signal.Signals) -> None:
    """By the same signal; and whoever is killed himself takes the process along."""
    env = {**os.environ, **programs(tmp_path)}
    with subprocess.Popen(
        (tmp_path / "python", "-c", WAITS), env=env, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    ) as standing:  # fmt: skip
        assert standing.stdout is not None
        pid = int(standing.stdout.readline())
        assert pid != standing.pid
        standing.send_signal(number)
        assert standing.wait(scaled(20)) == -number
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the process has ended")


@pytest.mark.skipif(IS_COLD, reason="nothing stands for another process")
def test_what_stands_for_a_process_has_its_status(tmp_path: Path) -> None:
    """And its arguments."""
    env = {**os.environ, **programs(tmp_path)}
    code = "import sys; sys.exit(int(sys.argv[1]))"
    command = (tmp_path / "python", "-c", code, "7")
    assert subprocess.run(command, env=env, check=False, timeout=scaled(20)).returncode == 7
