"""What a turn asks the archive, and what it costs where there is none."""

import logging
from pathlib import Path
from typing import cast

import pytest

from memory import Acquired, AcquireOutcome, AsyncConnection, Keyspace
from memory.archive.file import ArchiveFile
from memory.archive.store import Leaving
from memory.records.archived import Part
from tasks.turn.read_back import ArchiveReader

KEYSPACE = Keyspace(has_archive=True)
KEYS = KEYSPACE.session("energy", "s")
NEW = Acquired(AcquireOutcome.RUN, attempt=1)
# Whatever it was asked would be an AttributeError.
NO_REDIS = cast("AsyncConnection", None)


class Redis:
    """A connection that gives these answers."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)

    async def run(self, *commands: object) -> object:
        """The next one."""
        return self.answers.pop(0)

    run_all = run


KNOWN = Acquired(AcquireOutcome.RUN, attempt=1, stored_messages=2)


async def test_without_an_archive_nothing_is_asked() -> None:
    """Whether the session has a history or not."""
    reader = ArchiveReader(NO_REDIS, KEYSPACE, None, most=10)
    for acquired in (NEW, KNOWN):
        assert await reader.read_back(KEYS, "j", acquired, wanted=5) == (acquired, 0)


async def test_the_receipt_of_a_retry_says_what_an_earlier_attempt_read_back(
    tmp_path: Path,
) -> None:
    """Of a session with a history Redis alone is asked; the file is not even made."""
    file = ArchiveFile(tmp_path / "a.db")
    redis = cast("AsyncConnection", Redis(2))
    reader = ArchiveReader(redis, KEYSPACE, file, most=10)
    assert await reader.read_back(KEYS, "j", KNOWN, wanted=5) == (KNOWN, 2)
    assert not file.path.exists()


async def test_a_new_session_costs_a_look_into_the_file(tmp_path: Path) -> None:
    """And no trip to Redis."""
    reader = ArchiveReader(NO_REDIS, KEYSPACE, ArchiveFile(tmp_path / "a.db"), most=10)
    assert await reader.read_back(KEYS, "j", NEW, wanted=5) == (NEW, 0)


async def test_an_archive_that_cannot_be_read_stops_no_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The receipt says that nobody knows what there was."""
    reader = ArchiveReader(NO_REDIS, KEYSPACE, ArchiveFile(Path("/dev/null/a.db")), most=10)
    with caplog.at_level(logging.ERROR):
        assert await reader.read_back(KEYS, "j", NEW, wanted=5) == (NEW, None)
    assert "is answered without its archived messages" in caplog.text


@pytest.mark.parametrize(
    ("answers", "shown", "read_back"),
    [
        (((b"1", True), True, [b"2", b"3"]), (b"2", b"3"), 3),
        # A repeat after a lost reply: the history is there.
        (((b"1", True), False, [b"2", b"3"]), (b"2", b"3"), 3),
        # Removed meanwhile, or to be forgotten.
        (((b"1", True), False, []), (), 0),
        (((b"1", False),), (), 0),
    ],
)
async def test_the_end_of_the_conversation_comes_with_the_turn(
    tmp_path: Path, answers: tuple[object, ...], shown: tuple[bytes, ...], read_back: int
) -> None:
    """As much as the turn wants of it; what is forgotten does not come."""
    file = ArchiveFile(tmp_path / "a.db")
    file.write([Leaving(KEYS, Part("g", 0, (b"1", b"2", b"3")), ())], now_ms=1)
    redis = cast("AsyncConnection", Redis(*answers))
    acquired, count = await ArchiveReader(redis, KEYSPACE, file, most=10).read_back(
        KEYS, "j", NEW, wanted=2
    )
    file.close()
    assert (acquired.history, count) == (shown, read_back)
    assert acquired.stored_messages == read_back
