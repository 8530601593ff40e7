"""Several replies at once, readable on 80 columns: whole lines, each with its speaker.

On a terminal the lines that are still growing stand below the others; in a pipe a line is printed
when it is full.
"""

import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.text import Text

from worker.cli.console import printable

WIDTH = 78
COLOURS = ("cyan", "green", "magenta", "yellow", "blue")
REFRESH_PER_S = 20


class Transcript(Live):
    """What is said in several sessions. Its methods are for one thread, its drawing for rich's."""

    def __init__(self, speakers: Sequence[str], console: Console) -> None:
        self._colours = {
            name: COLOURS[at % len(COLOURS)] for at, name in enumerate(dict.fromkeys(speakers))
        }
        self._name_width = max(map(len, self._colours))
        self._text_width = WIDTH - self._name_width - 3
        self._growing = dict.fromkeys(self._colours, "")
        super().__init__(
            console=console,
            get_renderable=self._current,
            refresh_per_second=REFRESH_PER_S,
            transient=True,
        )

    def asked(self, speaker: str, message: str) -> None:
        """Note the message that is answered next."""
        for line in textwrap.wrap(printable(message), self._text_width):
            self._print(speaker, "?", line)

    def token(self, speaker: str, text: str) -> None:
        """Add a piece of a reply."""
        grown = self._growing[speaker] + printable(text).replace("\t", " ")
        *whole, self._growing[speaker] = _lines(grown, self._text_width)
        for line in whole:
            self._print(speaker, "│", line)

    def ended(self, speaker: str, facts: str) -> None:
        """End a reply, with what there is to know of it."""
        rest, self._growing[speaker] = self._growing[speaker], ""
        if rest.strip():
            self._print(speaker, "│", rest)
        for number, line in enumerate(textwrap.wrap(printable(facts), self._text_width)):
            self._print(speaker, " " if number else "└", line, style="dim")

    def _print(self, speaker: str, mark: str, line: str, style: str = "") -> None:
        self.console.print(self._drawn(speaker, mark, line.rstrip(), style))

    def _drawn(self, speaker: str, mark: str, line: str, style: str = "") -> Text:
        head = (f"{speaker:<{self._name_width}} {mark} ", self._colours[speaker])
        return Text.assemble(head, (line, style), no_wrap=True, overflow="crop")

    def _current(self) -> Text:
        # Asked by rich's own thread. A dict whose keys stay may be read meanwhile.
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
