"""A child process that is started, watched, frozen and killed, and never outlives its parent."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

from sandbox.context import Starting
from sandbox.errors import SandboxError, ServerDied, ServerNotReady

POLL_S, MOST_POLL_S = 0.002, 0.02
WAITED_PART = 0.05
"""Who has waited for long looks less often."""
TAIL_LINES = 20

# A shell that waits for the end of a pipe only the parent holds, then kills the child's process
# group. Unlike atexit it works when the parent is killed; unlike PDEATHSIG it needs no code
# between fork and exec, does not fire when a mere thread of the parent ends, and reaches
# grandchildren.
_WATCHDOG = 'read -r _; kill -s KILL -- "-$0"'


class Child(Protocol):
    """What is used of `subprocess.Popen`."""

    pid: int

    def poll(self) -> int | None:
        """The exit status, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. subprocess.TimeoutExpired if there is none in time."""

    def send_signal(self, _: int, /) -> None:
        """Send one signal; nothing happens if it has ended."""


Starter = Callable[[Sequence[str], int, Path | None, Mapping[str, str] | None], Child]
"""Starts a command in a process group of its own: the command, the file descriptor of its output,
its folder and its environment."""


def started(
    command: Sequence[str], output: int, cwd: Path | None, env: Mapping[str, str] | None
) -> Child:
    """The usual Starter. OSError if the command cannot be executed."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=env,
        start_new_session=True,
    )


class ServerProcess(Starting):
    """One child process in its own process group, its output appended to a log file.

    It can be started again after it ended. All methods may be called in any state: stopping or
    killing what does not run does nothing. Leaving the context kills what is left.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log_path: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        name: str | None = None,
        starter: Starter = started,
    ) -> None:
        """`env` is the child's whole environment (default: the parent's)."""
        self.command = tuple(str(part) for part in command)
        self.log_path = log_path
        self.name = name or Path(self.command[0]).name
        self._cwd = cwd
        self._env = dict(env) if env is not None else None
        self._start = starter
        self._child: Child | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The child's process id, also after its end. SandboxError before the first start."""
        return self._started().pid

    @property
    def returncode(self) -> int | None:
        """The exit status (negative: the signal), None while it runs or before the start."""
        return self._child.poll() if self._child else None

    @property
    def is_running(self) -> bool:
        """Whether the child has been started and has not ended. A frozen child runs."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> Self:
        """Start the child. SandboxError if it runs already, OSError if it cannot be executed."""
        if self.is_running:
            raise SandboxError(f"{self.name} runs already")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._child = self._start(self.command, log.fileno(), self._cwd, self._env)
        try:
            self._watchdog = _watch(self._child.pid)
        except BaseException:
            self.kill()
            raise
        return self

    def wait_ready(self, predicate: Callable[[], object], timeout_s: float = 10.0) -> None:
        """Return once `predicate()` is true, asking every few milliseconds, at most 20.

        ServerDied if the child ends first, ServerNotReady after `timeout_s`; the message of both
        has the last lines of its output. Whatever is raised, the child is gone afterwards.
        """
        began = time.monotonic()
        try:
            while not predicate():
                if not self.is_running:
                    raise ServerDied(self._report(f"ended with status {self.returncode}"))
                waited_s = time.monotonic() - began
                if waited_s >= timeout_s:
                    raise ServerNotReady(self._report(f"not ready within {timeout_s:g} s"))
                time.sleep(min(max(POLL_S, waited_s * WAITED_PART), MOST_POLL_S))
        except BaseException:
            self.kill()
            raise

    def wait(self, timeout_s: float) -> int | None:
        """The exit status once the child has ended, None if it still runs after `timeout_s`."""
        try:
            return self._started().wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, grace_s: float = 5.0) -> int | None:
        """SIGTERM, and SIGKILL to the whole group after `grace_s`. The exit status."""
        if self.is_running:
            self.thaw()
            self.signal(signal.SIGTERM)
            self.wait(grace_s)
        return self.kill()

    def kill(self) -> int | None:
        """SIGKILL to the child and every process of its group. The exit status."""
        if self._child is None:
            return None
        _signal_group(self._child.pid, signal.SIGKILL)
        status = self._child.wait()
        self._release_watchdog()
        return status

    def close(self) -> None:
        """Stop it, with the usual grace."""
        self.stop()

    def freeze(self) -> None:
        """SIGSTOP to the whole group: it keeps its connections and answers nothing."""
        _signal_group(self._started().pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: go on after `freeze`. Harmless otherwise."""
        _signal_group(self._started().pid, signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send one signal to the child alone; nothing happens if it has ended."""
        self._started().send_signal(number)

    def log_text(self) -> str:
        """All output so far, of every start that used this log file."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of the output."""
        return "\n".join(self.log_text().splitlines()[-lines:])

    def _started(self) -> Child:
        if self._child is None:
            raise SandboxError(f"{self.name} was never started")
        return self._child

    def _report(self, what: str) -> str:
        return f"{self.name} {what}; the end of {self.log_path}:\n{self.log_tail()}"

    def _release_watchdog(self) -> None:
        if self._watchdog is None:
            return
        self._watchdog.kill()
        self._watchdog.communicate()
        self._watchdog = None


def _watch(group: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        ("/bin/sh", "-c", _WATCHDOG, str(group)),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
    except PermissionError:
        # macOS says so of a group in which only zombies are left.
        return
