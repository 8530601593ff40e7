"""One record is one line of the log, whatever is in it."""

import logging

import pytest

from worker.logs import LINE, MOST_CHARACTERS, OneLine, escaped

FORGED = "a\n2001-01-01 00:00:00,000 CRITICAL forged\r\x1b[2K\u2028\u202e\x00\ud800"


def line_of(message: str, *args: object, error: BaseException | None = None) -> str:
    """How the log writes it."""
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("tasks", logging.INFO, "f.py", 1, message, args, info)
    return OneLine(LINE).format(record)


def test_a_record_is_one_line() -> None:
    """Its line's ends are escaped, and what steers a terminal, turns text round or is no text."""
    line = line_of("job %s", FORGED)
    assert line.isprintable()
    assert "job a\\n2001-01-01" in line
    assert line.encode("utf-8")


def test_the_lines_of_a_traceback_are_indented() -> None:
    """So that what an error says cannot pass for a record."""
    try:
        raise ValueError(FORGED)
    except ValueError as exc:
        first, *more = line_of("failed", error=exc).split("\n")
    assert first.endswith("failed")
    assert len(more) > 2
    assert all(line.startswith("    ") and line.isprintable() for line in more)


def test_a_stack_is_indented() -> None:
    """As a traceback is."""
    record = logging.LogRecord("tasks", logging.INFO, "f.py", 1, "here", (), None)
    record.stack_info = "Stack:\n  x"
    assert OneLine(LINE).format(record).endswith("here\n    Stack:\n      x")


def test_a_line_is_bounded() -> None:
    """A megabyte is not written; how much was left out is."""
    line = line_of("%s", "x" * 1_000_000)
    assert len(line) < MOST_CHARACTERS + 200
    assert line.endswith(f"… and {1_000_000 - MOST_CHARACTERS} characters more")


@pytest.mark.parametrize("text", ["plain", "ä 中 😀", ""])
def test_what_can_be_printed_stays_as_it_is(text: str) -> None:
    """Most lines are no work."""
    assert escaped(text) == text
