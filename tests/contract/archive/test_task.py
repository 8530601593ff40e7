"""The task of beat that archives, and what it counts."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from memory import RedisMemoryService
from memory.archive.file import ArchiveFile
from memory.settings import MemorySettings
from tasks.beat import maintenance
from tests.support.memory_fixtures import Backend
from worker.metrics.registry import REGISTRY


def test_the_task_archives_and_counts(
    memory_settings: MemorySettings,
    real_backend: Backend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within the bounds of the settings; without an archive it does nothing."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    changes = {"archive_url": SecretStr(url), "history_max_messages": 2}
    settings = memory_settings.model_copy(update=changes)
    service = RedisMemoryService(settings=settings, connection=real_backend.connection)
    for number in range(5):
        service.append_to_history("a", "s", {"role": "user", "content": str(number)})
    history = settings.keyspace.session("a", "s").history
    assert real_backend.observer.llen(history) == 5, "the archive takes what is too much first"
    services = SimpleNamespace(
        settings=SimpleNamespace(memory=settings),
        memory=real_backend.connection,
        keyspace=settings.keyspace,
        archive=ArchiveFile.at(url),
    )
    monkeypatch.setattr(maintenance, "producer_services", lambda: services)
    before = REGISTRY.get_sample_value("griot_archived_messages_total") or 0

    assert maintenance.archive_sessions()["messages"] == 3
    assert REGISTRY.get_sample_value("griot_archived_messages_total") == before + 3
    real_backend.observer.persist(history)
    real_backend.observer.pexpire(history, 31_536_000_000_000 - 5000)
    assert maintenance.archive_sessions()["moved"] == 1
    assert (REGISTRY.get_sample_value("griot_archive_lag_seconds") or 0) > 4

    services.archive = None
    assert maintenance.archive_sessions() == {}
