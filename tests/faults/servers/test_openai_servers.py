"""Model servers of both dialects behind one worker: an Ollama, and an OpenAI-compatible engine."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.waiting import elapsed, wait_until
from tests.support.warm.piped import piped_python
from tests.support.warm.python import warm

MODEL = "delay"
"""One that both list."""
OF_OLLAMA, OF_ENGINE = 1, 3
"""Slots."""
CLIENT = """
import json, sys
from memory import create_redis_memory_from_config
from tasks import chat_task, follow_job
sent = {
    f"s{s}": [chat_task.delay("energy", f"s{s}", f"no. {n}", model=sys.argv[1]) for n in range(2)]
    for s in range(12)
}
print("sent", flush=True)
found = {s: [job.get(timeout=90) for job in jobs] for s, jobs in sent.items()}
memory = create_redis_memory_from_config()
endless = chat_task.delay("energy", "endless", "go on", model="endless")
follower = follow_job(endless.id)
for event in follower:
    if event.type == "token":
        break
chat_task.cancel(endless.id)
print(json.dumps({
    "attempts": sorted({result["attempt"] for results in found.values() for result in results}),
    "servers": sorted({result["server"] for results in found.values() for result in results}),
    "asked": {
        s: [
            message["content"]
            for message in memory.get_conversation_history("energy", s)
            if message["role"] == "user"
        ]
        for s in sent
    },
    "last": [event.type for event in follower][-1],
}))
"""


@pytest.fixture
def ollama() -> Iterator[OllamaStandIn]:
    """The one that is asked by its own protocol."""
    with OllamaStandIn(num_parallel=OF_OLLAMA) as server:
        yield server


@pytest.fixture
def engine() -> Iterator[OllamaStandIn]:
    """The one that is asked by OpenAI's."""
    with OllamaStandIn(num_parallel=8) as server:
        yield server


@pytest.fixture
def stack(tmp_path: Path, ollama: OllamaStandIn, engine: OllamaStandIn) -> Iterator[GriotStack]:
    """One worker for both."""
    servers = tmp_path / "servers.toml"
    servers.write_text(
        f'[[server]]\nurl = "{ollama.url}"\nslots = {OF_OLLAMA}\n'
        f'[[server]]\nurl = "{engine.url}/v1"\ndialect = "openai"\nkey = "k"\nslots = {OF_ENGINE}\n'
    )
    with (
        ValkeyServer() as redis,
        GriotStack(
            tmp_path,
            redis_url=redis.url(),
            ollama_url=ollama.url,
            settings={**FAST, "OLLAMA_SERVERS": str(servers)},
            starter=warm,
        ) as made,
    ):
        made.worker()
        yield made


def test_an_engine_dies_under_load_and_comes_back(
    stack: GriotStack, ollama: OllamaStandIn, engine: OllamaStandIn, tmp_path: Path
) -> None:
    """Both answer, in order, within the slots of each; a cancel reaches either."""
    client = piped_python("-c", CLIENT, MODEL, env=stack.env, cwd=tmp_path)
    with client:
        assert client.stdout is not None
        assert client.stdout.readline() == "sent\n"
        wait_until(lambda: engine.stats.active == OF_ENGINE, what="the engine is busy")
        engine.stop()
        wait_until(elapsed(1), what="the engine is away")
        engine.start()
        answer, trouble = client.communicate(timeout=scaled(100))
    assert client.returncode == 0, trouble[-3000:]
    found = json.loads(answer)
    assert found["attempts"] == [1]
    assert found["servers"] == sorted([ollama.url[7:], f"{engine.url[7:]}/v1"])
    assert set(map(tuple, found["asked"].values())) == {("no. 0", "no. 1")}
    assert found["last"] == "cancelled"
    assert ollama.stats.peak <= OF_OLLAMA
    assert engine.stats.peak <= OF_ENGINE
    wait_until(lambda: ollama.stats.active + engine.stats.active == 0, what="no call is left")
