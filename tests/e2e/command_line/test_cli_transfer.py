"""A session goes from `griot export` into a file, and from `griot import` back."""

import json
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from memory import get_redis_memory
from sandbox.valkey import ValkeyServer
from worker.cli import main

pytestmark = pytest.mark.usefixtures("valkey")
MESSAGES = [
    {"role": "user", "content": "Was ist WAPP? \x1b[31m"},
    {"role": "assistant", "content": "A power pool."},
]


def griot(*arguments: str, said: bytes = b"") -> Result:
    """A command in this process, in a pipe, with `said` on its standard input."""
    return CliRunner().invoke(main, arguments, input=said)


@pytest.fixture
def session() -> str:
    """A session with two messages and one value."""
    session_id = f"session-{uuid.uuid4()}"
    memory = get_redis_memory()
    memory.save_conversation_history("energy", session_id, MESSAGES)
    memory.set_session_data(session_id, "language", "de")
    return session_id


def test_an_exported_session_is_imported_through_a_pipe(session: str) -> None:
    """The lines are on the output and nothing else; what was done is said beside it."""
    exported = griot("export", "session", "energy", session)
    assert exported.exit_code == 0
    kinds = [json.loads(line)["kind"] for line in exported.stdout.splitlines()]
    assert kinds == ["griot session", "message", "message", "data", "end"]

    copy = f"{session}-copy"
    done = griot("import", "-", "--session", copy, said=exported.stdout_bytes)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "2 messages, 1 values" in done.stderr
    assert get_redis_memory().get_conversation_history("energy", copy) == MESSAGES
    assert get_redis_memory().get_session_data(copy, "language") == "de"


def test_a_file_moves_a_session_to_another_agent(session: str, tmp_path: Path) -> None:
    """A session that is there is not written over, unless --force says so."""
    file = tmp_path / "session.jsonl"
    assert griot("export", "session", "energy", session, "-o", str(file)).exit_code == 0

    refused = griot("import", str(file))
    assert refused.exit_code == 1
    assert refused.stderr.startswith("griot: session")
    assert "2 messages; nothing was written" in refused.stderr
    assert "--force" in refused.stderr
    assert griot("import", str(file), "--force").exit_code == 0
    get_redis_memory().set_session_data(session, "language", "fr")
    assert griot("import", str(file), "--agent", "water", "--force").exit_code == 0
    assert get_redis_memory().get_conversation_history("water", session) == MESSAGES


def test_a_bad_line_is_told_by_its_number(session: str, valkey: ValkeyServer) -> None:
    """Exit code 1, one line on standard error, and nothing is written."""
    lines = griot("export", "session", "energy", session).stdout_bytes.splitlines(keepends=True)
    other = f"other-{uuid.uuid4()}"
    for at, bad in ((2, b"{secret"), (1, b'{"kind":"message","message":{"role":"secret"}}\n')):
        cut = b"".join([*lines[:at], bad, *lines[at + 1 :]])
        ended = griot("import", "-", "--session", other, said=cut)
        assert ended.exit_code == 1
        assert f"line {at + 1}: " in ended.stderr
        assert ended.stderr.endswith("; nothing was written\n")
        assert ended.stderr.count("\n") == 1
        assert "secret" not in ended.stderr
    assert valkey.command("KEYS", f"*{other}*") == []


def test_a_session_that_is_not_there_is_an_error(session: str) -> None:
    """Not an empty file that looks well."""
    ended = griot("export", "session", "energy", f"{session}-none")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "nothing is stored of session" in ended.stderr
