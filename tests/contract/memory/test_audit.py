"""Who did what is recorded before it is done, by digests of what may be erased."""

import logging
import os
import signal
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memory import Keyspace, audit
from memory.errors import CorruptData, InvalidInput, MemoryServiceError
from memory.lifetimes import AUDIT_MS
from memory.records.audit import KEPT_ENTRIES, Deed, Record, digest_of, recorded
from memory.upkeep.erasure import erase_session
from memory.upkeep.transfer import SessionNotEmpty, exported, restore
from memory.upkeep.transfer_file import as_lines, read, renamed
from tests.support.machine import scaled
from tests.support.memory_fixtures import Backend
from tests.support.warm.python import run_python

SESSION = "ama@example.org:1"
# Killed like by `kill -9` where its erasure would begin.
KILLED = """
import os, signal, sys
from memory import Command, Connection, MemorySettings, RedisMemoryService
class Dying(Connection):
    def run(self, command):
        if command.script is not None and command.script.name == "erase":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(command)
settings = MemorySettings()
RedisMemoryService(settings=settings, connection=Dying(settings)).clear_all_agent_data("a")
"""
Audit = Callable[[], list[Record]]


@pytest.fixture
def keyspace(backend: Backend) -> Keyspace:
    """The names of this test's keys."""
    return backend.service().keyspace


@pytest.fixture
def found(backend: Backend, keyspace: Keyspace) -> Audit:
    """What is recorded, the latest first."""
    return lambda: list(audit.records(backend.connection, keyspace))


def say(backend: Backend, session_id: str = SESSION) -> None:
    """A session of agent `a` with one message."""
    message = {"role": "user", "content": "a word"}
    backend.service().append_to_history("a", session_id, message, ttl=60)


def test_a_deed_is_recorded_before_it_is_done_and_with_its_outcome(
    backend: Backend, keyspace: Keyspace, found: Audit
) -> None:
    """Who, what and when, by the server's clock; who looks in its middle sees it unfinished."""
    before = datetime.now(UTC) - timedelta(seconds=5)
    with recorded(
        backend.connection, keyspace, Deed.CANCEL, agent_id="a", session_id=SESSION, job_id="j"
    ) as entry:
        (begun,) = found()
        entry.outcome = "stopping"
    (record,) = found()
    assert (begun.outcome, record.outcome) == (None, "stopping")
    assert (record.deed, record.agent_id, record.job_id) == ("cancel", "a", "j")
    assert record.session == digest_of(SESSION)
    assert record.actor.endswith(f"@{socket.gethostname()}")
    assert before < record.at < before + timedelta(seconds=60)
    assert 0 < backend.observer.pttl(keyspace.audit) <= AUDIT_MS


