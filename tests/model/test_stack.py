"""Griot's own processes with a real Ollama: order, slots, cold loads, killed servers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import pytest

from llm.wire.reply import MOST_EQUAL_PIECES
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.support.servers.real_ollama import NoOllama, RealOllama, running_ollama
from tests.support.waiting import elapsed, wait_until

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]

SLOTS = 4
LONG = MOST_EQUAL_PIECES
"""As many tokens as none of these replies repeats itself within: a small model does so now and
then, and that is an attempt which counts."""

CLIENT = """
import json, sys
from memory import create_redis_memory_from_config
from tasks import chat_task
sessions, jobs, tokens = map(int, sys.argv[1:4])
sent = {
    f"s{s}": [
        chat_task.delay("energy", f"s{s}", f"no. {n}", max_tokens=tokens) for n in range(jobs)
    ]
    for s in range(sessions)
}
print("sent", flush=True)
results = {s: [job.get(timeout=300) for job in jobs] for s, jobs in sent.items()}
memory = create_redis_memory_from_config()
print(json.dumps({
    "attempts": [result["attempt"] for found in results.values() for result in found],
    "receipts": [result["receipt"] for found in results.values() for result in found],
    "asked": {
        s: [
            message["content"]
            for message in memory.get_conversation_history("energy", s)
            if message["role"] == "user"
        ]
        for s in sent
    },
}))
"""


class Talked(TypedDict):
    """What came of the jobs."""

    attempts: list[int]
    receipts: list[dict[str, object]]
    asked: dict[str, list[str]]


@dataclass(frozen=True)
class Rig:
    """A worker and a real Ollama."""

    stack: GriotStack
    ollama: RealOllama

    def talk(
        self,
        sessions: int,
        jobs: int = 1,
        tokens: int = 4,
        meanwhile: Callable[[], None] | None = None,
    ) -> Talked:
        """Have jobs answered; `meanwhile` is called when all are sent."""
        client = subprocess.Popen(
            (sys.executable, "-c", CLIENT, str(sessions), str(jobs), str(tokens)),
            env=self.stack.env, cwd=self.stack.directory, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        with client:
            assert client.stdout is not None
            assert client.stdout.readline() == "sent\n"
            if meanwhile is not None:
                meanwhile()
            answer, trouble = client.communicate()
        assert client.returncode == 0, trouble[-3000:]
        found: Talked = json.loads(answer)
        for asked in found["asked"].values():
            assert asked[-jobs:] == [f"no. {number}" for number in range(jobs)]
        return found


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One for the module; without a real Ollama its tests are skipped."""
    settings = {
        "OLLAMA_MODEL": "gemma",
        "OLLAMA_NUM_PARALLEL": str(SLOTS),
        "CHAT_LEASE_SECONDS": "5",
        "CHAT_SWEEP_SECONDS": "1",
        "CHAT_GRACE_SECONDS": "1",
    }
    directory = tmp_path_factory.mktemp("model")
    try:
        with (
            running_ollama(OLLAMA_NUM_PARALLEL=str(SLOTS)) as ollama,
            ValkeyServer() as redis,
            GriotStack(
                directory, redis_url=redis.url(), ollama_url=ollama.url, settings=settings
            ) as stack,
        ):
            stack.worker()
            yield Rig(stack, ollama)
    except NoOllama as exc:
        pytest.skip(str(exc))


def test_fifty_sessions_are_answered_in_order_on_four_slots(rig: Rig) -> None:
    """Each in its first attempt; the receipts have the server's own counts."""
    found = rig.talk(50, jobs=2)
    assert found["attempts"] == [1] * 100
    for receipt in found["receipts"]:
        counted, estimated = receipt["prompt_tokens"], receipt["estimated_prompt_tokens"]
        assert isinstance(counted, int)
        assert isinstance(estimated, int)
        assert 0.5 < estimated / counted < 2
        assert receipt["window_tokens"]


@pytest.mark.parametrize("at_work", ["replying", "loading"])
def test_a_server_that_is_killed_under_load_costs_nothing_but_time(rig: Rig, at_work: str) -> None:
    """kill -9, and back after five seconds: no attempt is counted, no job is lost."""
    if at_work == "loading":
        unload(rig.ollama)
    else:
        rig.talk(1)

    def kill() -> None:
        wait_until(elapsed(1), what="calls are under way")
        rig.ollama.process.kill()
        wait_until(elapsed(5), timeout_s=20, what="the server is away")
        rig.ollama.process.start()

    assert rig.talk(20, jobs=2, tokens=LONG, meanwhile=kill)["attempts"] == [1] * 40


def test_a_runner_that_is_killed_costs_its_calls_one_attempt_at_most(rig: Rig) -> None:
    """Ollama loads the model again."""

    def kill() -> None:
        wait_until(lambda: runners(rig.ollama), timeout_s=60, what="the model is loaded")
        wait_until(elapsed(1), what="calls are under way")
        for pid in runners(rig.ollama):
            os.kill(pid, signal.SIGKILL)

    assert max(rig.talk(8, tokens=LONG, meanwhile=kill)["attempts"]) <= 2


def test_a_model_that_has_gone_is_loaded_before_its_next_chat(rig: Rig) -> None:
    """As after a night: the load is no attempt and no time-out."""
    rig.talk(1)
    loads = rig.ollama.loads
    unload(rig.ollama)
    assert rig.talk(4)["attempts"] == [1] * 4
    assert rig.ollama.loads == loads + 1


def unload(ollama: RealOllama) -> None:
    """Return when no model is loaded any more."""
    for pid in runners(ollama):
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not runners(ollama), timeout_s=30, what="the runner has ended")


def runners(ollama: RealOllama) -> list[int]:
    """The processes of Ollama that hold a model; those of its own process group."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            pid = int(directory.name)
            try:
                is_ours = os.getpgid(pid) == ollama.process.pid
                command = (directory / "cmdline").read_bytes()
            except (ProcessLookupError, FileNotFoundError):
                continue
            if is_ours and b"llama-server" in command.split(b"\0")[0]:
                found.append(pid)
    return found
