"""`python -m tests.support.faults.soak --minutes 10 --seed 7`: random faults, round after round.

In each round producers talk to new sessions while workers are killed and frozen, Redis is killed,
messages are lost and doubled and the model fails; then the faults stop, every mailbox must drain,
and all invariants are asserted. The same seed gives the same faults, not the same moments. Ends
with status 1 at the first violation, or if the worker that is never killed has grown.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sandbox.process import ServerProcess
from tests.conftest import LEASE_S
from tests.support.faults.rig import Rig, new_rig
from tests.support.faults.sender import Sender
from tests.support.faults.soak_page import Round, html
from tests.support.waiting import elapsed, wait_until

SESSIONS, JOBS = 12, 25
PRODUCERS = 4
PAUSE_S = 0.08
FROZEN_S = 1.5 * LEASE_S
VICTIMS = ("victim-1", "victim-2")
MODELS = ("instant", "delay:10ms", "delay:60ms", "slow-tokens:20x5ms", "slow-tokens:60x10ms")
FAILURES = ("busy-503", "gone-500", "error-line", "no-done", "cut", "reset", "close")
# Killed attempts count, and here jobs may be killed again and again without being to blame.
WORKER = {"CHAT_MAX_ATTEMPTS": "100", "WORKER_CONCURRENCY": "8"}
WARM_ROUNDS = 2
MAX_GROWTH_BYTES = 15_000_000
MAX_GROWTH_FILES = 15
# What kombu 5.7.0 keeps of a connection that was lost with messages under way, at most.
KEPT_PER_LOSS_BYTES = 150_000


@dataclass(frozen=True)
class Footprint:
    """What a process holds; 0 where the system does not tell."""

    rss_bytes: int
    files: int

    @classmethod
    def of(cls, process: ServerProcess) -> "Footprint":
        """That of a running process, from /proc."""
        about = Path(f"/proc/{process.pid}")
        if not about.exists():
            return cls(0, 0)
        pages = int((about / "statm").read_text().split()[1])
        return cls(pages * 4096, len(list((about / "fd").iterdir())))


class Soak:
    """Rounds of seeded faults on one rig. `faults` counts what was done."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self.rng = random.Random(seed)
        self.faults: Counter[str] = Counter()
        self._rig = rig
        self.steady = rig.worker(name="steady", **WORKER)
        self._victims = [rig.worker(name=name, **WORKER) for name in VICTIMS]
        self._faults: tuple[Callable[[], None], ...] = (
            self._kill_worker,
            self._freeze_worker,
            self._kill_redis,
            self._lose_messages,
            self._double_messages,
            self._fail_model,
            self._forget_scripts,
        )

    def round(self, sessions: int = SESSIONS, *, drain_s: float = 60.0) -> int:
        """One round; how many model calls it took. Raises AssertionError on a violation."""
        sender = Sender()
        with ThreadPoolExecutor(PRODUCERS) as threads:
            producers = [
                threads.submit(self._converse, sender, session_id, self.rng.random())
                for session_id in sender.sessions(sessions)
            ]
            while not all(producer.done() for producer in producers):
                self._break_something()
            for producer in producers:
                producer.result()
        self._rig.ollama.script("*", [])
        # What lay in the queue meanwhile makes the sweepers that much more patient.
        self._rig.check(sender, timeout_s=drain_s, queue_wait_s=FROZEN_S)
        calls = self._rig.ollama.stats.requests
        self._rig.ollama.reset()
        return calls

    def _break_something(self) -> None:
        wait_until(elapsed(self.rng.uniform(0.05, 0.5)), what="it is time for a fault")
        fault = self.rng.choice(self._faults)
        self.faults[fault.__name__.lstrip("_")] += 1
        fault()

    def _converse(self, sender: Sender, session_id: str, seed: float) -> None:
        rng = random.Random(seed)
        for _ in range(JOBS):
            sender.insist(session_id, model=rng.choice(MODELS))
            wait_until(elapsed(rng.uniform(0, 2 * PAUSE_S)), what="the user has read the reply")

    def _kill_worker(self) -> None:
        """Kill the one that was started first; its successor starts while faults go on."""
        self._victims.append(self._victims.pop(0))
        self._victims[-1].kill()
        self._victims[-1].start()

    def _freeze_worker(self) -> None:
        frozen = self.rng.choice((self.steady, *self._victims))
        frozen.freeze()
        wait_until(elapsed(self.rng.uniform(0.1, FROZEN_S)), what="the worker wakes up")
        frozen.thaw()

    def _kill_redis(self) -> None:
        self._rig.valkey.kill()
        self._rig.valkey.start()

    def _lose_messages(self) -> None:
        for _ in range(self.rng.randrange(1, 4)):
            self._rig.broker("LPOP", "chat")

    def _double_messages(self) -> None:
        messages = self._rig.broker("LRANGE", "chat", 0, 5)
        if isinstance(messages, list) and messages:
            self._rig.broker("LPUSH", "chat", *messages)

    def _fail_model(self) -> None:
        self._rig.ollama.script("*", self.rng.choices(FAILURES, k=self.rng.randrange(1, 6)))

    def _forget_scripts(self) -> None:
        self._rig.valkey.command("SCRIPT", "FLUSH")


