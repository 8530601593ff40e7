"""What an import brings along: what import-linter cannot see, because only running shows it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.machine import scaled

ROOT = Path(__file__).resolve().parents[3]

QUIET = """
import sys, threading

FORBIDDEN = (
    "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg",
    "subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system",
    "os.mkdir", "os.remove", "os.rename", "shutil.rmtree",
)
seen = []

def watch(event, arguments):
    if event in FORBIDDEN:
        seen.append((event, arguments))
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        seen.append((event, arguments))

sys.dont_write_bytecode = True
sys.addaudithook(watch)
import {package}
assert not seen, seen
assert threading.active_count() == 1, threading.enumerate()
"""

WITHOUT_CELERY = """
brought = {"celery", "kombu", "billiard", "vine"} & set(sys.modules)
assert not brought, brought
"""

WITHOUT_A_WEB_FRAMEWORK = """
brought = {"fastapi", "starlette", "uvicorn"} & set(sys.modules)
assert not brought, brought
"""


def run(program: str) -> None:
    """Run it in a process of its own, with an address at which nothing listens."""
    environment = {"PATH": "", "REDIS_URL": "redis://192.0.2.1:1/0", "HOME": "/"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=scaled(50),
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["memory", "llm", "agents"])
def test_the_ground_does_without_celery(package: str) -> None:
    """They can be installed and used without it, and start faster; and as quietly as the rest."""
    run(QUIET.format(package=package) + WITHOUT_CELERY)


def test_an_import_asks_nobody_and_starts_nothing() -> None:
    """No connection, no name looked up, no file written, no thread: a producer may not need any."""
    run(QUIET.format(package="tasks.aio"))  # with tasks


def test_a_command_does_without_the_gateways_libraries() -> None:
    """`griot serve` alone pays for them, a quarter of a second, when it has been asked for."""
    run("import sys, worker.cli" + WITHOUT_A_WEB_FRAMEWORK)
