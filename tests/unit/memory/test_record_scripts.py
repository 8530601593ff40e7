"""The Lua operations of histories, indexes and session data take what their headers say."""

import re
from pathlib import Path

import pytest

from memory import events, index, summary, users
from memory.errors import CorruptData
from memory.keys import Keyspace
from memory.lifetimes import WRITE_IDS_MS
from memory.records import archived, history, swap, values
from memory.records.event import Event, EventType
from memory.records.index import Entry
from memory.redis.command import Command
from memory.redis.replies import code_and_count
from memory.upkeep import transfer

KEYSPACE = Keyspace()
KEYS = KEYSPACE.session("a", "s")
LUA = Path(history.__file__).parent / "lua"
MAX_CODE_LINES = 40
SAID = Event(EventType.TOKEN, "j", 1, "said")
COMMANDS: dict[str, Command[object]] = {
    "append": history.append(KEYS, [b"r"], write_id=b"w", keep=1, ttl_s=1, is_exact=True),
    "replace": history.replace(KEYS, [b"r"], write_id=b"w", ttl_s=1),
    "clear": history.clear(KEYS, write_id=b"w"),
    "erase": history.erase(KEYS, write_id="w", grace_ms=1),
    "extend": history.extend(KEYS, ttl_s=1),
    "extend_value": values.extend_by_session(KEYSPACE.state("a"), ttl_s=1),
    "summarise": summary.keep(
        KEYS, summary.Earlier(b"c", b"1", None, ()), summary.Summary("t", b"u")
    ),
    "touch": index.touch_index(KEYSPACE.sessions("a"), "s"),
    "forget": index.forget("k", [Entry("a", 1), Entry("b", 2)]),
    "restore": transfer._RESTORE.command(
        code_and_count,
        KEYS,
        write_id=b"w",
        ttl_ms=1,
        dedupe_ms=1,
        is_forced=0,
        text="t",
        last=b"",
        records=(b"r",),
    ),
    "archive_look": archived.look(KEYS, archived.Stay(1, 1)),
    "archive_take": archived.take(KEYS, archived.Stay(1, 1), "g"),
    "archive_taken": archived.taken(KEYS, archived.Part("g", 0, (b"r",))),
    "read_back": archived.read_back(
        KEYS, archived.Part("g", 0, (b"r",)), job_id="j", attempt=1, rev=b""
    ),
    "forget_until": index.forget_until(KEYSPACE.sessions("a"), [Entry("s", 0)], 1),
    "members": users._members(KEYSPACE.sessions("a"), limit=1),
    "publish": events.publish(KEYS, [SAID], ttl_s=1, token="t", number=1),  # noqa: S106 - a lease's
    "swap_value": swap.swap_value(KEYSPACE.state("a"), b"old", b"new"),
    "swap_fields": swap.swap_fields(
        KEYSPACE.session_fields("s"), [swap.Swap(b"f", b"old", b"new")]
    ),
    "swap_elements": swap.swap_elements(KEYS.history, [swap.Swap(0, b"old", b"new")]),
    "swap_stream": swap.swap_stream(KEYS.events, [(b"1-0", [b"event", b"new"])]),
    "note_fields": values.note_fields(KEYSPACE, "s", ["n"], ttl_s=1, is_exact=True),
}
BY_HEADER = {
    "index": KEYSPACE.sessions("a"),
    "fields": KEYSPACE.session_fields("s"),
    "value": KEYSPACE.state("a"),
    "elements": KEYS.history,
}


def _source(name: str) -> str:
    script = COMMANDS[name].script
    assert script is not None
    return script.source


def _words(name: str, heading: str) -> list[str]:
    found = re.search(rf"^-- {heading} +(.+)$", _source(name), re.M)
    assert found is not None
    return [word.partition(":")[0].removesuffix("...") for word in found[1].split()]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_keys_are_those_of_the_header_in_its_order(name: str) -> None:
    """A key in the wrong place would be destroyed as another type."""
    expected = [getattr(KEYS, word, None) or BY_HEADER.get(word) for word in _words(name, "KEYS")]

    assert name == "forget" or list(COMMANDS[name].keys) == expected


def test_the_ids_of_writes_are_kept_for_their_life_time() -> None:
    """The shared piece has it in its text: each script would need one more argument."""
    once = LUA.parents[1] / "redis" / "lua" / "once.lua"
    found = re.search(r"window_ms, most = .*, (\d+), \d+$", once.read_text("utf-8"), re.M)
    assert found is not None
    assert int(found[1]) == WRITE_IDS_MS


@pytest.mark.parametrize("name", COMMANDS)
def test_there_are_as_many_arguments_as_the_header_names(name: str) -> None:
    """Each is sent, and none that nobody reads."""
    more = {"forget": 3, "swap_fields": 2, "swap_elements": 2, "swap_stream": 3}.get(name, 0)
    assert len(COMMANDS[name].args) == len(_words(name, "ARGV")) + more


@pytest.mark.parametrize("name", COMMANDS)
def test_an_operation_is_small_and_says_what_it_returns(name: str) -> None:
    """At most 40 lines of code; a header with every answer; memory pressure decided on purpose."""
    lines = _source(name).splitlines()
    code = [line for line in lines if line and not line.startswith(("--", "#!"))]
    own = (LUA / f"{name}.lua").read_text().splitlines()

    assert len([line for line in own if line and line in code]) <= MAX_CODE_LINES
    # The loader reads the names from one line.
    assert all(len(line) <= 100 for line in own if not line.startswith(("-- KEYS", "-- ARGV")))
    assert lines[0] in ("#!lua", "#!lua flags=allow-oom")
    header = "\n".join(line for line in lines if line.startswith("--"))
    for answer in re.findall(r"return \{'([A-Z]+)'", "\n".join(code)):
        assert f"{{'{answer}'" in header


@pytest.mark.parametrize("name", COMMANDS)
def test_a_corrupt_key_is_an_error_that_names_it(name: str) -> None:
    """Whatever the operation."""
    with pytest.raises(CorruptData, match=r"some:key.*string"):
        COMMANDS[name].parse([b"CORRUPT", b"some:key", b"string"])
    for nonsense in (None, [], [b"OK"], b"OK", [b"OK", b"1"]):
        with pytest.raises(CorruptData):
            COMMANDS[name].parse(nonsense)
