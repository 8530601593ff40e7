"""No password or key is in what Griot's processes print, report or answer, at any level."""

from collections.abc import Iterator

import pytest

from llm import LLMSettings
from memory import MemorySettings
from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.support.machine import scaled
from tests.support.warm.python import run_python, warm
from tests.support.web_users import WEB_USERS
from worker.settings import FlowerAccess

MARK = "geheim"
SECRETS = {
    name: f"{MARK}-{number:04}"
    for number, name in enumerate(
        ("REDIS_PASSWORD", "REDIS_SENTINEL_PASSWORD", "OLLAMA_API_KEY", "FLOWER_AUTH")
    )
} | {
    "OLLAMA_HEADERS": f"X-Key={MARK}-0010",
    "FLOWER_BASIC_AUTH": f"operator:{MARK}-0011",
    "WEB_USERS": f"{WEB_USERS},third={MARK}-0012-of-the-third",
}
PASSWORD = f"{MARK}-0020"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GriotStack]:
    """Processes with every secret there is, at a server that asks for its password."""
    with (
        ValkeyServer(password=PASSWORD) as server,
        OllamaStandIn() as ollama,
        GriotStack(
            tmp_path_factory.mktemp("secrets"),
            redis_url=f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0",
            ollama_url=ollama.url,
            settings={**SECRETS, "LOG_LEVEL": "DEBUG"},
            starter=warm,
        ) as stack,
    ):
        yield stack
        stack.stop(grace_s=0)


@pytest.fixture(scope="module")
def worker(guarded: GriotStack) -> ServerProcess:
    """A worker that logs everything."""
    return guarded.worker("--loglevel=DEBUG")


def run(stack: GriotStack, *command: str, said: str = "") -> str:
    """All that a command prints."""
    done = run_python(
        "-m", *command, env=stack.env, cwd=stack.directory, timeout_s=scaled(60), said=said
    )
    return done.stdout + done.stderr


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("command", "shows"),
    [
        (("celery", "-A", "worker", "report"), "broker_url"),
        (("celery", "-A", "worker", "inspect", "conf"), "accept_content"),
        (("worker.cli", "check", "--json"), "redis"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_no_secret_is_printed(guarded: GriotStack, command: tuple[str, ...], shows: str) -> None:
    """By none of the commands that people paste into a report."""
    told = run(guarded, *command)
    assert shows in told, told
    assert MARK not in told


def test_no_secret_is_logged(guarded: GriotStack, worker: ServerProcess) -> None:
    """By a worker at DEBUG that does a job; nor is one in its command line."""
    assert "You said" in run(guarded, "worker.cli", "chat", "energy", "s", said="Hello\n")
    assert worker.log_text()
    assert MARK not in worker.log_text()


def test_no_secret_is_in_the_repr_of_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a debugger, a traceback with locals or a log line shows of them."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    for kind in (MemorySettings, LLMSettings, FlowerAccess):
        made = kind()
        assert MARK not in f"{made!r}{made}{made.model_dump()!r}", kind
