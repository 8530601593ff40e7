"""How long an agent's sessions are kept, at every door that says so to Redis."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from memory.lifetimes import UNTIL_ERASED_S
from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.warm.python import run_python, warm

PROFILES = """
[agents.keeper]
ttl = 0
[agents.brief]
ttl = "2h"
"""
SENDER = """
from tasks import chat_task

job = chat_task.delay("keeper", "cancelled", "hello")
chat_task.cancel(job.id)
chat_task.delay("keeper", "waiting", "hello")
chat_task.delay("brief", "waiting", "hello")
"""
ANSWERED = """
from memory import get_redis_memory
from tasks import chat_task

before = [{"role": "user", "content": "hello"}]
get_redis_memory().save_conversation_history("brief", "long", before, ttl=90_000)
for agent, session in (("keeper", "waiting"), ("brief", "waiting"), ("brief", "long")):
    chat_task.delay(agent, session, "and then?").get(timeout=60)
"""
SLACK_S = 600


@pytest.fixture(scope="module")
def stack(
    valkey: ValkeyServer, ollama: OllamaStandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GriotStack]:
    """Processes whose agents keep sessions for different times."""
    profiles = tmp_path_factory.mktemp("profiles") / "profiles.toml"
    profiles.write_text(PROFILES)
    settings = {**FAST, "AGENT_PROFILES": str(profiles)}
    logs = tmp_path_factory.mktemp("logs")
    with GriotStack(
        logs, redis_url=valkey.url(), ollama_url=ollama.url, settings=settings, starter=warm
    ) as made:
        yield made
        made.stop(grace_s=0)


def test_each_door_gives_a_session_the_time_of_its_agent(
    stack: GriotStack, valkey: ValkeyServer, tmp_path: Path
) -> None:
    """Sending, cancelling, the live events and the commit; a longer time that was given stays."""

    def ttl(kind: str, agent: str, session: str) -> int:
        history = f"ecowas:history:{agent}:{session}"
        key = history if kind == "history" else f"ecowas:{kind}:{{{history}}}"
        return int(str(valkey.command("TTL", key)))

    def is_about(found_s: int, wanted_s: int) -> bool:
        return wanted_s - SLACK_S < found_s <= wanted_s

    def run(program: str) -> None:
        done = run_python("-c", program, env=stack.env, cwd=tmp_path, timeout_s=scaled(90))
        assert done.returncode == 0, done.stderr

    run(SENDER)
    for session in ("cancelled", "waiting"):
        assert is_about(ttl("events", "keeper", session), UNTIL_ERASED_S)
    assert is_about(ttl("events", "brief", "waiting"), 7200)
    stack.worker()
    run(ANSWERED)
    for kind in ("history", "events"):
        assert is_about(ttl(kind, "keeper", "waiting"), UNTIL_ERASED_S)
        assert is_about(ttl(kind, "brief", "waiting"), 7200)
    assert is_about(ttl("history", "brief", "long"), 90_000)
