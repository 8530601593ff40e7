"""The rights of docs/operations.md are enough, and `griot check` finds what lacks."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from sandbox.ollama import OllamaStandIn
from sandbox.resp import RespConnection
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.warm.python import run_python, warm

ROOT = Path(__file__).resolve().parents[3]
USER = "griot"
PASSWORD = "secret"  # noqa: S105  # of a server that lives for a test
CLIENT = """
from tasks import chat_task, follow_job
job = chat_task.delay("energy", "s", "hello")
assert [event.type for event in follow_job(job.id)][-1] == "done"
assert job.get(timeout=60)["response"]
"""

Findings = list[dict[str, str]]


def documented() -> list[str]:
    """The words behind `ACL SETUSER` in the documentation."""
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    found = re.search(r"^    ACL SETUSER ((?:.+\\\n)*.+)$", page, re.MULTILINE)
    assert found is not None
    return found[1].replace("\\\n", " ").split()


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A server that a restricted user is used on."""
    with ValkeyServer(append_only="everysec") as started:
        yield started


@pytest.fixture
def world(server: ValkeyServer, tmp_path: Path) -> Iterator[GriotStack]:
    """Processes that know no other user."""
    server.command("ACL", "SETUSER", *documented())
    with (
        OllamaStandIn() as ollama,
        GriotStack(
            tmp_path,
            redis_url=server.url().replace("redis://", f"redis://{USER}:{PASSWORD}@"),
            ollama_url=ollama.url,
            settings=FAST,
            starter=warm,
        ) as stack,
    ):
        yield stack
        stack.stop(grace_s=0)


def run(stack: GriotStack, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A process of this Python with the stack's settings."""
    return run_python(
        *command, env={**stack.env, **settings}, cwd=stack.directory, timeout_s=scaled(90)
    )


def check(stack: GriotStack, **settings: str) -> Findings:
    """What `griot check` finds that is not well."""
    done = run(stack, "-m", "worker.cli", "check", "--json", **settings)
    findings = cast(Findings, json.loads(done.stdout))
    return [one for one in findings if one["level"] != "ok"]


def test_the_documented_rights_are_enough(world: GriotStack, server: ValkeyServer) -> None:
    """For producer, followers, workers, beat, remote control and `griot check`; nothing was
    refused on the way."""
    processes = [world.worker(), world.maintenance(), world.beat()]
    done = run(world, "-c", CLIENT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert check(world) == []
    assert run(world, "-m", "worker.cli", "status").returncode == 0
    log = cast("list[object]", server.command("ACL", "LOG"))
    assert log == [], log
    for process in processes:
        assert "NOPERM" not in process.log_text()


MORE_RIGHTS = [
    (("resetchannels",), ("broker rights", "PSUBSCRIBE is refused")),
    (("-@scripting",), ("redis rights", "scripts and their commands: ")),
    (("-xadd",), ("redis rights", "scripts and their commands: ")),
    (("-multi",), ("broker rights", "transactions is refused")),
    (("-info",), ("redis", "refused the command")),
    (("-setex",), ("results rights", "SETEX is refused")),
]


@pytest.mark.parametrize(
    ("taken", "what"),
    [
        (("-blmpop",), ("broker rights", "BLMPOP is refused")),
        (("resetchannels",), ("results rights", "SUBSCRIBE is refused")),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in MORE_RIGHTS),
    ],
)
def test_a_right_that_lacks_is_named(
    world: GriotStack, server: ValkeyServer, taken: tuple[str, ...], what: tuple[str, str]
) -> None:
    """By doing what it is needed for; a new user of Redis 7 may use no channel."""
    server.command("ACL", "SETUSER", USER, *taken)
    found = check(world)
    name, text = what
    assert any(one["check"] == name and text in one["found"] for one in found), found
    assert all("Traceback" not in one["found"] for one in found)


def test_a_server_with_too_few_databases_is_named(tmp_path: Path) -> None:
    """Broker and results lie in the next two."""
    with (
        ValkeyServer(options={"databases": "1"}) as few,
        GriotStack(
            tmp_path, redis_url=few.url(), ollama_url="http://127.0.0.1:1", starter=warm
        ) as stack,
    ):
        found = {one["check"]: one["advice"] for one in check(stack)}
    for name in ("broker", "results"):
        assert "raise `databases` in redis.conf" in found[name]


def test_a_server_that_takes_no_more_clients_says_so(tmp_path: Path) -> None:
    """In one line with what to do, not as a server that cannot be reached."""
    with (
        ValkeyServer(options={"maxclients": "1"}) as full,
        GriotStack(
            tmp_path, redis_url=full.url(), ollama_url="http://127.0.0.1:1", starter=warm
        ) as stack,
        RespConnection(full.port),
    ):
        done = run(stack, "-m", "worker.cli", "sessions", "energy")
        found = {one["check"]: one["found"] for one in check(stack)}
    assert "has as many clients as it takes; raise its maxclients" in found["redis"]
    assert done.returncode == 1
    assert "raise its maxclients" in done.stderr
