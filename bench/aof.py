"""What a server appends to its file of commands: how many bytes, and for which keys."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import hiredis

from sandbox.valkey import ValkeyServer

PATIENCE_S = 30.0
FLUSHED_S = 1.5
"""With `everysec` all that was appended is in the file by then."""

OF_DB = {1: "wake-ups", 2: "results"}
"""What lies in the broker's db and in the one of Celery's results; db 0 has kinds of its own."""
FRAME = ("MULTI", "EXEC", "SELECT")


@dataclass(slots=True)
class Appended:
    """The bytes by what they are for, once the block of `appending` is over."""

    bytes_for: Counter[str] = field(default_factory=Counter)


@contextmanager
def appending(server: ValkeyServer) -> Iterator[Appended]:
    """Have the server append what it does, while the block runs, and read it at the end.

    Nothing is rewritten meanwhile. What the block starts has to be over when it ends.
    """
    server.command("CONFIG", "SET", "auto-aof-rewrite-percentage", 0)
    server.command("CONFIG", "SET", "appendfsync", "everysec")
    server.command("CONFIG", "SET", "appendonly", "yes")
    try:
        _wait_for_first_rewrite(server)
        path = _newest(server.data_dir)
        begin = path.stat().st_size
        found = Appended()
        yield found
        time.sleep(FLUSHED_S)
        with path.open("rb") as file:
            file.seek(begin)
            found.bytes_for += counted(file.read())
    finally:
        server.command("CONFIG", "SET", "appendonly", "no")


def counted(data: bytes) -> Counter[str]:
    """The bytes of whole commands by what they are for. Pure."""
    found: Counter[str] = Counter()
    db = 0
    for parts, size in commands(data):
        name = parts[0].decode().upper()
        if name == "SELECT":
            db = int(parts[1])
        found["frames" if name in FRAME else _kind(db, parts)] += size
    return found


def commands(data: bytes) -> Iterator[tuple[list[bytes], int]]:
    """The commands and the length of each; one that is cut off at the end is left out. Pure."""
    reader = hiredis.Reader()
    reader.feed(data)
    while parts := reader.gets():
        yield parts, len(hiredis.pack_command(tuple(parts)))


def _kind(db: int, parts: list[bytes]) -> str:
    if db in OF_DB or len(parts) == 1:
        return OF_DB.get(db, "others")
    # prefix:KIND:..., as docs/redis-keys.md has them
    _, _, rest = parts[1].partition(b":")
    return rest.partition(b":")[0].decode(errors="replace") or "others"


def _wait_for_first_rewrite(server: ValkeyServer) -> None:
    until = time.monotonic() + PATIENCE_S
    while True:
        state = str(server.command("INFO", "persistence"))
        is_busy = "rewrite_in_progress:1" in state or "rewrite_scheduled:1" in state
        if not is_busy and "aof_enabled:1" in state:
            return
        assert time.monotonic() < until, "the first rewrite of the file does not end"
        time.sleep(0.05)


def _newest(data_dir: Path) -> Path:
    found = (data_dir / "appendonlydir").glob("*.incr.aof")
    return max(found, key=lambda path: path.stat().st_mtime)