def test_who_acts_is_what_the_settings_say(
    backend: Backend, keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GRIOT_ACTOR, bounded; the default is user@host."""
    monkeypatch.setenv("GRIOT_ACTOR", "ops/ama")
    with recorded(backend.connection, keyspace, Deed.DROP, job_id="j" * 1000):
        pass
    (record,) = audit.records(backend.connection, keyspace)
    assert record.actor == "ops/ama"
    assert len(record.job_id) == audit.MAX_TEXT


def test_a_deed_that_fails_says_with_what(
    backend: Backend, keyspace: Keyspace, found: Audit
) -> None:
    """By the error's class: its text may hold ids."""
    with (
        pytest.raises(InvalidInput),
        recorded(backend.connection, keyspace, Deed.REQUEUE, job_id="j"),
    ):
        raise InvalidInput(SESSION)
    (record,) = found()
    assert record.outcome == "failed: InvalidInput"


def test_every_door_of_the_memory_records(
    backend: Backend, keyspace: Keyspace, found: Audit
) -> None:
    """Export, import, also a refused one, erasing a session and an agent."""
    say(backend)
    lines = list(as_lines(exported(backend.connection, keyspace, "a", SESSION)))
    transfer = read(lines, most_messages=10, max_bytes=1000)
    copy = renamed(transfer, None, "copy")
    restore(backend.connection, keyspace, copy, default_ttl_s=60)
    with pytest.raises(SessionNotEmpty):
        restore(backend.connection, keyspace, copy, default_ttl_s=60)
    erase_session(backend.connection, keyspace, "a", SESSION)
    backend.service().clear_all_agent_data("a")
    deeds = [(one.deed, one.session, one.outcome and one.outcome.split(":")[0]) for one in found()]
    one, other = digest_of(SESSION), digest_of("copy")
    assert deeds[::-1] == [
        ("export", one, "exported"),
        ("import", other, "imported"),
        ("import", other, "failed"),
        ("erase", one, "erased"),
        ("erase", "", "erased"),
        ("erase", other, "erased"),
    ]
    assert {record.agent_id for record in found()} == {"a"}


def test_an_erased_session_does_not_live_on_in_the_record(
    backend: Backend, keyspace: Keyspace, found: Audit
) -> None:
    """Neither id nor word, whatever was done to it before; who knows the id finds all of it."""
    say(backend)
    list(exported(backend.connection, keyspace, "a", SESSION))
    erase_session(backend.connection, keyspace, "a", SESSION)
    kept = repr(backend.observer.xrange(keyspace.audit))
    assert "ama" not in kept.replace(audit.actor(), "")
    assert "word" not in kept
    assert [one.deed for one in found() if one.is_about(SESSION)] == ["erase", "export"]


def test_an_erasure_that_is_killed_in_its_middle_is_recorded(real_backend: Backend) -> None:
    """As one that has not ended: nothing is gone yet, and the record is there."""
    say(real_backend)
    url = real_backend.settings.url
    assert url is not None
    env = {"REDIS_URL": url.get_secret_value(), "REDIS_KEY_PREFIX": real_backend.prefix}
    env = {**os.environ, **env, "GRIOT_ACTOR": "eraser"}
    done = run_python("-c", KILLED, env=env, cwd=Path.cwd(), timeout_s=scaled(60))
    assert done.returncode == -signal.SIGKILL
    service = real_backend.service()
    assert len(service.get_conversation_history("a", SESSION)) == 1
    left = list(audit.records(service.connection, service.keyspace))
    assert [(one.actor, one.deed, one.session, one.outcome) for one in left] == [
        ("eraser", "erase", digest_of(SESSION), None),
        ("eraser", "erase", "", None),
    ]


def test_a_record_that_cannot_be_written_is_told_and_keeps_nobody_from_a_deed(
    backend: Backend, keyspace: Keyspace, caplog: pytest.LogCaptureFixture
) -> None:
    """The session is erased; the log names deed and reason, once."""
    say(backend)
    backend.observer.set(keyspace.audit, "not ours", ex=60)
    with caplog.at_level(logging.ERROR):
        erase_session(backend.connection, keyspace, "a", SESSION)
    assert backend.service().get_conversation_history("a", SESSION) == []
    (told,) = caplog.messages
    assert told.startswith(f"the erase by {audit.actor()} was done, but is missing in the audit: ")
    assert SESSION not in told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (CorruptData("x"), []),
        (InvalidInput("x"), ["failed: InvalidInput, but is missing in the audit"]),
    ],
)
def test_a_deed_that_failed_is_not_said_to_be_done(
    backend: Backend,
    keyspace: Keyspace,
    caplog: pytest.LogCaptureFixture,
    error: MemoryServiceError,
    told: list[str],
) -> None:
    """Its error says enough where that is what keeps it out of the audit, too."""
    backend.observer.set(keyspace.audit, "not ours", ex=60)
    with (
        pytest.raises(type(error)),
        recorded(backend.connection, keyspace, Deed.EXPORT, agent_id="a"),
    ):
        raise error
    assert len(caplog.messages) == len(told)
    assert all(one in said for one, said in zip(told, caplog.messages, strict=True))


def test_a_repeated_write_is_one_record_and_what_is_not_ours_is_none(
    backend: Backend, keyspace: Keyspace, found: Audit
) -> None:
    """A write whose answer was lost is sent again; another program's entry is left out."""
    for entry in (
        {"id": "1", "deed": "drop", "actor": "b", "job": "j"},
        {"id": "1", "deed": "drop", "actor": "b", "job": "j"},
        {"of": "1", "outcome": "dropped"},
        {"something": b"\xff"},
    ):
        backend.observer.xadd(keyspace.audit, entry)  # type: ignore[arg-type]  # its stub is invariant
    backend.observer.expire(keyspace.audit, 60)
    (record,) = found()
    assert (record.actor, record.job_id, record.outcome) == ("b", "j", "dropped")


def test_only_what_was_done_since_a_moment_is_read(backend: Backend, keyspace: Keyspace) -> None:
    """Over any number of pages; a moment without a zone is refused."""
    at_ms = 1_700_000_000_000
    for number in range(1200):
        fields = {"id": str(number), "deed": "drop", "actor": "b", "job": str(number)}
        backend.observer.xadd(keyspace.audit, fields, id=f"{at_ms + number}-0")  # type: ignore[arg-type]  # its stub is invariant
    backend.observer.expire(keyspace.audit, 60)
    since = datetime.fromtimestamp((at_ms + 100) / 1000, UTC)
    read_ = [int(one.job_id) for one in audit.records(backend.connection, keyspace, since=since)]
    assert read_ == list(range(1199, 99, -1))
    with pytest.raises(InvalidInput):
        next(audit.records(backend.connection, keyspace, since=datetime(2026, 1, 1)))


def test_the_record_is_capped(real_backend: Backend) -> None:
    """A flood of deeds costs no more than its bound."""
    service = real_backend.service()
    key = service.keyspace.audit
    with real_backend.observer.pipeline(transaction=False) as pipe:
        for number in range(KEPT_ENTRIES + 1000):
            pipe.xadd(key, {"n": number})
        pipe.execute()
    with recorded(service.connection, service.keyspace, Deed.DROP, job_id="j"):
        pass
    assert KEPT_ENTRIES <= real_backend.observer.xlen(key) <= KEPT_ENTRIES + 200
