"""Sessions that leave Redis for the archive and come back, and what a look into a large one costs.

CPU time, so that what else the machine does counts little.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from bench.arena import Arena
from bench.rows import Row, Target, shown
from bench.size import Size
from memory import ArchiveFile, Archiver, Command, Keyspace, Leaving, Mailbox, archived

AGENT = "archived"
LOOKS = 2000
BATCH = 5000
MESSAGES = tuple(b'{"role":"user","content":"question or answer %d"}' % number for number in (1, 2))
STAY = archived.Stay(messages=1000, size_bytes=8_000_000)

# For a single server only: the names of the histories are made from a number.
_MAKE = """
for i = ARGV[1], ARGV[2] do
  redis.call('RPUSH', KEYS[1] .. i, ARGV[4], ARGV[5])
  redis.call('PEXPIRE', KEYS[1] .. i, ARGV[3])
  redis.call('ZADD', KEYS[2], 1, 's' .. i)
end
"""


def measure(arena: Arena, size: Size) -> list[Row]:
    """Archiving, reading back, and looks into an archive of a thousand and of many sessions."""
    amount, keyspace = size.archived_sessions, Keyspace(has_archive=True)
    file = ArchiveFile(Path(arena.directory) / "archive.db")
    _make_sessions(arena, amount)
    out_ms = _archived_ms(arena, keyspace, file, amount)
    content = file.content()
    arena.say(f"archive: {content.conversations:,} sessions, {content.size_bytes:,} bytes")
    assert (content.conversations, content.messages) == (amount, 2 * amount)
    back_ms = _read_back_ms(arena, keyspace, file, amount)
    file.close()
    few_us, many_us = (
        _look_us(arena, keyspace, sessions) for sessions in (1000, size.million_sessions)
    )
    return [
        Row(
            "archive",
            f"archiving a session, of {amount:,}",
            out_ms,
            "ms of CPU",
            None,
            f"{content.size_bytes / amount:.0f} bytes each in the file",
        ),
        Row(
            "archive",
            "reading one back, with the job that asks for it",
            back_ms,
            "ms of CPU",
            None,
            f"{amount:,} sessions, all there",
        ),
        Row(
            "archive",
            f"a look into {size.million_sessions:,} sessions / into 1,000",
            many_us / few_us,
            "x",
            Target(2, 1.5),
            f"{shown(many_us)} µs, {shown(few_us)} µs of CPU; half of them found nothing",
        ),
    ]


def _make_sessions(arena: Arena, amount: int) -> None:
    prefix = arena.keyspace.session(AGENT, "s").history
    over_ms = archived.HOLD_MS - 1000
    with arena.client(0) as client:
        make = client.register_script(_MAKE)
        client.zadd(arena.keyspace.agents, {AGENT: 1})
        for start in range(0, amount, BATCH):
            end = min(start + BATCH, amount) - 1
            keys = [prefix, arena.keyspace.sessions(AGENT)]
            make(keys=keys, args=[start, end, over_ms, *MESSAGES])


def _archived_ms(arena: Arena, keyspace: Keyspace, file: ArchiveFile, amount: int) -> float:
    archiver, moved, began_s = Archiver(arena.memory, keyspace, file, STAY), 0, time.process_time()
    while moved < amount:
        done = archiver.run(max_sessions=amount, budget_s=600)
        moved += done.moved
        assert done.moved or not done.is_complete, "they are all to go"
    return (time.process_time() - began_s) / amount * 1000


def _read_back_ms(arena: Arena, keyspace: Keyspace, file: ArchiveFile, amount: int) -> float:
    """As a worker does: the job, the look, the history into Redis."""
    began_s = time.process_time()
    for number in range(amount):
        mailbox = Mailbox.of(keyspace, AGENT, f"s{number}")
        job_id = f"job-{number}"
        begin: list[Command[object]] = [
            *mailbox.enqueue(job_id, b"{}", cap=9, grace_ms=60_000),
            *mailbox.acquire(
                job_id, "t", lease_ms=600_000, history_n=9, max_attempts=3, ttl_s=60,
                grace_ms=60_000,
            ),
        ]  # fmt: skip
        arena.memory.run_each(begin)
        part = cast("archived.Part", file.newest(mailbox.keys, at_most=100))
        assert part.records == MESSAGES
        rev, is_readable = arena.memory.run_all(*archived.readable(keyspace, mailbox.keys))
        assert is_readable
        back = archived.read_back(mailbox.keys, part, job_id=job_id, attempt=1, rev=rev)
        assert arena.memory.run(back)
    return (time.process_time() - began_s) / amount * 1000


def _look_us(arena: Arena, keyspace: Keyspace, sessions: int) -> float:
    file = ArchiveFile(Path(arena.directory) / f"archive-{sessions}.db")
    for leaving in _batches(keyspace, sessions):
        file.write(leaving, now_ms=1)
    asked = [
        keyspace.session(AGENT, f"{name}{number * sessions // LOOKS}")
        for number in range(LOOKS)
        for name in ("s", "new")
    ]
    began_s = time.process_time()
    found = sum(file.newest(keys, at_most=100) is not None for keys in asked)
    spent_s = time.process_time() - began_s
    assert found == LOOKS
    file.close()
    return spent_s / len(asked) * 1_000_000


def _batches(keyspace: Keyspace, sessions: int) -> Iterator[list[Leaving]]:
    part = archived.Part("generation", 0, MESSAGES, is_all=True)
    for start in range(0, sessions, BATCH):
        yield [
            Leaving(keyspace.session(AGENT, f"s{number}"), part, ())
            for number in range(start, min(start + BATCH, sessions))
        ]
