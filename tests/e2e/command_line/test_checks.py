"""What a starting worker asks of Redis, with real servers."""

import logging

import pytest
from pydantic import SecretStr

from memory import Connection, MemorySettings
from sandbox.ports import free_port
from sandbox.valkey import ValkeyServer
from tasks.errors import ConfigurationError
from worker.checks.worker_start import worker_start_checks

RIGHT = "right"


def connection_to(url: str) -> Connection:
    """A connection that gives up soon."""
    return Connection(MemorySettings(url=SecretStr(url), timeout_s=1))


def test_a_server_that_keeps_everything_is_taken_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """noeviction and an append-only file: nothing to say."""
    with ValkeyServer(append_only="everysec") as valkey:
        worker_start_checks(connection_to(valkey.url()))
    assert caplog.records == []


def test_a_server_without_a_disk_copy_is_taken_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It says which setting, and what is at stake."""
    with ValkeyServer() as valkey:
        worker_start_checks(connection_to(valkey.url()))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "append-only file off" in record.getMessage()


def test_a_server_that_evicts_is_refused() -> None:
    """In one line that says what to set."""
    with ValkeyServer(options={"maxmemory-policy": "allkeys-lru"}) as valkey:
        connection = connection_to(valkey.url())
        with pytest.raises(ConfigurationError, match="maxmemory-policy noeviction") as refused:
            worker_start_checks(connection)
    assert "\n" not in str(refused.value)


def test_wrong_credentials_are_refused_without_being_told() -> None:
    """The message names the setting, never the password."""
    with ValkeyServer(password=RIGHT) as valkey:
        connection = connection_to(valkey.url().replace(RIGHT, "wrong-geheim"))
        with pytest.raises(ConfigurationError, match="REDIS_PASSWORD") as refused:
            worker_start_checks(connection)
    assert "geheim" not in str(refused.value)


def test_a_user_without_rights_is_refused() -> None:
    """A server whose ACL forbids the question would forbid the work too."""
    with ValkeyServer() as valkey:
        valkey.command("ACL", "SETUSER", "poor", "on", ">poor", "~*", "+ping")
        url = valkey.url().replace("redis://", "redis://poor:poor@")
        with pytest.raises(ConfigurationError, match="refused"):
            worker_start_checks(connection_to(url))


def test_a_server_that_is_not_there_yet_is_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It may start after the worker: a warning, no refusal."""
    worker_start_checks(connection_to(f"redis://127.0.0.1:{free_port()}/0"))
    assert "waits for it" in caplog.text
