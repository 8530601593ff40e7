"""The scripts of the records that a simulated world sends, by which mutants can be made."""

from memory.keys import Keyspace
from memory.records import events, history, index
from memory.redis.command import Command, LuaScript


def _script(command: Command[object]) -> LuaScript:
    assert command.script is not None
    return command.script


_KEYS = Keyspace().session("a", "s")
PUBLISH = _script(events.publish(_KEYS, (), ttl_s=1))
ERASE = _script(history.erase(_KEYS, write_id="w", grace_ms=1))
TOUCH = _script(index.touch_index("k", "m"))
FORGET = _script(index.forget("k", ()))
RECORD_SCRIPTS = (PUBLISH, ERASE, TOUCH, FORGET)
