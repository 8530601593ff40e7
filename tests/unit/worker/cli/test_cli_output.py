"""What commands print: tables, JSON, replies side by side."""

import io
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from rich.console import Console

from worker.cli.console import (
    Table,
    ago,
    duration,
    moment,
    moment_of,
    note,
    printable,
    say,
    show,
    show_json,
    terminal,
    write,
)
from worker.cli.demo.transcript import WIDTH, Transcript
from worker.cli.group import CommandFailed

TABLE = Table("Title", ("Name", "Value"), [("a", 1), ("b\tc\nd", None)])


def test_a_piped_table_is_tab_separated(capsys: pytest.CaptureFixture[str]) -> None:
    """One line per row under lower-case headings; a cell never breaks its row."""
    show(TABLE)
    assert capsys.readouterr().out == "name\tvalue\na\t1\nb c d\t\n"


def test_a_piped_table_that_is_read_by_people_is_aligned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Columns stand below each other, under the title."""
    show(Table("Title", ("Name", "Value"), [("abcdefg", 1)]), is_to_read=True)
    assert capsys.readouterr().out == "Title\nname     value\nabcdefg  1\n"


def test_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed with --json can be read by any JSON reader."""
    show_json({"at": datetime(2026, 1, 2, tzinfo=UTC), "n": [1, None]})
    assert json.loads(capsys.readouterr().out) == {
        "at": "2026-01-02T00:00:00+00:00",
        "n": [1, None],
    }


@pytest.mark.parametrize("print_it", [say, write, note])
def test_no_text_steers_the_terminal(print_it: object, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters in what others wrote are left out."""
    assert callable(print_it)
    print_it("a\x1b[31mb\x07\x9bc\u202e")
    out, err = capsys.readouterr()
    assert (out + err).rstrip("\n") == "a[31mbc"


def test_line_ends_and_tabs_are_kept() -> None:
    """Text keeps its shape."""
    assert printable("a\n\tb\r") == "a\n\tb"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (86_400, "24 h"), (172_800, "2 d")],
)
def test_a_duration_is_told_in_its_largest_unit(seconds: float, told: str) -> None:
    """Two of a unit are enough to use it."""
    assert duration(seconds) == told


def test_ago_never_lies_in_the_future() -> None:
    """A clock that is a little behind gives no negative time."""
    assert ago(2000, now_ms=1000) == "0 s ago"


def test_a_moment_is_told_in_utc() -> None:
    """Whatever its zone, to the second."""
    at = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=timezone(timedelta(hours=1)))
    assert moment(at) == "2026-01-02T02:04:05Z"


def test_replies_side_by_side_are_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe each line has one speaker, fits its width, and no word is lost or split."""
    words = [f"word{number}" for number in range(60)]
    with Transcript(["energy", "agriculture"], terminal()) as transcript:
        transcript.asked("energy", "a question?")
        for word in words:
            transcript.token("energy", f"{word} ")
            transcript.token("agriculture", f"{word} ")
        transcript.ended("energy", "60 tokens")
        transcript.ended("agriculture", "60 tokens")
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= WIDTH for line in lines)
    assert lines[0] == "energy      ? a question?"
    assert "\x1b" not in "".join(lines)
    for speaker in ("energy", "agriculture"):
        said = [line[14:] for line in lines if line.startswith(f"{speaker:<11} │ ")]
        assert " ".join(said).split() == words


def test_a_line_end_in_a_reply_ends_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Paragraphs stay apart; a word that is too long is cut."""
    with Transcript(["a"], terminal()) as transcript:
        transcript.token("a", "one\ntwo" + "x" * 100)
        transcript.ended("a", "end")
    lines = [line[4:] for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "one"
    assert "".join(lines[1:3]) == "two" + "x" * 100


def test_sessions_may_talk_while_the_terminal_is_redrawn() -> None:
    """Each keeps its line that grows, whatever rich's own thread draws meanwhile."""
    screen = io.StringIO()
    names = ["a", "b", "c"]
    with Transcript(names, Console(file=screen, force_terminal=True, width=80)) as transcript:
        for number in range(300):
            for name in names:
                transcript.token(name, f"{name}{number} ")
        for name in names:
            transcript.ended(name, "end")
    assert all(f"{name}299" in screen.getvalue() for name in names)


@pytest.mark.parametrize(
    ("stored_ms", "shown"),
    [
        (1_000, "1970-01-01T00:00:01Z"),
        (float("inf"), "9999-12-31T23:59:59Z"),
        (1e300, "9999-12-31T23:59:59Z"),
        (-5.0, "1970-01-01T00:00:00Z"),
        (float("-inf"), "1970-01-01T00:00:00Z"),
    ],
)
def test_a_moment_that_no_year_has_is_shown_as_the_nearest(stored_ms: float, shown: str) -> None:
    """Another program may have written any number into an index."""
    assert moment_of(stored_ms) == shown


def test_a_failure_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Its message may hold what others have written."""
    CommandFailed("no \x1b[2K\u202eclear").show()
    assert capsys.readouterr().err == "griot: no [2Kclear\n"
