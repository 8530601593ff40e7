"""A run of `griot send` whose jobs end in odd ways."""

from collections.abc import AsyncGenerator
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import orjson
import pytest

from memory import Event, NewerFormat
from worker.cli.send import run
from worker.cli.send.messages_file import MessagesFile
from worker.cli.send.results_file import ResultsFile
from worker.cli.send.run import Run


async def test_an_end_that_cannot_be_read_here_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is no failure: a later run, with a newer Griot or with the key, writes the result."""

    async def newer(*_: object) -> AsyncGenerator[Event, None]:
        raise NewerFormat("an event", 9, 1)
        yield

    monkeypatch.setattr(run, "send", AsyncMock())
    monkeypatch.setattr(run, "through_outages", newer)
    file, results = tmp_path / "mine.jsonl", tmp_path / "results.jsonl"
    file.write_text('{"agent_id": "energy", "session_id": "s", "message": "hello"}\n')
    messages = MessagesFile.read(file, run="", priority=None)
    for _ in range(2):
        with ResultsFile(results) as written:
            assert written.ended == set()
            await Run(messages, written, Mock(), window=1).to_the_end()
    statuses = [orjson.loads(line)["status"] for line in results.read_text().splitlines()]
    assert statuses == ["unreadable", "unreadable"]
