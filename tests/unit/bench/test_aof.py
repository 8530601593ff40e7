"""Reading what a server has appended to its file."""

from bench.aof import commands, counted


def resp(*parts: str) -> bytes:
    """A command as it lies in the file."""
    lines = [f"*{len(parts)}", *(line for part in parts for line in (f"${len(part)}", part))]
    return "".join(f"{line}\r\n" for line in lines).encode()


WRITES = (
    resp("SELECT", "0"),
    resp("MULTI"),
    resp("RPUSH", "ecowas:history:a:s", "one\r\ntwo"),
    resp("XADD", "ecowas:events:{ecowas:history:a:s}", "*", "k", "v"),
    resp("EXEC"),
    resp("SELECT", "1"),
    resp("LPUSH", "chat", "{}"),
    resp("SELECT", "2"),
    resp("SETEX", "celery-task-meta-1", "9", "{}"),
)


def test_bytes_are_counted_by_what_they_are_for() -> None:
    """Each byte once: kinds of keys of the memory, and the dbs of broker and results."""
    found = counted(b"".join(WRITES))

    assert found == {
        "frames": sum(len(WRITES[i]) for i in (0, 1, 4, 5, 7)),
        "history": len(WRITES[2]),
        "events": len(WRITES[3]),
        "wake-ups": len(WRITES[6]),
        "results": len(WRITES[8]),
    }


def test_a_command_that_is_cut_off_is_left_out() -> None:
    """The server may be writing it."""
    whole = b"".join(WRITES[:3])

    for cut in range(1, len(WRITES[2])):
        assert [parts[0] for parts, _ in commands(whole[:-cut])] == [b"SELECT", b"MULTI"]
