"""Workers, clients and commands with encryption keys: what they do together, and without a key."""

import json
import subprocess

import pytest
from redis import Redis

from memory import Keyspace, Mailbox, get_redis_memory
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import integer
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import app
from tasks.process.wakeup import publish
from tests.support.encryption import CANARY, append_only_file, key_of
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from tests.support.warm.python import run_python

KEYS = {"GRIOT_ENCRYPTION_KEYS": key_of("k1"), "CELERY_RESULT_ENCRYPTED": "true"}
BOTH = {**KEYS, "GRIOT_ENCRYPTION_KEYS": f"{key_of('k2')},{key_of('k1')}"}
NO_KEYS: dict[str, str] = {}
CLIENT = """
import json, sys
from celery.result import AsyncResult
from tasks import app, chat_task, follow_job
job = chat_task.delay("energy", sys.argv[1], sys.argv[2])
said = job.get(timeout=60)
print(json.dumps({
    "response": said["response"],
    "last": list(follow_job(job.id))[-1].text,
    "looked": chat_task.AsyncResult(job.id).result["response"],
    "plain": AsyncResult(job.id, app=app).get(timeout=60),
}))
"""
SEND = """
import sys
from tasks import chat_task
print(chat_task.delay("energy", sys.argv[1], sys.argv[2]).id)
"""
ANSWERED = SEND.replace(".id)", ".get(timeout=60)['job_id'])")
AGAIN = """
import sys
from tasks import chat_task
print(chat_task.AsyncResult(sys.argv[1]).get(timeout=20))
"""


