"""A command on a terminal of its own, typed at and seen as a person sees it."""

import os
import pty
import signal
import sys
import termios
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from tests.support.machine import scaled
from tests.support.on_terminal.screen import TerminalScreen
from tests.support.waiting import wait_until
from tests.support.warm.python import warm

COLUMNS, ROWS = 80, 40
ENTER, CTRL_C, CTRL_D = "\r", "\x03", "\x04"
WAIT_S = 30


class Terminal:
    """`griot` with arguments, on a terminal of 80 columns."""

    def __init__(self, *arguments: str, env: Mapping[str, str], directory: Path) -> None:
        self._ours, self._theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        termios.tcsetwinsize(self._theirs, (ROWS, COLUMNS))
        self._before = termios.tcgetattr(self._theirs)
        self._screen = TerminalScreen(columns=COLUMNS, rows=ROWS)
        self._process = warm(
            # Its own session with this terminal, so that ^C is a signal to it.
            (sys.executable, "-c", _ON_TERMINAL, os.ttyname(self._theirs), *arguments),
            self._theirs,
            directory,
            {**env, "TERM": "xterm-256color"},
        )

    def type(self, keys: str) -> None:
        """Press some keys."""
        os.write(self._ours, keys.encode())

    def paste(self, text: str) -> None:
        """Paste a text, as a terminal that brackets what is pasted."""
        self.type(f"\x1b[200~{text}\x1b[201~")

    def send_signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    def expect(self, text: str) -> None:
        """Wait until a text has been seen, on the screen or above it."""
        self._until(lambda: text in self.seen(), repr(text))

    def expect_gone(self, text: str) -> None:
        """Wait until a text is seen nowhere: what is drawn anew is drawn in pieces."""
        self._until(lambda: text not in self.seen(), f"no {text!r}")

    def expect_last(self, line: str) -> None:
        """Wait until what is seen ends with a text."""
        self._until(lambda: self.seen().rstrip().endswith(line), f"{line!r} at the end")

    def seen(self) -> str:
        """All that is seen now, with what has scrolled off."""
        with suppress(OSError):  # nothing to read just now
            while read := os.read(self._ours, 65_536):
                self._screen.feed(read)
        return self._screen.text()

    def exit_code(self) -> int:
        """Wait for its end."""
        wait_until(self._has_ended, timeout_s=WAIT_S, what="its end")
        return self._process.wait(scaled(1))

    def is_restored(self) -> bool:
        """Whether the terminal is set as it was before."""
        return termios.tcgetattr(self._theirs) == self._before

    def _until(self, is_seen: Callable[[], bool], what: str) -> None:
        try:
            wait_until(is_seen, timeout_s=WAIT_S, what=what)
        except AssertionError:
            raise AssertionError(f"{what} is not seen, but:\n{self.seen()}") from None

    def _has_ended(self) -> bool:
        self.seen()  # who writes to a terminal that nobody reads from waits in the end
        return self._process.poll() is not None

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        os.close(self._ours)
        os.close(self._theirs)


_ON_TERMINAL = """
import os, sys
tty = os.open(sys.argv.pop(1), os.O_RDWR)  # the first a session opens is its own
for fd in (0, 1, 2):
    os.dup2(tty, fd)
from worker.cli import main
main(prog_name="griot")
"""
