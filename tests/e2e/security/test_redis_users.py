"""A conversation in which every process is a user of deploy/users.acl, and none is refused anything.

The whole suite does so with `make test-acl`; that nobody may do more is in
tests/contract/redis_users.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.redis_users.acl_file import acl_file
from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.users import Users
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.redis_users import filled

PRODUCER = """
from tasks import chat_task
job = chat_task.delay("energy", "produced", "hello", metadata={"user_id": "u"})
assert job.get(timeout=60)["response"]
again = chat_task.delay("energy", "produced", "wait", model="slow-tokens:40x25ms")
chat_task.delay("energy", "produced", "now", on_busy="interrupt").get(timeout=60)
again.get(timeout=60, propagate=False)
job.forget()
"""
CLIENT = """
import asyncio
from tasks import aio, chat_task, follow_job
SLOW = {"model": "slow-tokens:40x50ms"}

def started(job):
    next(event for event in follow_job(job.id) if event.type == "started")

job = chat_task.delay("energy", "followed", "hello", metadata={"user_id": "u"})
assert [event.type for event in follow_job(job.id)][-1] == "done"
assert job.get(timeout=60)["response"]

first = chat_task.delay("energy", "busy", "one", **SLOW)
started(first)
merged = chat_task.delay("energy", "busy", "two")
into = chat_task.delay("energy", "busy", "three", on_busy="merge")
withdrawn = chat_task.delay("energy", "busy", "four")
chat_task.delay("energy", "busy", "five", on_busy="replace_pending").get(timeout=60)
running = chat_task.delay("energy", "rolled", "one", **SLOW)
started(running)
chat_task.delay("energy", "rolled", "two", on_busy="rollback").get(timeout=60)
running = chat_task.delay("energy", "stopped", "one", model="endless")
waiting = chat_task.delay("energy", "stopped", "two")
started(running)
assert chat_task.cancel(waiting.id) == "cancelled"
assert chat_task.cancel(running.id) == "stopping"
assert [event.type for event in follow_job(running.id)][-1] == "cancelled"

linked = chat_task.si("energy", "linked", "one") | chat_task.si("energy", "linked", "two")
assert linked.apply_async().get(timeout=60)["response"]

async def talk():
    sent = await aio.send("energy", "async", "hello")
    async for event in aio.follow_job(sent.id):
        last = event
    await aio.aclose()
    return last.type

assert asyncio.run(talk()) == "done"
"""
COMMANDS = (
    ("check",), ("status",), ("stats",), ("sessions", "energy"), ("dead-letters", "list"),
    ("export", "session", "energy", "followed"), ("erase", "session", "energy", "followed", "--yes"),
)  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[GriotStack, Users, ValkeyServer]]:
    """Servers, and processes that log in as who they are."""
    path = tmp_path / "users.acl"
    path.write_text(filled(acl_file()))
    users = Users(path)
    with (
        ValkeyServer(users=users, append_only="everysec") as server,
        OllamaStandIn(num_parallel=8) as ollama,
        GriotStack(
            tmp_path, redis_url=server.url(), ollama_url=ollama.url, settings=FAST, users=users
        ) as stack,
    ):
        yield stack, users, server
        stack.stop(grace_s=0)


def test_every_role_does_its_work_as_its_user(
    world: tuple[GriotStack, Users, ValkeyServer]
) -> None:
    """Producer, client, worker, maintenance worker, beat, Flower, and griot's commands."""
    stack, users, server = world
    processes = [
        stack.worker(OLLAMA_NUM_PARALLEL="4"),
        stack.maintenance(MEMORY_EXTEND_EVERY="1"),
        stack.beat(MEMORY_EXTEND_EVERY="1", MEMORY_CLEANUP_EVERY="1", MEMORY_STATS_EVERY="1"),
        stack.flower(FLOWER_BASIC_AUTH="me:secret")[0],
    ]
    for role, code in (("producer", PRODUCER), ("client", CLIENT)):
        done = run(stack, role, "-c", code)
        assert done.returncode == 0, done.stderr[-3000:]
    for command in COMMANDS:
        done = run(stack, "operator", "-m", "worker.cli", *command)
        assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
    users.note_refusals(server.port)
    assert not users.refusals_file.exists(), users.refusals_file.read_text()
    for process in processes:
        assert "NOPERM" not in process.log_text()


def run(stack: GriotStack, role: str, *command: str) -> subprocess.CompletedProcess[str]:
    """A process of this Python that works in a role."""
    return subprocess.run(
        (sys.executable, *command), env=stack.env_of(role), cwd=stack.directory,
        capture_output=True, text=True, timeout=scaled(120), check=False,
    )  # fmt: skip
