"""Servers, processes and the checker in one hand: what a fault test works with."""

import json
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import redis
from pydantic import JsonValue, SecretStr
from redis import Redis

from memory import Connection, Housekeeping, Mailbox, MemorySettings
from memory.keys import Keyspace, SessionKeys
from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from sandbox.resp import RespConnection
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import app
from tasks.job.envelope import Envelope
from tasks.job.job import ChatJob
from tasks.process.crash_points import BY_TESTS, SWITCH, VARIABLE, CrashPoint
from tests.conftest import FAST, GRACE_S, LEASE_S, REDIS_PORT, SWEEP_S
from tests.support.effort import end_grace_s
from tests.support.faults.dump import SessionDump, is_drained, read_session
from tests.support.faults.invariants import Rules, assert_invariants
from tests.support.faults.sender import AGENT_ID, Sender
from tests.support.machine import SLOWNESS, scaled
from tests.support.servers.no_sync import NO_SYNC
from tests.support.waiting import wait_until
from tests.support.warm.python import GAIN, run_python, warm

__all__ = [
    "GRACE_S",
    "LEASE_S",
    "SETTINGS",
    "SLACK_S",
    "SWEEP_S",
    "Rig",
    "armed",
    "new_rig",
]

NUM_PARALLEL = 64
"""Replies of a model at once: what is put to the test is Griot, not the wait for a slot."""

COMMANDS = """
import json, sys
from contextlib import suppress
from worker.cli import main
for command in json.loads(sys.argv[1]):
    with suppress(SystemExit):
        main(command)
    print(end="\\0")
"""

SLACK_S = 1.5
"""What an idle machine with two cores may add to a promise in seconds; see `Rig.slack_s`."""

SETTINGS = {
    **FAST,
    "CHAT_RETRY_MAX_SECONDS": "0.5",
    # The model is shown everything, so that the checker can compare all of it.
    "AGENT_MAX_HISTORY": "1000",
    "HISTORY_MAX_MESSAGES": "10000",
}


def armed(point: CrashPoint, passage: int = 1) -> dict[str, str]:
    """The environment of a process that kills itself at a passage of a point."""
    return {VARIABLE: f"{point.value}:{passage}", SWITCH: BY_TESTS}


