"""The Lua operations on places take and give what their headers say."""

import re
from dataclasses import fields

import pytest

from memory.call import Call
from memory.errors import CorruptData
from memory.keys import Keyspace, PlaceKeys
from memory.places import InLine, Places

KEYSPACE = Keyspace()
SERVERS = ("http://ollama:11434", "http://other:11434")
SESSION = KEYSPACE.session("energy", "s:1")
PLACES = Places(KEYSPACE, "llama3.2:1b", SERVERS, 7)
KEYS = PLACES.keys
MAX_CODE_LINES = 40
CALLS: dict[str, Call[object]] = {
    "place": PLACES.take(SESSION, "token", lease_ms=30_000),
    "hold": PLACES.hold("token", lease_ms=30_000),
    "stand": PLACES.stand(SESSION, arrived_us=42),
    "leave": PLACES.leave("token", took_ms=5),
    "lapse": PLACES.lapse(),
    "call": PLACES.call_next(reserve_ms=5000),
}
VALUES = {
    "session": "energy:s%3A1", "token": "token", "who": "token", "lease_ms": 30_000, "limit": 7,
    "choice": 2, "ttl_ms": 86_400_000, "now_us": "", "arrived": "0000000000000042", "took_ms": 5,
    "reserve_ms": 5000,
}  # fmt: skip


def source(name: str) -> str:
    """The text of an operation."""
    script = CALLS[name].script
    assert script is not None
    return script.source


def words(name: str, heading: str) -> list[str]:
    """What a line of the header names."""
    (line,) = re.findall(rf"^-- {heading} +(.+)$", source(name), re.M)
    return str(line).split()


@pytest.mark.parametrize("name", CALLS)
def test_keys_and_arguments_are_those_of_the_header_in_its_order(name: str) -> None:
    """All of a model's keys are passed, and no other."""
    known = {field.name: getattr(KEYS, field.name) for field in fields(PlaceKeys)}
    *others, places = words(name, "KEYS")
    assert places == "places..."
    assert list(CALLS[name].keys) == [*(known[key] for key in others), *KEYS.places]
    assert list(CALLS[name].args) == [VALUES[argument] for argument in words(name, "ARGV")]


@pytest.mark.parametrize("name", CALLS)
def test_the_unpacked_names_are_those_of_the_header(name: str) -> None:
    """`local a, b = unpack(ARGV)` cannot get out of step."""
    for names, what in re.findall(r"^local ([\w, ]+) = unpack\((KEYS|ARGV)\)$", source(name), re.M):
        unpacked = names.split(", ")
        assert unpacked == words(name, what)[: len(unpacked)]


@pytest.mark.parametrize("name", CALLS)
def test_an_operation_is_small_and_finishes_without_memory(name: str) -> None:
    """At most 40 lines of code; types are looked at first; work in hand is finished."""
    lines = source(name).splitlines()
    code = [line for line in lines if line and not line.startswith(("--", "#!"))]
    assert len(code) <= MAX_CODE_LINES
    assert lines[0] == "#!lua flags=allow-oom"
    assert re.findall(r"redis\.call\('(\w+)'", "\n".join(code))[0] == "TYPE"
    assert "{'CORRUPT'" in source(name)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("reply", [None, [], b"OK", 7, [b"NEVER"], [7], ["OK"], [b"OK", 1, 2, 3]])
def test_a_reply_that_makes_no_sense_is_corrupt(name: str, reply: object) -> None:
    """Another program answers, or another version of the script."""
    with pytest.raises(CorruptData):
        CALLS[name].parse(reply)


@pytest.mark.parametrize("name", CALLS)
def test_a_corrupt_key_is_an_error_that_names_it(name: str) -> None:
    """Whatever the operation."""
    with pytest.raises(CorruptData, match=r"some:key.*string"):
        CALLS[name].parse([b"CORRUPT", b"some:key", b"string"])


def test_replies_are_read_as_values() -> None:
    """Flags, a position with and without an estimate, sessions."""
    assert CALLS["place"].parse([b"TAKEN", 2]) == SERVERS[1]
    assert CALLS["place"].parse([b"FULL"]) is None
    assert CALLS["lapse"].parse([b"OK", 3]) == 3
    assert CALLS["hold"].parse(0) is CALLS["leave"].parse(0) is False
    assert CALLS["stand"].parse([b"OK", 3, 1500]) == InLine(3, 1500)
    assert CALLS["stand"].parse([b"OK", 3, -1]) == InLine(3, None)
    assert CALLS["call"].parse([b"OK"]) == []
    assert CALLS["call"].parse([b"OK", b"energy:s%3A1"]) == [SESSION]
    for name, reply in (("call", [b"OK", b"no session"]), ("place", [b"TAKEN", 3])):
        with pytest.raises(CorruptData):
            CALLS[name].parse(reply)
