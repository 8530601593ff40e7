"""Who turns the check of certificates off is told so in the log of each process, at its start."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tests.support.waiting import wait_until
from tests.support.warm.python import warm

SECRET = "0123456789abcdef"  # noqa: S105 - nobody's
UNCHECKED = "ssl_cert_reqs=none"
SERVERS = {"redis": "REDIS_URL", "broker": "CELERY_BROKER_URL", "results": "CELERY_RESULT_BACKEND"}
COMMANDS = ("worker", "beat", "flower")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ServerProcess]]:
    """One process of each kind; their servers are down, so none gets further than its start."""
    directory: Path = tmp_path_factory.mktemp("unchecked")
    port = free_port()
    settings = {
        name: f"rediss://:{SECRET}@localhost:{port}/{db}?{UNCHECKED}"
        for db, name in enumerate(SERVERS.values())
    }
    stack = GriotStack(
        directory,
        redis_url=settings["REDIS_URL"],
        ollama_url=f"http://localhost:{port}",
        settings={**settings, "REDIS_TIMEOUT": "0.5", "FLOWER_PORT": str(free_port())},
    )
    with ExitStack() as running:
        yield {
            command: running.enter_context(
                ServerProcess(
                    (sys.executable, "-m", "celery", "-A", "worker", command),
                    log_path=directory / f"{command}.log",
                    cwd=directory,
                    env=stack.env_of(command),
                    name=command,
                    starter=warm,
                )
            )
            for command in COMMANDS
        }


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_process_warns_of_a_certificate_that_nobody_checks(
    started: dict[str, ServerProcess], command: str, server: str
) -> None:
    """In one line of its log, with its level, the setting to mend, and no password."""

    def lines() -> list[str]:
        said = started[command].log_text().splitlines()
        return [line for line in said if f"{server} security: TLS to localhost" in line]

    wait_until(lines, timeout_s=30, what=f"{command} warns of {server}")
    (line,) = lines()
    assert UNCHECKED in line
    assert f"remove that from {SERVERS[server]}" in line
    assert "WARNING" in line or line.startswith("[W")
    assert SECRET not in started[command].log_text()
