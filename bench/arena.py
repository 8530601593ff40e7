"""The processes of a benchmark: Valkey, the model's stand-in, the producer, workers."""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Self

import orjson
import redis

from bench.conversation import AGENT, HISTORY_MESSAGES, messages, stored
from bench.lean import LeanPeer, lean_peer
from bench.meter import Meter
from bench.model import ModelProcess
from bench.peers.plain import history_key
from bench.producing import producing
from memory import Connection, Keyspace, MemorySettings, encode_message
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer

CONCURRENCY = 100
WARM_UP_JOBS = 100
ROOT = Path(__file__).resolve().parent.parent

# The dbs of the one server: memory, broker and results of Griot, then of the others.
NOOP_DBS = (3, 4)
PLAIN_DBS = (5, 6)
LEAN_DB = 8

SETTINGS = {
    "OLLAMA_MODEL": "instant",
    "WORKER_CONCURRENCY": str(CONCURRENCY),
    "AGENT_MAX_HISTORY": str(HISTORY_MESSAGES),
    "HISTORY_MAX_MESSAGES": "20000",
    "CHAT_MAX_PENDING": "5000",
    "PYTHONPATH": str(ROOT),
}


class Arena(ExitStack):
    """One Valkey, one model and one producer for all measurements; workers come and go.

    Everything lives in a temporary directory, logs included, which is removed at the end; with
    `keep_dir` in a new directory there, which stays.
    """

    def __init__(self, *, keep_dir: Path | None = None) -> None:
        super().__init__()
        self._began = time.monotonic()
        if keep_dir is None:
            self.directory = Path(self.enter_context(tempfile.TemporaryDirectory()))
        else:
            keep_dir.mkdir(parents=True, exist_ok=True)
            self.directory = Path(tempfile.mkdtemp(prefix="bench-", dir=keep_dir))
        self._runs = 0

    def __enter__(self) -> Self:
        self.valkey = self.enter_context(ValkeyServer())
        self.model = self.enter_context(ModelProcess(self.directory))
        self.griot = self.enter_context(
            GriotStack(
                self.directory,
                redis_url=self.valkey.url(0),
                ollama_url=self.model.url,
                settings={**SETTINGS, "OLLAMA_HOST": self.model.url},
            )
        )
        self.brokers = [self.valkey.url(db) for db in (*NOOP_DBS, *PLAIN_DBS)]
        self.producer = self.enter_context(producing(self.brokers, self.griot.env, self.directory))
        self.memory = self.enter_context(
            closing(Connection(MemorySettings(url=self.valkey.url(0))))
        )
        self.keyspace = Keyspace()
        return self

    def say(self, text: str) -> None:
        """Report progress, with the seconds since the start."""
        sys.stderr.write(f"[{time.monotonic() - self._began:6.1f} s] {text}\n")
        sys.stderr.flush()

    def new_run(self) -> str:
        """A prefix of session ids that was not used before."""
        self._runs += 1
        return f"r{self._runs}"

    @contextmanager
    def chat_worker(self, *options: str, **settings: str) -> Iterator[ServerProcess]:
        """A Griot worker that has run its first jobs; all data is deleted afterwards."""
        name = f"worker-{self.new_run()}"
        worker = self.griot.worker(*options, name=name, **settings)
        try:
            self.producer.burst("chat", [f"{name}-{i}" for i in range(WARM_UP_JOBS)])
            yield worker
        finally:
            worker.kill()
            self.forget()

    @contextmanager
    def celery_worker(self, kind: str, dbs: tuple[int, int]) -> Iterator[ServerProcess]:
        """A plain Celery worker for `bench.peers.<kind>` on Celery's threads pool."""
        worker = ServerProcess(
            self._celery_command(kind, dbs),
            log_path=self.directory / f"{kind}.log",
            cwd=self.directory,
            env=self.griot.env,
            name=kind,
        )
        with worker:
            self.producer.burst(kind, [f"warm-{i}" for i in range(WARM_UP_JOBS)])
            yield worker
            worker.kill()

    @contextmanager
    def lean_peer(self) -> Iterator[LeanPeer]:
        """taskiq's worker, which has run its first jobs, and its producer."""
        url = self.valkey.url(LEAN_DB)
        with lean_peer(url, self.griot.env, self.directory, concurrency=CONCURRENCY) as peer:
            peer.burst([f"warm-{i}" for i in range(WARM_UP_JOBS)])
            yield peer

    def seed_chat(self, sessions: Sequence[str], amount: int = HISTORY_MESSAGES) -> None:
        """Give Griot's sessions a history of `amount` messages."""
        records = [encode_message(message, 1 << 20) for message in stored(amount)]
        self._seed(0, [self.keyspace.session(AGENT, one).history for one in sessions], records)

    def seed_plain(self, sessions: Sequence[str]) -> None:
        """Give the plain job's sessions the same history."""
        self._seed(PLAIN_DBS[0], [history_key(one) for one in sessions], _plain_records())

    def seed_lean(self, sessions: Sequence[str]) -> None:
        """Give the sessions of taskiq's job the same history."""
        self._seed(LEAN_DB, [f"lean:{one}" for one in sessions], _plain_records())

    def forget(self) -> None:
        """Empty Valkey and the model's log of calls."""
        self.valkey.command("FLUSHALL")
        self.model.reset()

    def meter(self, worker: ServerProcess) -> Meter:
        """What `worker` uses."""
        return Meter(worker.pid)

    def history(self, agent_id: str, session_id: str) -> list[dict[str, object]]:
        """What Griot has stored of a session's conversation."""
        key = self.keyspace.session(agent_id, session_id).history
        with self.client(0) as client:
            return [orjson.loads(record) for record in client.lrange(key, 0, -1)]

    def redis_cpu_s(self) -> float:
        """CPU seconds that the server has used so far, user and system, all threads."""
        with self.client(0) as client:
            found = client.info("cpu")
        return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])

    def client(self, db: int) -> redis.Redis:
        """A client of one of the dbs, for setting up."""
        return redis.Redis.from_url(self.valkey.url(db))

    def _seed(self, db: int, keys: Sequence[str], records: Sequence[bytes]) -> None:
        with self.client(db) as client, client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.rpush(key, *records)
                pipe.expire(key, 86_400)
            pipe.execute()

    def _celery_command(self, kind: str, dbs: tuple[int, int]) -> tuple[str, ...]:
        broker, results = (self.valkey.url(db) for db in dbs)
        where = ("-A", f"bench.peers.{kind}", "--broker", broker, "--result-backend", results)
        pool = ("--pool", "threads", "--concurrency", str(CONCURRENCY))
        quiet = ("--without-gossip", "--without-mingle", "--hostname", f"{kind}@%h")
        return (sys.executable, "-m", "celery", *where, "worker", *pool, *quiet)


def _plain_records() -> list[bytes]:
    return [encode_message(message, 1 << 20) for message in messages()]
