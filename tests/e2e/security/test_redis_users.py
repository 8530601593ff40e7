"""Conversations in which every process is a user of deploy/users.acl, and none is refused a thing.

The whole suite does so with `make test-acl`; that nobody may do more is in
tests/contract/redis_users.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.redis_users.acl_file import acl_file
from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.users import Users
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST
from tests.support.effort import IS_LONG
from tests.support.encryption import key_of
from tests.support.machine import scaled
from tests.support.servers.redis_users import filled, users_of_tests
from tests.support.warm.python import run_python, warm

SENT = """
import time
from tasks import chat_task
later = chat_task.delay("energy", "later", "hello", not_before=time.time() + 0.5)
job = chat_task.delay("energy", "produced", "hello", metadata={"user_id": "u"})
assert job.get(timeout=60)["response"]
assert later.get(timeout=60)["response"]
"""
FOLLOWED = """
from tasks import chat_task, follow_job
job = chat_task.delay("energy", "followed", "hello", metadata={"user_id": "u"})
assert [event.type for event in follow_job(job.id)][-1] == "done"
"""
PRODUCER = f"""{SENT}
again = chat_task.delay("energy", "produced", "wait", model="slow-tokens:40x25ms")
chat_task.delay("energy", "produced", "now", on_busy="interrupt").get(timeout=60)
again.get(timeout=60, propagate=False)
job.forget()
"""
CLIENT = (
    FOLLOWED
    + """
import asyncio
from tasks import aio
SLOW = {"model": "slow-tokens:40x50ms"}

def started(job):
    next(event for event in follow_job(job.id) if event.type == "started")

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
)
SETTINGS = {
    **FAST,
    "CHAT_USER_JOBS_PER_MINUTE": "600",
    "CHAT_USER_TOKENS_PER_DAY": "10000000",
    "CHAT_USER_JOBS_AT_ONCE": "100",
    "GRIOT_ENCRYPTION_KEYS": key_of("k1"),
}
"""What takes rights of its own where it is set."""
SCHEDULED = """
from tasks import schedules
made = schedules.create("energy", "ticking", "What is new?", every_s=3600)
schedules.pause(made.schedule_id)
schedules.resume(made.schedule_id)
"""
DUE = """
from memory.mailbox import due_list, schedules as records
from tasks import schedules
from tasks.process.services import producer_services
services = producer_services()
keys = services.keyspace.session("energy", "ticking")
(kept,) = services.memory.run(records.every(keys))
(made,) = schedules.every()
rhythm = made.rhythm.model_copy(update={"begun_s": made.rhythm.begun_s - 4000})
old = made.model_copy(update={"after_s": made.after_s - 4000, "rhythm": rhythm})
services.memory.run(records.change(keys, kept, old.pack()))
services.memory.run(due_list.schedule(services.keyspace.schedules, keys.history, delay_ms=0))
"""
ANSWERED = """
import sys, time
from memory import get_redis_memory
until_s = time.monotonic() + float(sys.argv[1])
while not get_redis_memory().get_conversation_history("energy", "ticking"):
    assert time.monotonic() < until_s
    time.sleep(0.1)
"""
DELETED = """
from tasks import schedules
for one in schedules.every():
    schedules.delete(one.schedule_id)
"""
COMMANDS = (
    ("check",), ("status",), ("stats",), ("sessions", "energy"), ("dead-letters", "list"),
    ("export", "session", "energy", "followed"), ("erase", "session", "energy", "followed"),
    ("reencrypt",), ("migrate",), ("audit",),
    ("schedules", "create", "energy", "news", "What is new?", "--every", "600"),
    ("schedules", "list"),
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
            tmp_path,
            redis_url=server.url(),
            ollama_url=ollama.url,
            settings=SETTINGS,
            users=users,
            starter=warm,
        ) as stack,
    ):
        yield stack, users, server
        stack.stop(grace_s=0)


def test_a_conversation_in_which_everybody_is_a_user(
    world: tuple[GriotStack, Users, ValkeyServer],
) -> None:
    """One that sends, one that follows, the worker, and griot check as it."""
    stack, users, server = world
    worker = stack.worker()
    assert_done(run(stack, "producer", "-c", SENT))
    assert_done(run(stack, "client", "-c", FOLLOWED))
    assert_nothing_refused(users, server, worker)


@pytest.mark.long
@pytest.mark.skipif(not (IS_LONG or users_of_tests()), reason="make test-long, make test-acl")
@pytest.mark.timeout(600)
def test_every_role_does_all_of_its_work_as_its_user(
    world: tuple[GriotStack, Users, ValkeyServer],
) -> None:
    """Producer, client, worker, maintenance worker, beat, Flower, and griot's commands."""
    stack, users, server = world
    often = {"MEMORY_EXTEND_EVERY": "1", "MEMORY_CLEANUP_EVERY": "1", "MEMORY_STATS_EVERY": "1"}
    processes = [
        stack.worker(OLLAMA_NUM_PARALLEL="4"),
        stack.maintenance(),
        stack.beat(**often),
        stack.flower(FLOWER_BASIC_AUTH="me:secret")[0],
    ]
    assert_done(run(stack, "producer", "-c", PRODUCER))
    assert_done(run(stack, "client", "-c", CLIENT))
    for command in COMMANDS:
        assert_done(run(stack, "operator", "-m", "worker.cli", *command))
    assert_done(run(stack, "worker", "-m", "worker.cli", "check"))
    assert_nothing_refused(users, server, *processes)


@pytest.mark.long
@pytest.mark.skipif(not (IS_LONG or users_of_tests()), reason="make test-long, make test-acl")
@pytest.mark.timeout(300)
def test_a_workers_user_sends_what_an_operators_schedules_say(
    world: tuple[GriotStack, Users, ValkeyServer],
) -> None:
    """Only operators may write schedules; their ticks are the worker's."""
    stack, users, server = world
    worker = stack.worker()
    assert_done(run(stack, "operator", "-c", SCHEDULED))
    assert_done(run(stack, "operator", "-c", DUE))
    assert_done(run(stack, "operator", "-c", ANSWERED, str(scaled(60))))
    assert_done(run(stack, "operator", "-c", DELETED))
    assert_nothing_refused(users, server, worker)


def assert_done(ended: subprocess.CompletedProcess[str]) -> None:
    """It did its work."""
    assert ended.returncode == 0, (ended.args, ended.stdout[-2000:], ended.stderr[-3000:])


def assert_nothing_refused(users: Users, server: ValkeyServer, *processes: ServerProcess) -> None:
    """ACL LOG is empty, and no log tells of a refusal."""
    users.note_refusals(server.port)
    assert not users.refusals_file.exists(), users.refusals_file.read_text()
    for process in processes:
        assert "NOPERM" not in process.log_text()


def run(stack: GriotStack, role: str, *command: str) -> subprocess.CompletedProcess[str]:
    """A process of this Python that works in a role."""
    return run_python(*command, env=stack.env_of(role), cwd=stack.directory, timeout_s=scaled(120))
