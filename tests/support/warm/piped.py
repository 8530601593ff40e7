"""A warm Python that one talks with: its streams are pipes, as with `subprocess.Popen`."""

import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Self

from tests.support.warm.python import IS_COLD, WarmProcess


class PipedPython:
    """One of them, with what is used of `subprocess.Popen`; the end of its context waits for its
    end."""

    def __init__(self, *arguments: str, env: Mapping[str, str], cwd: Path) -> None:
        """`arguments` are those of `python`: `-m MODULE …` or `-c CODE …`."""
        (its_input, ours), (out, its_out), (err, its_err) = os.pipe(), os.pipe(), os.pipe()
        theirs = its_input, its_out, its_err
        self.stdin: IO[str] | None = os.fdopen(ours, "w", buffering=1)
        self.stdout: IO[str] | None = os.fdopen(out)
        self.stderr: IO[str] | None = os.fdopen(err)
        try:
            self._process = WarmProcess(arguments, env=env, cwd=cwd, streams=theirs)
        finally:
            for fd in theirs:
                os.close(fd)
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status (negative: the signal), None while it runs."""
        return self._process.poll()

    def poll(self) -> int | None:
        """The same."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. subprocess.TimeoutExpired if there is none after `timeout` seconds."""
        return self._process.wait(timeout)

    def kill(self) -> None:
        """SIGKILL; nothing happens if it has ended."""
        self._process.send_signal(9)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it says until its end, on standard output and error. subprocess.TimeoutExpired
        if it has not ended after `timeout` seconds; it is killed then."""
        assert self.stdin is not None
        assert self.stdout is not None
        assert self.stderr is not None
        self.stdin.close()
        with ThreadPoolExecutor(2) as pool:
            said = [pool.submit(stream.read) for stream in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            return said[0].result(), said[1].result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()


Piped = subprocess.Popen[str] | PipedPython
"""A process of Python that one talks with."""


def piped_python(*arguments: str, env: Mapping[str, str], cwd: Path) -> Piped:
    """Start one: `-m MODULE …` or `-c CODE …`."""
    if not IS_COLD:
        return PipedPython(*arguments, env=env, cwd=cwd)
    pipe = subprocess.PIPE
    return subprocess.Popen(
        (sys.executable, *arguments),
        env=env, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1,
    )  # fmt: skip
