"""What is in force though nobody can be told at once, for Redis went away behind it."""

from types import SimpleNamespace
from typing import TypeVar

import pytest

from memory import Connection, CorruptData, Keyspace, MemoryServiceError, MemorySettings
from memory import MemoryUnavailable as Away
from memory.pauses.pauses import every
from memory.redis.command import Command
from tasks.submit import pauses
from tasks.submit.cancel import announce_stop

T = TypeVar("T")


class Silent(Connection):
    """A connection over which nothing can be announced."""

    error: MemoryServiceError = Away("gone")

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self.keyspace = Keyspace(settings.key_prefix)

    def run(self, command: Command[T]) -> T:
        """`Connection.run`, unless it announces something."""
        if self.keyspace.cancellations in command.args:
            raise self.error
        return super().run(command)


@pytest.fixture
def memory(memory_settings: MemorySettings, monkeypatch: pytest.MonkeyPatch) -> Silent:
    """The connection of the producer."""
    made = Silent(memory_settings)
    services = SimpleNamespace(memory=made, keyspace=made.keyspace)
    monkeypatch.setattr(pauses, "producer_services", lambda: services)
    return made


@pytest.mark.parametrize("error", [Away("gone"), CorruptData("odd")])
def test_a_stop_stays_noted(
    memory: Silent, error: MemoryServiceError, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker sees it when it renews its lease, so who cancels gets no error."""
    memory.error = error
    announce_stop(memory, memory.keyspace, "j1")
    assert "stops at the next renewal of its lease" in caplog.text


def test_a_pause_is_in_force(memory: Silent, caplog: pytest.LogCaptureFixture) -> None:
    """Workers see it with their next sweep."""
    made = pauses.pause("all")
    assert "workers see it with their next sweep" in caplog.text
    assert memory.run(every(memory.keyspace)) == [made]
