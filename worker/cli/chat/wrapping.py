"""Text that comes in pieces, as lines that fit a terminal. Pure."""

from prompt_toolkit.utils import get_cwidth

TAB = "    "
LEAST_WIDTH = 10


class Wrapping:
    """Cuts a growing text between words. A character may take two cells of the screen."""

    def __init__(self) -> None:
        self.growing = ""
        """The line that may still grow."""

    def add(self, text: str, width: int) -> list[str]:
        """Add a piece; the lines that are whole now, each at most `width` cells wide."""
        *whole, self.growing = lines_of(self.growing + text.replace("\t", TAB), width)
        return whole

    def end(self) -> str:
        """The last line; what comes next is another text."""
        rest, self.growing = self.growing, ""
        return rest


def lines_of(text: str, width: int) -> list[str]:
    """`text` cut into lines that fit; the last one may still grow."""
    width = max(width, LEAST_WIDTH)
    lines: list[str] = []
    for paragraph in text.split("\n"):
        rest = paragraph
        while (fits := _fitting(rest, width)) < len(rest):
            # A space at the cut is the line's end and is not shown.
            at_space = rest.rfind(" ", 1, fits + 1)
            cut = at_space if at_space > 0 else fits
            lines.append(rest[:cut])
            rest = rest[cut:].removeprefix(" ")
        lines.append(rest)
    return lines


def _fitting(text: str, width: int) -> int:
    """How many characters fit."""
    # No character takes more than two cells, so a short text needs no count.
    if len(text) * 2 <= width or get_cwidth(text) <= width:
        return len(text)
    cells = 0
    for at, character in enumerate(text):
        cells += get_cwidth(character)
        if cells > width:
            return at
    return len(text)
