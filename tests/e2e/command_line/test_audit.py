"""`griot audit` tells who did what with the commands; an erased session is only a digest there."""

import json
import uuid

import pytest
from click.testing import CliRunner, Result

from memory import get_redis_memory
from memory.records.audit import digest_of
from tasks import chat_task
from tests.support.machine import scaled
from worker.cli import main

pytestmark = pytest.mark.usefixtures("valkey")
WAIT_S = scaled(20)


def griot(*arguments: str, said: bytes = b"") -> Result:
    """A command in this process, in a pipe."""
    done = CliRunner().invoke(main, arguments, input=said)
    assert done.exit_code in (0, 2), done.output
    return done


def told(*arguments: str) -> list[dict[str, object]]:
    """What `griot audit` says, the latest first."""
    found: list[dict[str, object]] = json.loads(griot("audit", "--json", *arguments).stdout)
    return found


@pytest.fixture
def session() -> str:
    """A session in which a user has a message that waits, and one in the history."""
    session_id = f"session-{uuid.uuid4()}"
    message = {"role": "user", "content": "words"}
    get_redis_memory().append_to_history("energy", session_id, message)
    return session_id


def test_each_command_leaves_its_record(session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancel, also of a job that is over, export, import and erase: who, and what came of it."""
    monkeypatch.setenv("GRIOT_ACTOR", "ama")
    job_id = chat_task.delay("energy", session, "words", metadata={"user_id": "kofi"}).id
    for _ in range(2):
        griot("cancel", job_id)
    file = griot("export", "session", "energy", session).stdout_bytes
    griot("import", "-", "--session", f"{session}-copy", said=file)
    griot("erase", "session", "energy", f"{session}-copy")
    found = [one for one in told() if str(one["session"]).startswith(session)]
    assert [(one["deed"], one["actor"], one["job_id"], one["outcome"]) for one in found] == [
        ("export", "ama", "", "exported: 3 lines"),
        ("cancel", "ama", job_id, "already"),
        ("cancel", "ama", job_id, "cancelled"),
    ]
    erased, imported = told("--about", f"{session}-copy")
    assert erased["session"] == imported["session"] == digest_of(f"{session}-copy")
    assert imported["outcome"] == "imported: 1 messages"
    assert "words" not in griot("audit").stdout


def test_erasing_a_user_is_recorded_without_the_user(session: str) -> None:
    """By digests of user and session, so that the record tells neither; `--about` finds both."""
    user = f"kofi-{uuid.uuid4()}"
    chat_task.delay("energy", session, "words", metadata={"user_id": user})
    griot("erase", "user", user, "--dry-run")
    assert told("--about", user) == []
    griot("erase", "user", user)
    (record,) = told("--about", user)
    assert (record["deed"], record["outcome"]) == ("erase", "erased: 1 sessions")
    assert [one["deed"] for one in told("--about", session)] == ["erase"]
    kept = griot("audit").stdout
    assert user not in kept
    assert session not in kept


def test_the_audit_can_be_bounded(session: str) -> None:
    """By number and by time; a moment that is none is a wrong usage."""
    griot("export", "session", "energy", session)
    assert len(told("--limit", "1")) == 1
    assert told("--since", "1h", "--about", session)
    assert told("--since", "2999-01-01") == []
    assert told("--since", "2999-01-01T00:00+02:00") == []
    assert griot("audit", "--since", "yesterday").exit_code == 2
    head, *rows = griot("audit", "--about", session).stdout.splitlines()
    assert head.split("\t") == ["at", "who", "deed", "agent", "session or user", "job", "outcome"]
    assert [row.split("\t")[2:5] for row in rows] == [["export", "energy", session]]
