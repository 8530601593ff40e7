"""The Lua operation on pauses takes and gives what its header says; what cannot be paused."""

import re
from pathlib import Path

import pytest

from memory.errors import CorruptData, InvalidInput
from memory.keys import Keyspace
from memory.pauses import pauses
from memory.pauses.pauses import MAX_NAME_BYTES, MAX_REASON, Pause, PauseKind, PauseTarget, pause

KEYSPACE = Keyspace()
AGENT = PauseTarget(PauseKind.AGENT, "energy")
PAUSE = pause(KEYSPACE, AGENT, "why", for_ms=7)
MAX_CODE_LINES = 40


def test_the_operation_is_that_of_its_header() -> None:
    """Its key, its arguments in their order, its size."""
    assert {file.stem for file in (Path(pauses.__file__).parent / "lua").glob("*.lua")} == {"pause"}
    assert PAUSE.script is not None
    source = PAUSE.script.source
    assert re.findall(r"^-- ARGV +(.+)$", source, re.M) == ["target for_ms reason most"]
    assert list(PAUSE.keys) == [KEYSPACE.pauses]
    assert list(PAUSE.args) == ["agent energy", 7, b"why", 1000]
    lines = [line for line in source.splitlines() if line and not line.startswith(("--", "#!"))]
    assert len(lines) <= MAX_CODE_LINES
    assert source.startswith("#!lua flags=allow-oom")


@pytest.mark.parametrize("reply", [None, [], b"OK", 7, [b"NEVER"], [b"OK"], [b"OK", 1, b"x"]])
def test_a_reply_that_makes_no_sense_is_corrupt(reply: object) -> None:
    """Another program answers, or another version of the script."""
    with pytest.raises(CorruptData):
        PAUSE.parse(reply)


def test_the_answers() -> None:
    """With an end, without one, and none for there are too many."""
    assert PAUSE.parse([b"OK", 1, 8]) == Pause(AGENT, 1, 8, "why")
    assert PAUSE.parse([b"OK", 1, 0]) == Pause(AGENT, 1, None, "why")
    assert PAUSE.parse([b"FULL"]) is None


def test_what_cannot_be_paused_is_refused() -> None:
    """A name that is missing, too long, no text, not written as it is read, or given with all; a
    reason that is too long, or no text."""
    agents = ("", " ", "x ", "\ud800", "x" * 401)
    for kind, name in ((PauseKind.ALL, "x"), *((PauseKind.AGENT, one) for one in agents)):
        with pytest.raises(InvalidInput):
            PauseTarget(kind, name)
    assert PauseTarget(PauseKind.MODEL, "x" * MAX_NAME_BYTES)
    with pytest.raises(InvalidInput, match="reason"):
        pause(KEYSPACE, AGENT, "x" * (MAX_REASON + 1))
    with pytest.raises(InvalidInput, match="Unicode"):
        pause(KEYSPACE, AGENT, "\udcff")
    with pytest.raises(InvalidInput, match="366 days"):
        pause(KEYSPACE, AGENT, "", for_ms=367 * 86_400_000)


@pytest.mark.parametrize("text", ["all", "agent a b", "model llama3.2:1b", "server http://x:1"])
def test_a_target_is_read_as_it_was_written(text: str) -> None:
    """Spaces in a name included."""
    assert str(PauseTarget.of(text)) == text


@pytest.mark.parametrize("text", ["", "all x", "agent", "session s", "AGENT a"])
def test_any_other_text_is_no_target(text: str) -> None:
    """As another program may write it."""
    with pytest.raises(InvalidInput):
        PauseTarget.of(text)
