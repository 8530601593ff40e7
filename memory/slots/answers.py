"""Which models answer somebody: what processes tell each other, so that none restarts a model that
is at work for another.

Pure, as `mailbox`: functions return commands, which an executor sends.
"""

from memory.keys import Keyspace
from memory.lifetimes import ANSWERED_MS
from memory.redis.command import Command
from memory.redis.replies import integer, nothing


def note(keyspace: Keyspace, server: str, model: str) -> Command[None]:
    """Note that a call of the model got a piece of its reply at this server just now."""
    # The TTL is the clock: every process reads the same age, and none needs another's time.
    return Command(nothing, ("SET", keyspace.answered(server, model), 1, "PX", ANSWERED_MS))


def ago_ms(keyspace: Keyspace, server: str, model: str) -> Command[int | None]:
    """How long ago that was noted last; None where it was not for a day."""
    return Command(_read_age, ("PTTL", keyspace.answered(server, model)))


def _read_age(reply: object) -> int | None:
    left_ms = integer(reply)
    return ANSWERED_MS - left_ms if left_ms >= 0 else None
