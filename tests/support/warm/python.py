"""Processes of Python that have the libraries already: see fork_server.py.

What a process does, and how it is stopped and killed, is the same; what is proved of its very start
(its title, its command line, how long it takes) takes one that has been started as users do.
TESTS_COLD=1 has all started so, and `make test-long` does.
"""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandbox.process import Child, started
from tests.support.effort import IS_LONG

SERVER = Path(__file__).with_name("fork_server.py")
IS_COLD = IS_LONG or bool(os.environ.get("TESTS_COLD")) or not hasattr(os, "pidfd_open")
VARIABLE = "TESTS_WARM"
"""Where requests are sent to: the processes of xdist inherit it, and share one server."""

_STARTING = threading.Lock()
_STARTED: list[tuple[socket.socket, "subprocess.Popen[bytes]"]] = []

GAIN = 1 if IS_COLD else 3
"""How many times longer the start of a worker takes that is not warm."""


class WarmProcess:
    """One of them, with what is used of `subprocess.Popen`."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        streams: tuple[int, int, int],
    ) -> None:
        """`arguments` are those of `python`: `-m MODULE …` or `-c CODE …`."""
        self._answers, theirs = socket.socketpair()
        request = json.dumps({"argv": list(arguments), "env": dict(env), "cwd": str(cwd)})
        with theirs:
            _ask(request.encode(), [*streams, theirs.fileno()])
        self._lines = self._answers.makefile("rb")
        self._ends = select.poll()
        self._ends.register(self._answers, select.POLLIN)
        self.pid = int(self._lines.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status (negative: the signal), None while it runs."""
        return self._ended_within(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. subprocess.TimeoutExpired if there is none after `timeout` seconds."""
        status = self._ended_within(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return status

    def send_signal(self, sig: int) -> None:
        """Send one signal; nothing happens if it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def _ended_within(self, timeout_s: float | None) -> int | None:
        wait_ms = None if timeout_s is None else timeout_s * 1000
        if self.returncode is None and self._ends.poll(wait_ms):
            self.returncode = os.waitstatus_to_exitcode(int(self._lines.readline()))
            self._lines.close()
            self._answers.close()
        return self.returncode


def _ask(request: bytes, fds: Sequence[int]) -> None:
    with _STARTING:
        start_fork_server()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as requests:
        requests.connect(os.environ[VARIABLE])
        socket.send_fds(requests, [request], fds)


def start_fork_server() -> None:
    """Start the one of this run, unless a process that started this one has done so; it ends with
    the process that started it."""
    if IS_COLD or VARIABLE in os.environ:
        return
    path = Path(tempfile.mkdtemp(prefix="warm-")) / "requests"
    life, theirs = socket.socketpair()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as requests, theirs:
        requests.bind(str(path))
        fds = requests.fileno(), theirs.fileno()
        _STARTED.append((life, subprocess.Popen(
            (sys.executable, SERVER, *map(str, fds)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=fds,
            start_new_session=True,
        )))  # fmt: skip
    os.environ[VARIABLE] = str(path)


def warm(
    command: Sequence[str], output: int, cwd: Path | None, env: Mapping[str, str] | None
) -> Child:
    """A Starter for what begins with this Python."""
    if IS_COLD:
        return started(command, output, cwd, env)
    with Path(os.devnull).open() as nothing:
        return WarmProcess(
            command[1:],
            env=os.environ if env is None else env,
            cwd=cwd or Path.cwd(),
            streams=(nothing.fileno(), output, output),
        )


def run_python(
    *arguments: str, env: Mapping[str, str], cwd: Path, timeout_s: float, said: str = ""
) -> "subprocess.CompletedProcess[str]":
    """What `subprocess.run` gives for this Python, its output captured, `said` on its input."""
    command = (sys.executable, *arguments)
    if IS_COLD:
        return subprocess.run(
            command, env=env, cwd=cwd, timeout=timeout_s, input=said, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
    with (
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        given.write(said)
        given.seek(0)
        streams = given.fileno(), out.fileno(), err.fileno()
        process = WarmProcess(arguments, env=env, cwd=cwd, streams=streams)
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.send_signal(9)
            raise
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(command, status, out.read(), err.read())
