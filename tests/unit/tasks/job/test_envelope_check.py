"""What a worker takes on of what it finds in a mailbox."""

from collections.abc import Mapping
from dataclasses import replace

import orjson
import pytest

from memory import JobToWake, Keyspace
from tasks.attempt.envelope_check import checked_envelope
from tasks.errors import InvalidJob
from tasks.process.configuration import load_settings
from tasks.settings import QueueSettings

KEYS = Keyspace().session("energy", "s1")
SETTINGS = replace(load_settings(), queue=QueueSettings(allowed_models=("mine",)))
JOB = {"agent_id": "energy", "session_id": "s1", "message": "hello"}
REFUSED: Mapping[str, tuple[Mapping[str, object], str]] = {
    "another agent's": ({"agent_id": "a"}, "belongs to another session"),
    "another session's": ({"session_id": "x" * 70_000}, "belongs to another session"),
    "a long prompt": ({"system_prompt": "x" * 70_000}, "system_prompt has 70000 bytes"),
    "much metadata": ({"metadata": {"a": "x" * 9000}}, "metadata has 9008 bytes"),
    "a dear format": ({"format": {"$ref": "#"}}, "format is recursive"),
    "a format and tools": ({"format": "json", "tools": ["a"]}, "cannot be combined"),
    "a long tool": ({"tools": ["x" * 129]}, "tools"),
    "a model": ({"model": "other"}, "CHAT_ALLOWED_MODELS"),
    "much of everything": ({"more": "x" * 3_000_000}, "CHAT_MAX_ENVELOPE_BYTES"),
}


def found(changes: Mapping[str, object]) -> JobToWake:
    """A job in the mailbox, as any program could write it."""
    return JobToWake("j1", orjson.dumps({"job": {**JOB, **changes}, "sent_at": 1.0}))


def test_a_job_of_its_session_is_taken_on() -> None:
    """With a model that it may name, or none."""
    for changes in ({}, {"model": "mine"}):
        assert checked_envelope(KEYS, found(changes), SETTINGS).job.message == "hello"


@pytest.mark.parametrize("kind", REFUSED)
def test_what_no_producer_would_have_taken_is_refused(kind: str) -> None:
    """Whoever wrote it there."""
    changes, why = REFUSED[kind]
    with pytest.raises(InvalidJob, match=why):
        checked_envelope(KEYS, found(changes), SETTINGS)
