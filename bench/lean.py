"""taskiq's worker and its producer as processes, where the group `bench-peers` is installed."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sandbox.process import ServerProcess

PACKAGES = Path(sys.prefix) / "bench-peers"
"""Where the group lies: no part of the environment, which it must not change."""
MISSING = "not installed: make bench-peers"


@dataclass(frozen=True, slots=True)
class LeanPeer:
    """A worker that runs, and a producer that sends to it."""

    worker: ServerProcess
    asks: IO[str]
    answers: IO[str]

    def burst(self, sessions: Sequence[str]) -> float:
        """Send a job to each session at once and fetch all results: seconds from first to last."""
        self.asks.write(json.dumps(list(sessions)) + "\n")
        self.asks.flush()
        answer = self.answers.readline()
        if not answer:
            raise RuntimeError("taskiq's producer has ended; lean-producer.log says why")
        return float(answer)


def is_installed() -> bool:
    """Whether taskiq is there."""
    return (PACKAGES / "taskiq").is_dir()


@contextmanager
def lean_peer(
    url: str, env: Mapping[str, str], directory: Path, *, concurrency: int
) -> Iterator[LeanPeer]:
    """One worker process, `concurrency` jobs at once; queue, results and histories at `url`."""
    path = f"{PACKAGES}:{env.get('PYTHONPATH', '')}"
    own_env = {**env, "PYTHONPATH": path, "LEAN_URL": url}
    options = ("--workers", "1", "--max-async-tasks", str(concurrency), "--log-level", "WARNING")
    worker = ServerProcess(
        (sys.executable, "-m", "taskiq", "worker", "bench.peers.lean:broker", *options),
        log_path=directory / "lean.log",
        cwd=directory,
        env=own_env,
        name="lean",
    )
    with (
        (directory / "lean-producer.log").open("w") as log,
        subprocess.Popen(
            (sys.executable, "-m", "bench.peers.lean_producer"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=directory,
            env=own_env,
        ) as producer,
    ):
        assert producer.stdin is not None
        assert producer.stdout is not None
        peer = LeanPeer(worker, producer.stdin, producer.stdout)
        peer.burst([])  # it has made the workers' group
        with worker:
            try:
                yield peer
            finally:
                producer.stdin.close()
                worker.kill()
