"""The Lua operations on webhooks take and give what their headers say."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from memory.errors import CorruptData
from memory.key_groups import WebhookKeys
from memory.keys import Keyspace
from memory.lifetimes import DEAD_MS, WEBHOOK_MS
from memory.redis.command import Command
from memory.webhooks import queue
from memory.webhooks.queue import MOST, Webhook

KEYSPACE = Keyspace()
ONE = Webhook("evt_1", "response.completed", "j1", "a:443", "ecowas:history:a:s", "https://a/")
KEYS = KEYSPACE.webhooks_to(ONE.host)
LUA = Path(queue.__file__).parent / "lua"
COMMANDS: dict[str, Command[object]] = {
    "note_webhook": queue.note(KEYSPACE, ONE),
    "claim_webhooks": queue.claim(KEYSPACE, ONE.host, limit=3, lease_ms=7),
    "put_off_webhook": queue.put_off(KEYSPACE, ONE, wait_ms=9),
    "end_webhook": queue.end(KEYSPACE, ONE),
    "give_up_webhook": queue.give_up(KEYSPACE, ONE),
}
VALUES: dict[str, object] = {
    "event": "evt_1", "host": "a:443", "session": ONE.session, "record": ONE.packed(),
    "most": MOST, "kept_ms": WEBHOOK_MS, "letter_ms": DEAD_MS, "limit": 3, "lease_ms": 7,
    "wait_ms": 9,
}  # fmt: skip
LENIENT = {"note_webhook"}
"""Where a damaged key is logged, and fails nothing."""


def words(name: str, heading: str) -> list[str]:
    """What a line of the header names."""
    (line,) = re.findall(rf"^-- {heading} +(.+)$", (LUA / f"{name}.lua").read_text(), re.M)
    return [word.partition(":")[0] for word in str(line).split()]


def test_every_operation_has_its_script_and_its_command() -> None:
    """And the files are all of them."""
    assert sorted(COMMANDS) == sorted(file.stem for file in LUA.glob("*.lua"))


@pytest.mark.parametrize("name", COMMANDS)
def test_keys_and_arguments_are_those_of_the_header_in_its_order(name: str) -> None:
    """By their names."""
    known = {field.name: getattr(KEYS, field.name) for field in fields(WebhookKeys)}
    assert list(COMMANDS[name].keys) == [known[word] for word in words(name, "KEYS")]
    assert list(COMMANDS[name].args) == [VALUES[word] for word in words(name, "ARGV")]


@pytest.mark.parametrize("name", COMMANDS)
def test_an_operation_is_small_and_looks_at_the_types_first(name: str) -> None:
    """At most 40 lines of code, and none is refused without memory: what they end frees it."""
    script, text = COMMANDS[name].script, (LUA / f"{name}.lua").read_text()
    assert script is not None
    lines = text.splitlines()
    code = [line for line in lines if line.strip() and not line.startswith(("--", "#!"))]
    assert len(code) <= 40
    assert all(len(line) <= 100 for line in lines if not line.startswith("-- KEYS"))
    assert lines[0] == "#!lua flags=allow-oom"
    assert re.findall(r"redis\.call\('(\w+)'", script.source)[0] == "TYPE"
    assert "{'CORRUPT'" in text


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - LENIENT))
@pytest.mark.parametrize("reply", [None, [], b"OK", 7, [b"NEVER"], [7], ["OK"]])
def test_a_reply_that_makes_no_sense_is_corrupt(name: str, reply: object) -> None:
    """Another program answers, or another version of the script."""
    with pytest.raises(CorruptData):
        COMMANDS[name].parse(reply)
    with pytest.raises(CorruptData, match=r"some:key.*string"):
        COMMANDS[name].parse([b"CORRUPT", b"some:key", b"string"])


@pytest.mark.parametrize(
    "stored", [b"", b"x", b"a b c", b"a b {}", b'a b {"event_id": 1}', b"a b []"]
)
def test_a_record_of_another_program_is_none(stored: bytes) -> None:
    """And one of ours is read as it was written."""
    assert Webhook.parsed(ONE.packed()) == ONE
    with pytest.raises(CorruptData):
        Webhook.parsed(stored)
