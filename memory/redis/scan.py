"""Going over the keys of all servers: for a command that somebody runs, never for a job."""

from collections.abc import Iterator

from memory.errors import MemoryUnavailable
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import integer, strings, text, unexpected_reply

PAGE_KEYS = 500
_OVER = b"0"


def key_count(connection: Connection) -> int:
    """How many keys there are on all servers, also of other programs."""
    return sum(connection.run_on_every_server(Command(integer, ("DBSIZE",))))


def scan(connection: Connection, pattern: str) -> Iterator[list[str]]:
    """The names of the keys that fit a pattern, page by page.

    Every key that is there all the while comes at least once. Raises MemoryServiceError; on a
    cluster also where it has other servers than at the beginning: begin anew then.
    """
    cursors = [_OVER] * len(connection.run_on_every_server(Command(integer, ("DBSIZE",))))
    is_over = [False] * len(cursors)
    while not all(is_over):
        asked = [_page(*one, pattern) for one in zip(cursors, is_over, strict=True)]
        found = connection.run_on_every_server(*asked)
        if len(found) != len(cursors):
            raise MemoryUnavailable("the servers of the cluster have changed: start again")
        cursors = [cursor for cursor, _ in found]
        is_over = [was or cursor == _OVER for was, cursor in zip(is_over, cursors, strict=True)]
        yield [name for _, names in found for name in names]


def _page(cursor: bytes, is_over: bool, pattern: str) -> Command[tuple[bytes, list[str]]]:
    if is_over:
        # Its cursor would begin anew.
        return Command(lambda _: (_OVER, []), ("DBSIZE",))
    return Command(_read, ("SCAN", cursor, "MATCH", pattern, "COUNT", PAGE_KEYS))


def _read(reply: object) -> tuple[bytes, list[str]]:
    match reply:
        case [bytes(cursor), list(names)]:
            return cursor, [text(one) for one in strings(names)]
        # redis-py's client of a cluster (8.1) gives the cursor of each node that was asked: of one.
        case [dict(cursors), list(names)] if len(cursors) == 1:
            return str(*cursors.values()).encode(), [text(one) for one in strings(names)]
    raise unexpected_reply(reply)