class Deployment:
    """Griot's processes and clients on one server, each with the keys that it is given."""

    def __init__(self, stack: GriotStack) -> None:
        self.stack = stack
        self._keys: dict[str, str] | None = None

    def only(self, keys: dict[str, str]) -> ServerProcess:
        """A worker with these keys, the one that runs or a new one; one with others is stopped."""
        if keys != self._keys:
            self.stack.stop()
            self._keys = keys
        if not self.stack.processes:
            self.stack.worker(name="with-key" if keys else "without-key", **keys)
        return self.stack.processes[-1]

    def run(self, *arguments: str, keys: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        """A Python program of a client, to its end."""
        return run_python(
            *arguments,
            env={**self.stack.env, **keys},
            cwd=self.stack.directory,
            timeout_s=scaled(60),
        )

    def griot(self, *arguments: str, keys: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        """A command."""
        return self.run("-m", "worker.cli", *arguments, keys=keys)


@pytest.fixture(scope="module")
def deployment(stack: GriotStack) -> Deployment:
    """A deployment without a worker."""
    return Deployment(stack)


@pytest.fixture
def worker(deployment: Deployment) -> ServerProcess:
    """A worker with a key, which tests share."""
    return deployment.only(KEYS)


@pytest.fixture
def connection(worker: ServerProcess) -> Connection:
    """A look at the server."""
    assert worker.is_running
    return get_redis_memory().connection


def test_jobs_are_answered_and_no_word_lies_on_the_disk(
    deployment: Deployment, worker: ServerProcess, valkey: ValkeyServer
) -> None:
    """Nor in the log: histories, events and results are encrypted."""
    assert worker.is_running
    done = deployment.run("-c", CLIENT, "s", f"my {CANARY}", keys=KEYS)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert CANARY in told["response"]
    assert told["last"] == told["looked"] == told["response"]
    assert sorted(told["plain"]) == ["agent_id", "encrypted", "job_id", "session_id"]
    exported = deployment.griot("export", "session", "energy", "s", keys=KEYS)
    assert CANARY in exported.stdout
    assert CANARY.encode() not in append_only_file(valkey.data_dir)
    assert CANARY not in worker.log_text()


def test_keys_are_changed_while_a_worker_runs(
    deployment: Deployment, worker: ServerProcess
) -> None:
    """`griot check` knows who has which key, before and after."""
    assert worker.is_running
    assert deployment.run("-c", CLIENT, "changed", CANARY, keys=KEYS).returncode == 0
    unknown = deployment.griot("check", "--json", keys=NO_KEYS)
    findings = [one for one in json.loads(unknown.stdout) if one["check"] == "encryption"]
    assert [one["level"] for one in findings] == ["fail"]
    assert "'k1', which is not in GRIOT_ENCRYPTION_KEYS" in findings[0]["found"]
    refused = deployment.griot("reencrypt", keys=NO_KEYS)
    assert refused.returncode == 1
    assert refused.stderr.startswith("griot: GRIOT_ENCRYPTION_KEYS is not set, so nothing can be")
    assert refused.stdout == ""
    done = deployment.griot("reencrypt", keys=BOTH)
    assert done.returncode == 0, done.stderr
    assert "all done" in done.stdout
    alone = {**KEYS, "GRIOT_ENCRYPTION_KEYS": key_of("k2")}
    exported = deployment.griot("export", "session", "energy", "changed", keys=alone)
    assert CANARY in exported.stdout, exported.stderr
    back = {**KEYS, "GRIOT_ENCRYPTION_KEYS": f"{key_of('k1')},{key_of('k2')}"}
    assert deployment.griot("reencrypt", keys=back).returncode == 0
    assert '"reencrypt"' in deployment.griot("audit", "--json", keys=KEYS).stdout


def test_a_worker_with_another_key_of_a_known_id_does_not_start(
    deployment: Deployment, worker: ServerProcess
) -> None:
    """What it wrote nobody else could read."""
    assert worker.is_running
    other = {"GRIOT_ENCRYPTION_KEYS": key_of("k9").replace("k9:", "k1:")}
    done = deployment.run("-m", "celery", "-A", "worker", "worker", keys=other)
    assert done.returncode != 0
    assert "griot: a record of" in done.stderr
    assert "a different one" in done.stderr


def test_a_job_waits_for_a_worker_that_has_its_key(
    deployment: Deployment, worker: ServerProcess, connection: Connection
) -> None:
    """No attempt counts, nothing becomes a dead letter, and the log names setting and key."""
    assert worker.is_running
    without = deployment.only(NO_KEYS)
    assert "'k1', which is not in GRIOT_ENCRYPTION_KEYS" in without.log_text()
    sent = deployment.run("-c", SEND, "waits", f"my {CANARY}", keys=KEYS)
    job_id = sent.stdout.strip()
    wait_until(lambda: f"job {job_id} waits" in without.log_text(), what="the worker gives it back")
    box = Mailbox.of(Keyspace(), "energy", "waits")
    assert connection.run(box.pending()) == [job_id]
    attempt = Command(lambda reply: reply, ("HGET", box.keys.lease, "attempt"))
    wait_until(lambda: connection.run(attempt) == b"0", what="the attempt is taken back")
    assert connection.run(Command(integer, ("EXISTS", box.keys.dead))) == 0

    deployment.only(KEYS)
    # So soon would the sweeper wake it in half a minute.
    connection.run(Command(integer, ("HDEL", box.keys.lease, "not_before")))
    connection.run(Command(integer, ("ZADD", box.keyspace.due, 0, box.keys.history)))
    wait_until(lambda: not connection.run(box.pending()), timeout_s=20, what="it is answered")
    exported = deployment.griot("export", "session", "energy", "waits", keys=KEYS)
    assert CANARY in exported.stdout


def test_a_result_that_has_expired_is_not_made_up_without_its_key(
    deployment: Deployment, worker: ServerProcess, valkey: ValkeyServer
) -> None:
    """The client is told soon why there is none, and the worker which key it lacks."""
    assert worker.is_running
    sent = deployment.run("-c", ANSWERED, "expired", CANARY, keys=KEYS)
    job_id = sent.stdout.strip()
    with Redis.from_url(valkey.url(2), protocol=2) as results:
        assert results.delete(f"celery-task-meta-{job_id}") == 1

        without = deployment.only(NO_KEYS)
        publish(app, job_id, {"agent_id": "energy", "session_id": "expired"}, {})
        told = f"the result of job {job_id} could not be stored again: a record of"
        wait_until(lambda: told in without.log_text(), timeout_s=20, what="the worker meets it")
        client = deployment.run("-c", AGAIN, job_id, keys=NO_KEYS)
        assert "memory.errors.CannotDecrypt: a record of" in client.stderr
        assert "'k1', which is not in GRIOT_ENCRYPTION_KEYS" in client.stderr
        assert results.exists(f"celery-task-meta-{job_id}") == 0
