"""The archive with real processes: a session leaves Redis, comes back, and is erased as a whole."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from tests.support.warm.python import run_python, warm

HISTORY = "ecowas:history:energy:s"
KEPT_S = 2
ASK = """
import json, sys
from tasks import chat_task

job = chat_task.delay("energy", "s", sys.argv[1], metadata={"user_id": "ama"})
print(json.dumps(job.get(timeout=60)))
"""


@pytest.fixture(scope="module")
def stack(
    valkey: ValkeyServer, ollama: OllamaStandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GriotStack]:
    """Processes with an archive, which keep sessions for two seconds."""
    archive = tmp_path_factory.mktemp("archive") / "griot.db"
    settings = {
        **FAST,
        "ARCHIVE_URL": f"sqlite:///{archive}",
        "ARCHIVE_EVERY": "0.3",
        "REDIS_MEMORY_TTL": str(KEPT_S),
        "MEMORY_EXTEND_EVERY": "3600",
    }
    logs = tmp_path_factory.mktemp("logs")
    with GriotStack(
        logs, redis_url=valkey.url(), ollama_url=ollama.url, settings=settings, starter=warm
    ) as made:
        made.worker()
        made.maintenance()
        made.beat()
        yield made
        made.stop(grace_s=0)


def test_a_session_comes_back_from_the_archive(
    stack: GriotStack, valkey: ValkeyServer, tmp_path: Path
) -> None:
    """With the receipt saying so; `griot erase user` then leaves nothing of it anywhere."""

    def griot(*arguments: str) -> str:
        done = run_python(
            "-m", "worker.cli", *arguments, env=stack.env, cwd=tmp_path, timeout_s=scaled(60)
        )
        assert done.returncode in {0, 1}, done.stderr  # `check` finds no beat of this machine
        return done.stdout

    def ask(message: str) -> dict[str, object]:
        done = run_python("-c", ASK, message, env=stack.env, cwd=tmp_path, timeout_s=scaled(90))
        assert done.returncode == 0, done.stderr
        result: dict[str, object] = json.loads(done.stdout)
        return result

    def leaves_redis() -> None:
        wait_until(
            lambda: valkey.command("EXISTS", HISTORY) == 0,
            timeout_s=scaled(30),
            what="the session is archived",
        )

    ask("first question")
    leaves_redis()
    assert json.loads(griot("archive", "show", "energy", "s"))[0]["content"] == "first question"
    (listed,) = json.loads(griot("archive", "list", "energy", "--json"))
    assert (listed["session_id"], listed["messages"]) == ("s", 2)
    assert "s" in griot("archive", "list", "energy").split()
    again = ask("second question")
    receipt = again["receipt"]
    assert isinstance(receipt, dict)
    assert receipt["read_back"] == again["history_messages"] == 2
    leaves_redis()
    content = json.loads(griot("archive", "--json"))["content"]
    assert (content["conversations"], content["messages"]) == (1, 4)
    exported = [json.loads(line) for line in griot("export", "session", "energy", "s").splitlines()]
    assert [one["kind"] for one in exported].count("message") == 4
    assert json.loads(griot("status", "--json"))["archive"]["error"] == ""
    found = {one["check"]: one for one in json.loads(griot("check", "--json"))}
    assert "histories go to" in found["archive"]["found"]

    erased = json.loads(griot("erase", "user", "ama", "--json"))
    assert erased["sessions"][0]["kept"]["messages"] == 4
    assert json.loads(griot("archive", "--json"))["content"]["messages"] == 0
    third = ask("third question")
    assert third["history_messages"] == 0
    assert "read_back" not in dict(third["receipt"])  # type: ignore[call-overload]


def test_a_conversation_of_which_redis_has_nothing_is_deleted_over_http(
    stack: GriotStack, valkey: ValkeyServer
) -> None:
    """Its own data expire, and what was said in it is in the archive: whoever said it may have it
    erased. What nobody has said is not found."""
    _, url = stack.gateway()
    with httpx.Client(base_url=f"{url}/v1", trust_env=False, timeout=scaled(30)) as http:
        made = http.post("/conversations", json={}).json()["id"]
        asked = {"model": "energy", "input": "canary", "conversation": made}
        assert http.post("/responses", json=asked).status_code == 200
        key = f"ecowas:history:energy:{made}"
        wait_until(
            lambda: (
                http.get(f"/conversations/{made}").status_code == 404
                and valkey.command("EXISTS", key) == 0
            ),
            timeout_s=scaled(30),
            what="the conversation is in the archive only",
        )
        assert http.delete(f"/conversations/{made}").json()["deleted"] is True
        assert http.delete(f"/conversations/{made}").status_code == 404
        assert http.delete("/conversations/conv_no").status_code == 404
