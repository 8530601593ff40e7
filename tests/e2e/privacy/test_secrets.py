"""What opens a server is shown by no process and by no command, also where all is logged."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.warm.python import run_python

REDIS, OLLAMA, SENTINELS = "secret-of-redis/1#@?%", "secret-of-ollama", "secret-of-sentinels"
BARE = ("secret-of-", "2F1%23")
"""Of a secret as it is and as it stands in an address."""

CELERY = ("celery", "-A", "worker")
COMMANDS: dict[str, Sequence[str]] = {
    "celery report": (*CELERY, "report"),
    "inspect conf": (*CELERY, "inspect", "conf", "--json"),
    "inspect stats": (*CELERY, "inspect", "stats", "--json"),
    "griot check": ("worker.cli", "check"),
    "griot status": ("worker.cli", "status"),
}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A server with a password that has to be escaped."""
    with ValkeyServer(None, tmp_path_factory.mktemp("valkey"), password=REDIS) as server:
        yield server


@pytest.fixture(scope="module")
def stack(locked: ValkeyServer, ollama: OllamaStandIn, logs: Path) -> Iterator[GriotStack]:
    """Processes with secrets in each setting that has one, and two addresses of the broker."""
    settings = {
        **FAST,
        "CELERY_BROKER_URL": f"{locked.url(1)};{locked.url(1).replace('127.0.0.1', 'localhost')}",
        "OLLAMA_API_KEY": OLLAMA,
        "OLLAMA_HEADERS": f"X-Key={OLLAMA}",
        "REDIS_SENTINEL_PASSWORD": SENTINELS,
    }
    with GriotStack(
        logs, redis_url=locked.url(), ollama_url=ollama.url, settings=settings
    ) as started:
        yield started
        started.stop(grace_s=0)


@pytest.fixture(scope="module")
def worker(stack: GriotStack) -> ServerProcess:
    """A worker that logs everything."""
    return stack.worker("--loglevel=DEBUG")


@pytest.fixture(scope="module")
def told(stack: GriotStack, worker: ServerProcess) -> dict[str, str]:
    """What each command says, and the worker."""
    ended = {
        name: run_python("-m", *command, env=stack.env, cwd=stack.directory, timeout_s=scaled(60))
        for name, command in COMMANDS.items()
    }
    said = {name: one.stdout + one.stderr for name, one in ended.items()}
    process = psutil.Process(worker.pid)
    titles = [[one.name(), *one.cmdline()] for one in (process, *process.children(recursive=True))]
    return {**said, "the log": worker.log_text(), "process titles": repr(titles)}


SHOWN = {
    "celery report": "broker_url",
    "inspect conf": "broker_url",
    "inspect stats": "virtual_host",
    "griot check": "Broker",
    "griot status": "worker",
    "the log": "ready.",
    "process titles": "griot",
}


@pytest.mark.parametrize("place", SHOWN)
def test_no_secret_is_shown(place: str, told: dict[str, str]) -> None:
    """Neither as it is nor as it stands in an address; and what is there is the right thing."""
    assert SHOWN[place].lower() in told[place].lower()
    assert [part for part in BARE if part in told[place]] == []
