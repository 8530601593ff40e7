"""A sender whose clock is wrong, and whom nothing has told Redis' time yet."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.valkey import ValkeyServer
from tests.support.machine import scaled
from tests.support.warm.python import run_python

ROOT = Path(__file__).resolve().parents[3]

# A process of its own: what it sends is the first that it asks of Redis.
PROGRAM = """
import asyncio, sys, time
real = time.time
time.time = lambda: real() + float(sys.argv[2])
from memory import Connection, Keyspace, MemorySettings, index
from memory.redis.command import Command
from tasks import aio, chat_task, send_many
from tasks.job.envelope import Envelope

job = {"agent_id": "energy", "session_id": sys.argv[3], "message": "hello"}
late = {**job, "expires": 100}
{
    "delay": lambda: chat_task.delay(**late),
    "countdown": lambda: chat_task.apply_async(kwargs=job, countdown=100),
    "send_many": lambda: send_many([late]),
    "aio.send": lambda: asyncio.run(aio.send(**late)),
    "aio.send_many": lambda: asyncio.run(aio.send_many([late])),
}[sys.argv[1]]()
memory = Connection(MemorySettings())
(packed,) = memory.run(Command(list, ("HVALS", Keyspace().session("energy", sys.argv[3]).jobs)))
sent = Envelope.unpack(packed).job
print((sent.expires or sent.not_before) - memory.run(index.server_time_ms()) / 1000)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """Of this module alone."""
    with ValkeyServer() as server:
        yield server


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
@pytest.mark.parametrize("door", ["delay", "countdown", "send_many", "aio.send", "aio.send_many"])
def test_seconds_from_now_count_by_redis_clock(
    server: ValkeyServer, door: str, ahead_s: int
) -> None:
    """Also of the first job that a process sends: the deadline is where it was meant to be."""
    session_id = f"{door}{ahead_s}"
    done = run_python(
        "-c", PROGRAM, door, str(ahead_s), session_id,
        env={**os.environ, "REDIS_URL": server.url(), "PYTHONPATH": str(ROOT)},
        cwd=server.data_dir, timeout_s=scaled(40),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert 100 - scaled(10) < float(done.stdout) <= 100.1, done.stderr
