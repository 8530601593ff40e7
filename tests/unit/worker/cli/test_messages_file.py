"""A file of messages: what is said of all of its lines. The file of their results: what is ours."""

import codecs
from pathlib import Path

import orjson
import pytest

from worker.cli.group import CommandFailed
from worker.cli.send.messages_file import MessagesFile
from worker.cli.send.results_file import ResultsFile

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


def test_the_mark_of_an_editor_and_its_line_ends_change_nothing(tmp_path: Path) -> None:
    """The same lines are the same jobs."""
    path, line = tmp_path / "mine.jsonl", orjson.dumps(LINE)
    path.write_bytes(line + b"\n" + line)
    plain = [one.job_id for one in MessagesFile.read(path, run="").lines()]
    path.write_bytes(codecs.BOM_UTF8 + line + b"\r\n" + line + b"\r\n")
    marked = MessagesFile.read(path, run="")
    assert [one.job_id for one in marked.lines()] == plain
    assert [marked.job_at(one)["message"] for one in marked.lines()] == ["Hello", "Hello"]


@pytest.mark.parametrize(
    "content", [b"my notes", orjson.dumps(LINE), b"\x00", b"a\nb", b'{"lines": 3']
)
def test_a_file_that_is_not_of_results_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    """Such as that of the messages, whose last line may have no end."""
    path = tmp_path / "mine.jsonl"
    path.write_bytes(content)
    with pytest.raises(CommandFailed, match="line 1 is no result"), ResultsFile(path):
        pass
    assert path.read_bytes() == content


def test_an_unfinished_line_of_an_earlier_run_goes(tmp_path: Path) -> None:
    """Be it the first; those before it are known."""
    path, ended = tmp_path / "results.jsonl", {"line": 1, "task_id": "j", "status": "done"}
    with ResultsFile(path) as results:
        results.add(ended)
    whole = path.read_bytes()
    for cut in (whole[:-1], whole[:5]):
        path.write_bytes(cut)
        with ResultsFile(path) as results:
            assert not results.ended
        path.write_bytes(whole + cut)
        with ResultsFile(path) as results:
            assert results.ended == {"j"}
        assert path.read_bytes() == whole
    with ResultsFile(Path("/dev/null")) as results:
        results.add(ended)
