"""Several replies at once, readable on 80 columns: whole lines, each with its speaker.

On a terminal the lines that are still growing stand below the others; in a pipe a line is printed
when it is full.
"""

import textwrap
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from worker.cli.console import printable

WIDTH = 78
COLOURS = ("cyan", "green", "magenta", "yellow", "blue")
REFRESH_PER_S = 20


class Transcript:
    """What is said in several sessions. Its methods may be called from any thread."""

    def __init__(self, speakers: Sequence[str], console: Console | None = None) -> None:
        """`console` is the terminal's, None in a pipe."""
        self._colours = {
            name: COLOURS[at % len(COLOURS)] for at, name in enumerate(dict.fromkeys(speakers))
        }
        self._name_width = max(map(len, self._colours))
        self._growing = dict.fromkeys(self._colours, "")
        self._lock = threading.Lock()
        self._live = None if console is None else self._growing_lines(console)

    def asked(self, speaker: str, message: str) -> None:
        """Note the message that is answered next."""
        with self._lock:
            for line in textwrap.wrap(printable(message), self._room):
                self._print(speaker, "?", line)

    def token(self, speaker: str, text: str) -> None:
        """Add a piece of a reply."""
        with self._lock:
            grown = self._growing[speaker] + printable(text).replace("\t", " ")
            *whole, rest = _lines(grown, self._room)
            for line in whole:
                self._print(speaker, "│", line)
            self._growing[speaker] = rest

    def ended(self, speaker: str, facts: str) -> None:
        """End a reply, with what there is to know of it."""
        with self._lock:
            rest, self._growing[speaker] = self._growing[speaker], ""
            if rest.strip():
                self._print(speaker, "│", rest)
            for number, line in enumerate(textwrap.wrap(printable(facts), self._room)):
                self._print(speaker, " " if number else "└", line, style="dim")

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def _room(self) -> int:
        return WIDTH - self._name_width - 3

    def _print(self, speaker: str, mark: str, line: str, style: str = "") -> None:
        if self._live is None:
            click.echo(f"{speaker:<{self._name_width}} {mark} {line.rstrip()}")
        else:
            self._live.console.print(self._drawn(speaker, mark, line, style))

    def _drawn(self, speaker: str, mark: str, line: str, style: str = "") -> Text:
        head = (f"{speaker:<{self._name_width}} {mark} ", self._colours[speaker])
        return Text.assemble(head, (line, style), no_wrap=True, overflow="crop")

    def _growing_lines(self, console: Console) -> Live:
        return Live(
            console=console,
            get_renderable=self._current,
            refresh_per_second=REFRESH_PER_S,
            transient=True,
        )

    def _current(self) -> Text:
        # Without the lock: rich asks with its own held, which a printing thread waits for. A
        # dict whose keys stay may be read meanwhile.
        growing = [
            self._drawn(speaker, "│", f"{line}▌") for speaker, line in self._growing.items() if line
        ]
        return Text("\n").join(growing)


def _lines(text: str, width: int) -> list[str]:
    """`text` cut into lines that fit; the last one may still grow."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        rest = paragraph
        while len(rest) > width:
            cut = rest.rfind(" ", 0, width + 1)
            cut = cut if cut > 0 else width
            lines.append(rest[:cut])
            rest = rest[cut:].lstrip(" ")
        lines.append(rest)
    return lines
