"""`python -m tests.support.faults.cancel_churn --cancels 20000 --seed 7`: random cancels.

Users send and take back, waiting and running jobs, at random moments, keeping or discarding, some
of them twice. Then nothing may be left: no open request at the model, no stuck connection in the
worker, no session that does not go on, and what the histories have must be what the cancels said.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from celery.states import READY_STATES, REVOKED, SUCCESS

from memory import EventType, StopPolicy, events
from memory.records.event import Event
from sandbox.process import ServerProcess
from tasks import CancelOutcome, chat_task
from tests.support.faults.rig import Rig, new_rig
from tests.support.faults.sender import AGENT_ID
from tests.support.machine import scaled
from tests.support.waiting import elapsed, wait_until

CANCELS = 2000
USERS, SESSIONS_EACH = 8, 4
SLOTS = 24
PATIENCE_S = scaled(60.0)
MODELS = ("instant", "delay:20ms", "slow-tokens:20x5ms", "endless:x5ms", "hang", "stall")
NEVER_ENDS = frozenset({"endless:x5ms", "hang", "stall"})
ENDINGS = {EventType.DONE, EventType.CANCELLED, EventType.FAILED}


@dataclass(slots=True)
class SentJob:
    """A job, and what the last cancel of it that did not come twice has answered."""

    job_id: str
    message: str
    is_endless: bool
    outcome: CancelOutcome | None = None
    policy: StopPolicy | None = None


class User:
    """Someone who sends to some sessions, and takes back most of it. Used by one thread."""

    def __init__(self, rig: Rig, name: str, seed: float, cancels: int) -> None:
        self.jobs: dict[str, list[SentJob]] = {f"{name}-{n}": [] for n in range(SESSIONS_EACH)}
        self.counts: Counter[str] = Counter()
        self._rig = rig
        self._rng = random.Random(seed)
        self._left = cancels

    def run(self) -> None:
        """Send and cancel until so many cancels are made."""
        while self._left > 0:
            session_id = self._rng.choice(list(self.jobs))
            batch = [self._send(session_id) for _ in range(self._rng.randrange(1, 5))]
            for job in self._rng.sample(batch, len(batch) // 2):
                self._cancel_within(job, 0.02)
            for job in batch:
                # One that would never end must be taken back; of the others most are.
                if job.outcome is None and (job.is_endless or self._rng.random() < 0.6):
                    self._wait_running(session_id, job)
                    self._cancel_within(job, 0.06)

    def _send(self, session_id: str) -> SentJob:
        model = self._rng.choice(MODELS)
        message = f"{session_id} no. {len(self.jobs[session_id])}"
        sent = chat_task.delay(AGENT_ID, session_id, message, model=model)
        job = SentJob(sent.id, message, model in NEVER_ENDS)
        self.jobs[session_id].append(job)
        return job

    def _wait_running(self, session_id: str, job: SentJob) -> None:
        keys, job_id = self._rig.keys(session_id), job.job_id
        observer = self._rig.observer
        wait_until(
            lambda: (
                observer.hget(keys.lease, "job") == job_id.encode()
                or observer.zscore(keys.queue, job_id) is None
            ),
            timeout_s=PATIENCE_S,
            what=f"{job} runs, or is over",
        )

    def _cancel_within(self, job: SentJob, at_most_s: float) -> None:
        wait_until(elapsed(self._rng.random() * at_most_s), what="the user thinks")
        job.policy = self._rng.choice(tuple(StopPolicy))
        job.outcome = chat_task.cancel(job.job_id, job.policy.value)
        self.counts[job.outcome] += 1
        self._left -= 1
        if self._rng.random() < 0.1:
            again = chat_task.cancel(job.job_id, job.policy.value)
            assert again is not CancelOutcome.CANCELLED, f"{job.job_id} was {job.outcome} before"


class Churn:
    """One worker, and users that cancel."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self._rig = rig
        self._rng = random.Random(seed)
        self.worker: ServerProcess = rig.worker(name="churned", WORKER_CONCURRENCY=str(SLOTS))
        self.counts: Counter[str] = Counter()

    def run(self, cancels: int) -> None:
        """Make so many cancels, then look at everything. Raises AssertionError."""
        name = f"u{self._rng.randrange(10**9)}"
        each = -(-cancels // USERS)
        users = [User(self._rig, f"{name}-{n}", self._rng.random(), each) for n in range(USERS)]
        with ThreadPoolExecutor(USERS) as threads:
            for user in [threads.submit(user.run) for user in users]:
                user.result()
        for user in users:
            self.counts += user.counts
            for session_id, jobs in user.jobs.items():
                self._wait_drained(session_id, len(jobs))
        self._rig.wait_active(0, timeout_s=2)
        for user in users:
            for session_id, jobs in user.jobs.items():
                self._check(session_id, jobs)
        self._use_all_places([session_id for user in users for session_id in user.jobs])
        self._rig.ollama.reset()

    def _wait_drained(self, session_id: str, count: int) -> None:
        keys = self._rig.keys(session_id)
        wait_until(
            lambda: (
                self._rig.observer.zcard(keys.queue) == 0
                and self._rig.observer.zcard(keys.done) == count
            ),
            timeout_s=PATIENCE_S,
            what=f"every job of {session_id} is over",
        )

    def _check(self, session_id: str, jobs: Sequence[SentJob]) -> None:
        (dump,) = (self._rig.dump(session_id),)
        turns: dict[str, list[dict[str, object]]] = {}
        for message in dump.history:
            turns.setdefault(str(message["job_id"]), []).append(message)
        order = [job.job_id for job in jobs if job.job_id in turns]
        assert list(turns) == order, f"{session_id}: turns out of order"
        asked = [message for message in dump.history if message["role"] == "user"]
        assert len(asked) == len(turns), f"{session_id}: a turn twice"
        told = Counter(event.job_id for event in self._told(session_id) if event.type in ENDINGS)
        for job in jobs:
            self._check_job(job, turns.get(job.job_id))
            assert told[job.job_id] == 1, f"{job.job_id}: {told[job.job_id]} endings were told"

    def _check_job(self, job: SentJob, turn: list[dict[str, object]] | None) -> None:
        is_marked = turn is not None and all(part.get("cancelled") for part in turn)
        match job.outcome:
            case None | CancelOutcome.DONE:
                is_right = turn is not None and not is_marked and len(turn) == 2
            case CancelOutcome.STOPPING if job.policy is StopPolicy.KEEP:
                is_right = turn is not None and (is_marked or len(turn) == 2)
            case CancelOutcome.STOPPING:
                # It may have been committed at the very moment.
                is_right = turn is None or (not is_marked and len(turn) == 2)
            case _:
                is_right = turn is None
        assert is_right, f"{job}: {turn}"
        expected = SUCCESS if turn is not None and not is_marked else REVOKED
        found = chat_task.AsyncResult(job.job_id)
        wait_until(lambda: found.state in READY_STATES, timeout_s=5, what=f"{job} has a result")
        assert found.state == expected, f"{job}: {found.state} {found.result}"

    def _told(self, session_id: str) -> list["Event"]:
        told, cursor = list["Event"](), events.FROM_START
        while found := self._rig.connection.run(
            events.read_now(events.stream_of(self._rig.keys(session_id)), cursor)
        ):
            told += found
            cursor = found[-1].cursor
        return told

    def _use_all_places(self, session_ids: Sequence[str]) -> None:
        """Every session goes on, and the worker makes as many calls at once as ever."""
        chosen = session_ids[:SLOTS]
        held = [chat_task.delay(AGENT_ID, one, "hold", model="hang") for one in chosen]
        self._rig.wait_active(SLOTS, timeout_s=PATIENCE_S)
        for job in held:
            assert chat_task.cancel(job.id) is CancelOutcome.STOPPING
        self._rig.wait_active(0, timeout_s=2)
        later = [chat_task.delay(AGENT_ID, one, "and now?", model="instant") for one in session_ids]
        for job in later:
            assert "and now?" in job.get(timeout=PATIENCE_S)["response"]
        assert self.worker.is_running, self.worker.log_tail()


def main() -> None:
    """Read the arguments, run, and say with which seed."""
    parser = argparse.ArgumentParser(prog="tests.support.faults.cancel_churn", description=__doc__)
    parser.add_argument("--cancels", type=int, default=10 * CANCELS)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    sys.stdout.write(f"{given.cancels} cancels with --seed {given.seed}\n")
    sys.stdout.flush()
    with (
        tempfile.TemporaryDirectory(prefix="griot-churn-") as directory,
        new_rig(Path(directory)) as rig,
    ):
        churn, began = Churn(rig, given.seed), time.monotonic()
        for _ in range(0, given.cancels, CANCELS):
            churn.run(min(CANCELS, given.cancels))
            sys.stdout.write(f"{time.monotonic() - began:.0f} s: {dict(churn.counts)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