def assert_not_grown(before: Footprint, after: Footprint, losses: int) -> None:
    """Fail if a process holds more than noise and so many lost connections explain."""
    grown = (after.rss_bytes - before.rss_bytes, after.files - before.files)
    allowed_bytes = MAX_GROWTH_BYTES + losses * KEPT_PER_LOSS_BYTES
    assert grown[0] < allowed_bytes, f"the worker has grown by {grown[0]} bytes"
    assert grown[1] < MAX_GROWTH_FILES, f"the worker has {grown[1]} more open files"


def soak(directory: Path, rounds: list[Round], *, minutes: float, seed: int) -> None:
    """Rounds until the time is over, each noted in `rounds`. Raises AssertionError."""
    ends_at = time.monotonic() + 60 * minutes
    with new_rig(directory) as rig:
        soaking, warm = Soak(rig, seed), Footprint(0, 0)
        while time.monotonic() < ends_at or len(rounds) <= WARM_ROUNDS:
            before = soaking.faults.copy()
            calls = soaking.round()
            now = Footprint.of(soaking.steady)
            made = soaking.faults - before
            rounds.append(Round(SESSIONS * JOBS, calls, made, now.rss_bytes, now.files))
            warm = now if len(rounds) == WARM_ROUNDS else warm
            sys.stdout.write(
                f"round {len(rounds)}: {SESSIONS * JOBS} jobs, {calls} model calls, "
                f"{soaking.faults.total()} faults so far, worker {now.rss_bytes // 1_000_000} MB, "
                f"{now.files} files\n"
            )
            sys.stdout.flush()
        sys.stdout.write(f"faults: {dict(soaking.faults)}\n")
        assert soaking.steady.is_running, soaking.steady.log_tail()
        assert_not_grown(warm, now, soaking.faults["kill_redis"])


def main() -> None:
    """Read the arguments, run, and say with which seed."""
    parser = argparse.ArgumentParser(prog="tests.support.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with charts, too")
    given = parser.parse_args()
    began = f"soak for {given.minutes:g} minutes with --seed {given.seed}"
    sys.stdout.write(f"{began}\n")
    sys.stdout.flush()
    rounds: list[Round] = []
    verdict = "stopped by the error that the terminal shows"
    try:
        with tempfile.TemporaryDirectory(prefix="griot-soak-") as directory:
            soak(Path(directory), rounds, minutes=given.minutes, seed=given.seed)
        verdict = "every promise was kept"
    finally:
        if given.html is not None:
            given.html.write_text(html(f"{began}: {verdict}.", rounds), "utf-8")


if __name__ == "__main__":
    main()
