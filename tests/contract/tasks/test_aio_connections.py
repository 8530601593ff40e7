"""An event loop that ends takes its connections to Redis with it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.valkey import ValkeyServer
from tests.support.machine import scaled
from tests.support.warm.python import run_python

ROOT = Path(__file__).resolve().parents[3]
TIMES = 15

# A process of its own: the producer in this one knows one address for all tests.
PROGRAM = """
import asyncio, gc, sys
import uvloop
from memory import Command, Connection, MemorySettings
from tasks.aio import aclose, follow_job, send

async def only_send(number):
    await send("energy", "s", f"no. {number}")

async def send_and_close(number):
    await only_send(number)
    await aclose()
    await aclose()

async def send_again_after_closing(number):
    await send_and_close(number)
    await only_send(-1 - number)

async def leave_a_follower(number):
    job = await send("energy", "s", f"no. {number}")

    async def follow():
        async for event in follow_job(job.id):
            pass

    follower = asyncio.create_task(follow())
    await asyncio.wait((follower,), timeout=0.1)

def close_the_loop_alone(main):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main)
    loop.close()

main, run, times = globals()[sys.argv[1]], eval(sys.argv[2]), int(sys.argv[3])
for number in range(times):
    run(main(number))
gc.collect()
with_our_name = Connection(MemorySettings()).run(Command(bytes.decode, ("CLIENT", "LIST")))
print(sum("name=griot" in line and " db=0 " in line for line in with_our_name.splitlines()))
"""


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """Nobody else connects to it."""
    with ValkeyServer() as server:
        yield server


@pytest.mark.parametrize(
    ("main", "run", "left"),
    [
        ("only_send", "asyncio.run", 0),
        ("only_send", "uvloop.run", 0),
        ("send_and_close", "asyncio.run", 0),
        ("send_again_after_closing", "asyncio.run", 0),
        ("leave_a_follower", "asyncio.run", 0),
        # The last one's are forgotten when the next loop begins.
        ("only_send", "close_the_loop_alone", 1),
    ],
)
def test_no_connection_stays_open(server: ValkeyServer, main: str, run: str, left: int) -> None:
    """Whether the caller closes them or not: one is left here, the one that asks."""
    done = run_python(
        "-c", PROGRAM, main, run, str(TIMES),
        env={**os.environ, "REDIS_URL": server.url(), "PYTHONPATH": str(ROOT)},
        cwd=server.data_dir, timeout_s=scaled(40),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) == 1 + left, done.stderr[-2000:]
    assert "Error" not in done.stderr