@dataclass
class Rig:
    """One Redis, one stand-in for Ollama, and any number of processes."""

    valkey: ValkeyServer
    ollama: OllamaStandIn
    stack: GriotStack
    keyspace: Keyspace = field(default_factory=Keyspace)
    start_s: float = 0.0
    """How long the slowest start of a worker took."""

    @property
    def slack_s(self) -> float:
        """What may be added to a promise, in seconds of an idle machine: more if this one has
        become slower than it was when it was measured."""
        return max(SLACK_S, self.start_s * GAIN / SLOWNESS)

    @property
    def delay_s(self) -> float:
        """The part of it that an idle machine does not add."""
        return self.slack_s - SLACK_S

    @cached_property
    def observer(self) -> Redis:
        """A client that looks on."""
        return Redis.from_url(self.valkey.url(), protocol=2, socket_timeout=scaled(5))

    @cached_property
    def results(self) -> Redis:
        """The same for Celery's results."""
        return Redis.from_url(self.valkey.url(2), protocol=2, socket_timeout=scaled(5))

    @cached_property
    def connection(self) -> Connection:
        """A connection as the memory's, for looking on."""
        return Connection(MemorySettings(url=SecretStr(self.valkey.url())))

    @property
    def housekeeping(self) -> Housekeeping:
        """What the maintenance tasks call."""
        return Housekeeping(self.connection, self.keyspace)

    def broker(self, *command: str | int | bytes) -> object:
        """One command on the broker's db."""
        with RespConnection(self.valkey.port) as connection:
            connection.command("SELECT", 1)
            return connection.command(*command)

    def keys(self, session_id: str) -> SessionKeys:
        """The keys of a session."""
        return self.keyspace.session(AGENT_ID, session_id)

    def mailbox(self, session_id: str) -> Mailbox:
        """The mailbox of a session."""
        return Mailbox(self.keyspace, self.keys(session_id))

    def enqueue_silently(
        self,
        sender: Sender,
        session_id: str,
        *,
        publish: Mapping[str, JsonValue] | None = None,
        **options: object,
    ) -> None:
        """Put a job into its mailbox and publish nothing: its wake-up is lost.

        `publish` are the Celery options that whoever wakes it takes.
        """
        message, job_id = sender.next_message(session_id), str(uuid.uuid4())
        ids = {"agent_id": sender.agent_id, "session_id": session_id}
        job = ChatJob.model_validate({**ids, "message": message, "model": sender.model, **options})
        envelope = Envelope(job=job, publish=dict(publish or {})).pack()
        grace_ms = round(scaled(GRACE_S) * 1000)
        calls = self.mailbox(session_id).enqueue(job_id, envelope, cap=10_000, grace_ms=grace_ms)
        self.connection.run_last(*calls)
        sender.note(session_id, job_id, message)

    def worker(self, *options: str, name: str = "worker", **settings: str) -> ServerProcess:
        """A started worker."""
        began = time.monotonic()
        process = self.stack.worker(*options, name=name, **settings)
        self.start_s = max(self.start_s, time.monotonic() - began)
        return process

    def doomed_worker(
        self, point: CrashPoint, passage: int, *options: str, name: str, **settings: str
    ) -> ServerProcess:
        """A started worker that dies when it passes `point` for the n-th time."""
        return self.worker(*options, name=name, **settings, **armed(point, passage))

    def python(
        self, code: str, *arguments: str, role: str = "client", **settings: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a producer of its own to its end, or what has another role."""
        return run_python(
            "-c",
            code,
            *arguments,
            env={**self.stack.env_of(role), **settings},
            cwd=self.stack.directory,
            timeout_s=scaled(30),
        )

    def griot(self, *commands: Sequence[str]) -> list[str]:
        """What some commands print for an operator, one after the other in one process."""
        return self.python(COMMANDS, json.dumps(commands), role="operator").stdout.split("\0")[:-1]

    def consume(self, queue: str, worker: str = "steady") -> None:
        """Let the worker of this name take the messages of one more queue."""
        name = f"{worker}@{socket.gethostname()}"
        # On a connection of its own: the pool's may lead to the server of another module.
        with app.connection_for_write() as connection:
            app.control.add_consumer(
                queue, destination=[name], reply=True, timeout=scaled(5), connection=connection
            )

    def wait_active(self, count: int, *, timeout_s: float = 10.0) -> None:
        """Return when exactly so many model calls are being served."""
        wait_until(
            lambda: self.ollama.stats.active == count,
            timeout_s=timeout_s,
            what=f"{count} model calls run",
        )

    def wait_calls(self, count: int, *, since: int | None = None) -> None:
        """Return when the model has had so many calls more: than now, or than at a count before."""
        before = self.ollama.stats.requests if since is None else since
        wait_until(
            lambda: self.ollama.stats.requests >= before + count,
            timeout_s=30,
            what=f"{count} calls of the model",
        )

    def is_drained(self, sender: Sender, jobs: list[tuple[str, int]] | None = None) -> bool:
        """Whether every job of `sender` is done. False while Redis does not answer.

        `jobs`: of the sessions (id, jobs) that were not done at the last look.
        """
        try:
            left = sender.counts() if jobs is None else jobs
            return is_drained(self.observer, self.keyspace, sender.agent_id, left)
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def wait_drained(self, sender: Sender, *, timeout_s: float = 15.0) -> None:
        """I10: every job of `sender` is done in time."""
        jobs = sender.counts()
        wait_until(
            lambda: self.is_drained(sender, jobs), timeout_s=timeout_s, what="every job is done"
        )

    def wait_delivered(self, sender: Sender, *, queue_wait_s: float = 0.0) -> None:
        """I11: every end is delivered within S + max(g, 2 q), where wake-ups lay q in the queue."""

        def is_delivered() -> bool:
            agent_id = sender.agent_id
            outboxes = [self.keyspace.session(agent_id, one).outbox for one in sender.jobs]
            return not self.observer.exists(*outboxes)

        # Who has taken an end may have died since: once more the grace period.
        timeout_s = SWEEP_S + 2 * max(GRACE_S, 2 * queue_wait_s) + self.slack_s
        wait_until(is_delivered, timeout_s=timeout_s, what="every end is delivered")

    def dumps(self, sender: Sender) -> list[SessionDump]:
        """What Redis has of the sessions of `sender`."""
        return [self.dump(session_id, sender.agent_id) for session_id in sender.jobs]

    def dump(self, session_id: str, agent_id: str = AGENT_ID) -> SessionDump:
        """What Redis has of one session."""
        return read_session(self.observer, self.results, self.keyspace, agent_id, session_id)

    def check(
        self,
        sender: Sender,
        *,
        timeout_s: float = 15.0,
        queue_wait_s: float = 0.0,
        **rules: object,
    ) -> None:
        """Wait until every job is done, then assert all invariants. `rules` as of Rules."""
        self.wait_drained(sender, timeout_s=timeout_s)
        self.wait_delivered(sender, queue_wait_s=queue_wait_s)
        assert_invariants(self.dumps(sender), sender.jobs, self.ollama.calls, Rules(**rules))  # type: ignore[arg-type]

    @contextmanager
    def full_memory(self) -> Iterator[None]:
        """Redis is out of memory within the block."""
        self.observer.config_set("maxmemory", "1")
        try:
            yield
        finally:
            self.observer.config_set("maxmemory", "0")


@contextmanager
def new_rig(directory: Path) -> Iterator[Rig]:
    """A Redis that keeps what it acknowledged, at the address that the producer here knows, an
    Ollama, and what starts Griot's processes; all of it is stopped in the end.
    """
    with (
        ValkeyServer(
            REDIS_PORT, directory / "valkey", append_only="always", options=NO_SYNC
        ) as valkey,
        OllamaStandIn(num_parallel=NUM_PARALLEL) as ollama,
        GriotStack(
            directory / "logs",
            redis_url=valkey.url(),
            ollama_url=ollama.url,
            settings=SETTINGS,
            starter=warm,
        ) as stack,
    ):
        yield Rig(valkey, ollama, stack)
        stack.stop(end_grace_s())
