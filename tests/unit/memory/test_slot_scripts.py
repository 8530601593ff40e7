"""The Lua operations on places take and give what their headers say."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from memory.errors import CorruptData
from memory.key_groups import SlotKeys
from memory.keys import Keyspace
from memory.redis.command import Command
from memory.slots import slots
from memory.slots.occupancy import SlotWait
from memory.slots.slots import Slots

KEYSPACE = Keyspace()
SERVERS = ("http://ollama:11434", "http://other:11434")
SESSION = KEYSPACE.session("energy", "s:1")
SLOTS = Slots(KEYSPACE, "llama3.2:1b", SERVERS, 7)
KEYS = SLOTS.keys
LUA = Path(slots.__file__).parent / "lua"
MAX_CODE_LINES = 40
COMMANDS: dict[str, Command[object]] = {
    "take_slot": SLOTS.take(SESSION, "token", lease_ms=30_000),
    "renew_slot": SLOTS.renew("token", lease_ms=30_000),
    "wait_for_slot": SLOTS.wait(SESSION, arrived_us=42),
    "release_slot": SLOTS.release("token", took_ms=5),
    "expire_slots": SLOTS.expire(lease_ms=30_000, most_reserve_ms=60_000),
    "grant_slots": SLOTS.grant_next(reserve_ms=5000),
}
VALUES = {
    "session": "energy:s%3A1", "token": "token", "who": "token", "lease_ms": 30_000,
    "limits": "7,7", "shares": "80/15/5", "priority": "normal",
    "choice": 2, "ttl_ms": 86_400_000, "arrived": "0000000000000042", "took_ms": 5,
    "reserve_ms": 5000, "most_reserve_ms": 60_000,
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


@pytest.mark.parametrize("name", COMMANDS)
def test_keys_and_arguments_are_those_of_the_header_in_its_order(name: str) -> None:
    """All of a model's keys are passed, and no other."""
    known = {field.name: getattr(KEYS, field.name) for field in fields(SlotKeys)}
    *others, slots = words(name, "KEYS")
    assert slots == "slots..."
    assert list(COMMANDS[name].keys) == [*(known[key] for key in others), *KEYS.slots]
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
@pytest.mark.parametrize("reply", [None, [], b"OK", 7, [b"NEVER"], [7], ["OK"], [b"OK", 1, 2, 3]])
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
    """Flags, a position with and without an estimate, sessions."""
    assert COMMANDS["take_slot"].parse([b"OK", 2]) == SERVERS[1]
    assert COMMANDS["take_slot"].parse([b"OK", 0]) is None
    assert COMMANDS["expire_slots"].parse([b"OK", 3]) == 3
    assert COMMANDS["renew_slot"].parse(0) is COMMANDS["release_slot"].parse(0) is False
    assert COMMANDS["wait_for_slot"].parse([b"OK", 3, 1500]) == SlotWait(3, 1500)
    assert COMMANDS["wait_for_slot"].parse([b"OK", 3, -1]) == SlotWait(3, None)
    assert COMMANDS["grant_slots"].parse([b"OK"]) == []
    assert COMMANDS["grant_slots"].parse([b"OK", b"energy:s%3A1"]) == [SESSION]
    for name, reply in (("grant_slots", [b"OK", b"no session"]), ("take_slot", [b"OK", 3])):
        with pytest.raises(CorruptData):
            COMMANDS[name].parse(reply)
