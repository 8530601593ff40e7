"""`griot agents`, and what commands say of an agent that nobody knows."""

import json

from click.testing import CliRunner, Result

from memory import get_redis_memory
from sandbox.ports import free_port
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.support.machine import scaled
from tests.support.warm.python import run_python
from worker.cli import main


def griot(*arguments: str) -> Result:
    """A command in this process, in a pipe."""
    return CliRunner().invoke(main, arguments)


def test_agents_are_listed_with_their_sessions(valkey: ValkeyServer) -> None:
    """Those with a profile, those that only have sessions, and what any other id gets."""
    memory = get_redis_memory()
    for agent_id, session in (("energy", "one"), ("energy", "two"), ("nobody", "one")):
        memory.save_conversation_history(agent_id, session, [{"role": "user", "content": "Hi"}])
    found = {one["agent_id"]: one for one in json.loads(griot("agents", "--json").stdout)}
    assert {"energy", "agriculture", "supervisor", "nobody"} <= found.keys()
    assert (found["energy"]["profile"], found["energy"]["sessions"]) == ("own", 2)
    assert (found["nobody"]["profile"], found["nobody"]["sessions"]) == ("default", 1)
    assert (found["energy"]["tools"], found["energy"]["ttl_s"]) == ([], 86_400)
    heading, *rows = griot("agents").stdout.splitlines()
    assert heading == "agent\tprofile\tmodel\ttools\tkept for\tsessions"
    assert rows[-1].startswith("(any other)\tdefault\t")


def test_without_redis_the_profiles_are_listed_nevertheless(stack: GriotStack) -> None:
    """They are no secret of Redis; why their sessions are missing is said."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    listed = run_python(
        *("-m", "worker.cli", "agents", "--json"),
        env={**stack.env, "REDIS_URL": url},
        cwd=stack.directory,
        timeout_s=scaled(60),
    )
    assert listed.returncode == 0
    assert [one["sessions"] for one in json.loads(listed.stdout)] == [None, None, None]
    assert "sessions are not shown" in listed.stderr


def test_a_command_says_that_nobody_knows_its_agent(valkey: ValkeyServer) -> None:
    """On standard error, so that a script's input is as it was."""
    for arguments in (
        ("sessions", "enrgy", "--json"),
        ("export", "session", "enrgy", "s"),
        ("erase", "session", "enrgy", "s", "--json"),
        ("erase", "agent", "enrgy", "--json"),
    ):
        told = griot(*arguments)
        assert "agent enrgy has no profile" in told.stderr, arguments
        assert "enrgy has no profile" not in told.stdout
    assert griot("sessions", "energy").stderr == ""
