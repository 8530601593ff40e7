"""A file of messages: what is said of all of its lines."""

from pathlib import Path

import orjson
import pytest

from worker.cli.group import CommandFailed
from worker.cli.send.messages_file import MessagesFile

LINE = {"agent_id": "energy", "session_id": "s-1", "message": "Hello"}


def test_a_line_without_a_priority_has_that_of_the_command(tmp_path: Path) -> None:
    """And is the same job whatever that is: sent again it is asked once."""
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, (LINE, LINE | {"priority": "interactive"}))))
    plain = MessagesFile.read(path, run="")
    urged = MessagesFile.read(path, run="", priority="batch")
    assert [line.job_id for line in plain.lines()] == [line.job_id for line in urged.lines()]
    told = [
        [messages.job_at(line)["priority"] for line in messages.lines()]
        for messages in (plain, urged)
    ]
    assert told == [[None, "interactive"], ["batch", "interactive"]]
    path.write_bytes(orjson.dumps(LINE | {"priority": "urgent"}))
    with pytest.raises(CommandFailed, match="priority"):
        MessagesFile.read(path, run="")
