"""The Lua operations on outages take and give what their headers say."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from memory.errors import CorruptData
from memory.key_groups import OutageKeys
from memory.keys import Keyspace
from memory.outages import outages
from memory.outages.outages import (
    Look,
    LookOutcome,
    NotedLook,
    NotedOutcome,
    Outage,
    Parked,
    ServerOutage,
)
from memory.records.index import Entry
from memory.redis.command import Command

KEYSPACE = Keyspace()
SESSION = KEYSPACE.session("energy", "s:1")
OUTAGE = Outage(KEYSPACE, "http://ollama:11434")
LUA = Path(outages.__file__).parent / "lua"
MAX_CODE_LINES = 40
COMMANDS: dict[str, Command[object]] = {
    "park": OUTAGE.park(SESSION, is_first=True, pause_ms=500, place_us=3),
    "look": OUTAGE.look(is_ours=False),
    "note_look": OUTAGE.note_look(answers=True),
}
VALUES = {
    "session": "energy:s%3A1", "priority": "normal", "is_first": 1,
    "ttl_ms": 172_800_000, "lease_ms": 10_000, "unwatched_ms": 30_000,
    "place_us": 3, "answers": 1, "pause_ms": 1000, "batch": 16, "most": 512, "quiet_ms": 5000,
}  # fmt: skip


def source(name: str) -> str:
    """The text of an operation."""
    script = COMMANDS[name].script
    assert script is not None
    return script.source


def words(name: str, heading: str) -> list[str]:
    """What a line of the header names."""
    (line,) = re.findall(rf"^-- {heading} +(.+)$", source(name), re.M)
    return [word.partition(":")[0] for word in str(line).split()]


def test_every_operation_is_tested() -> None:
    """The files are all of them."""
    assert sorted(COMMANDS) == sorted(file.stem for file in LUA.glob("*.lua"))
    assert {script.name for script in outages.SCRIPTS} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_keys_and_arguments_are_those_of_the_header_in_its_order(name: str) -> None:
    """And no other."""
    known = {field.name: getattr(OUTAGE.keys, field.name) for field in fields(OutageKeys)}
    assert list(COMMANDS[name].keys) == [known[key] for key in words(name, "KEYS")]
    assert list(COMMANDS[name].args) == [VALUES[argument] for argument in words(name, "ARGV")]


@pytest.mark.parametrize("name", COMMANDS)
def test_an_operation_is_small_and_finishes_without_memory(name: str) -> None:
    """At most 40 lines of code; types are looked at first; work in hand is finished."""
    lines = source(name).splitlines()
    code = [line for line in lines if line and not line.startswith(("--", "#!"))]
    own = (LUA / f"{name}.lua").read_text().splitlines()
    assert len([line for line in own if line and line in code]) <= MAX_CODE_LINES
    assert all(len(line) <= 100 for line in own)
    assert lines[0] == "#!lua flags=allow-oom"
    assert re.findall(r"redis\.call\('(\w+)'", "\n".join(code))[0] == "TYPE"
    assert "{'CORRUPT'" in source(name)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    "reply", [None, [], b"OK", 7, [b"NEVER"], [7], ["OK"], [b"OK"], [b"BACK", 1, b"x"], [b"OVER"]]
)
def test_a_reply_that_makes_no_sense_is_corrupt(name: str, reply: object) -> None:
    """Another program answers, or another version of the script."""
    with pytest.raises(CorruptData):
        COMMANDS[name].parse(reply)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_corrupt_key_is_an_error_that_names_it(name: str) -> None:
    """Whatever the operation."""
    with pytest.raises(CorruptData, match=r"some:key.*string"):
        COMMANDS[name].parse([b"CORRUPT", b"some:key", b"string"])


def test_replies_are_read_as_values() -> None:
    """Who waits, who looks, who is woken, and what an outage comes to."""
    assert COMMANDS["park"].parse([b"OK", 7, 1]) == Parked(7, True)
    assert COMMANDS["look"].parse([b"NONE"]) == Look(LookOutcome.NONE)
    assert COMMANDS["look"].parse([b"LOOK", 1]) == Look(LookOutcome.LOOK, True)
    assert COMMANDS["note_look"].parse([b"AWAY", 7]) == NotedLook(NotedOutcome.AWAY, 7)
    woken = COMMANDS["note_look"].parse([b"BACK", 7, b"energy:s%3A1", b"3"])
    assert woken == NotedLook(NotedOutcome.BACK, 7, (Entry("energy:s%3A1", 3.0),))
    over = NotedLook(NotedOutcome.OVER, 7, lasted_ms=5, jobs=2)
    assert COMMANDS["note_look"].parse([b"OVER", 7, 5, 2]) == over
    for reply in ([b"BACK", 7, b"energy:s", b"no number"], [b"BACK", 7, b"energy:s"]):
        with pytest.raises(CorruptData):
            COMMANDS["note_look"].parse(reply)


def test_a_state_is_read_as_a_value() -> None:
    """None where the server is not away; corrupt where another program has written it."""
    state = OUTAGE.state()
    assert state.parse([None, None]) is None
    assert state.parse([b"7", None]) == ServerOutage(OUTAGE, 7, True)
    assert state.parse([b"7", b"8"]) == ServerOutage(OUTAGE, 7, False)
    for reply in ([b"x", None], [b"7"], None):
        with pytest.raises(CorruptData):
            state.parse(reply)


def test_a_parked_entry_names_its_session() -> None:
    """Unless another program has written it."""
    assert OUTAGE.session(Entry("energy:s%3A1", 1.0)) == SESSION
    assert OUTAGE.session(Entry("no session", 1.0)) is None
