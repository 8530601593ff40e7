"""What a terminal shows of the bytes that a program writes: as much of it as our programs use."""

import codecs
import re

_SEQUENCE = re.compile(r"\x1b(?:\[(\?)?([0-9;]*)([A-Za-z])|[()][A-Z0-9]|[=>])")
ALTERNATE = "1049"
_UNFINISHED = re.compile(r"\x1b(?:\[\??[0-9;]*)?\Z")


class TerminalScreen:
    """A screen of `columns` by `rows`; what scrolls off at the top is kept."""

    def __init__(self, *, columns: int, rows: int) -> None:
        self._columns = columns
        self._rows = rows
        self._lines = [""]
        self._row = self._column = 0
        self._below: list[str] | None = None
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def text(self) -> str:
        """All lines, without the spaces at their ends."""
        return "\n".join(line.rstrip() for line in self._lines)

    def feed(self, data: bytes) -> None:
        """Take what was written."""
        text = self._rest + self._decoder.decode(data)
        unfinished = _UNFINISHED.search(text)
        self._rest = unfinished[0] if unfinished else ""
        text = text.removesuffix(self._rest)
        at = 0
        for found in _SEQUENCE.finditer(text):
            self._put(text[at : found.start()])
            if found[3] and not found[1]:
                self._obey(found[3], int(found[2].partition(";")[0] or 0))
            elif found[2] == ALTERNATE:
                self._change_screens(is_other=found[3] == "h")
            at = found.end()
        self._put(text[at:])

    def _put(self, text: str) -> None:
        for character in text:
            if character == "\r":
                self._column = 0
            elif character == "\n":
                self._move_to(self._row + 1)
            elif character == "\b":
                self._column = max(0, self._column - 1)
            elif character >= " ":
                self._write(character)

    def _write(self, character: str) -> None:
        if self._column >= self._columns:
            self._move_to(self._row + 1)
            self._column = 0
        line = self._lines[self._row].ljust(self._column)
        self._lines[self._row] = line[: self._column] + character + line[self._column + 1 :]
        self._column += 1

    def _move_to(self, row: int) -> None:
        # Rows count from the oldest line; only those of the screen can be reached.
        self._row = max(row, len(self._lines) - self._rows, 0)
        while len(self._lines) <= self._row:
            self._lines.append("")

    def _obey(self, command: str, number: int) -> None:
        steps = max(1, number)
        if command in "AB":
            self._move_to(self._row + (steps if command == "B" else -steps))
        elif command in "CD":
            self._column = max(0, self._column + (steps if command == "C" else -steps))
        elif command == "H":
            self._move_to(max(0, len(self._lines) - self._rows) + steps - 1)
            self._column = 0
        elif command == "K":
            self._lines[self._row] = self._lines[self._row][: self._column]
        elif command == "J":
            self._lines[self._row] = self._lines[self._row][: self._column]
            del self._lines[self._row + 1 :]

    def _change_screens(self, *, is_other: bool) -> None:
        """To an empty one, or back to the one below, as it was."""
        if is_other and self._below is None:
            self._below, self._lines = self._lines, [""]
        elif not is_other and self._below is not None:
            self._lines, self._below = self._below, None
        self._move_to(len(self._lines) - 1)
        self._column = 0
