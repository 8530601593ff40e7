"""What one session, one name or one outage could do to all that is archived: nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import pytest
from redis import Redis

from memory import Keyspace, RedisMemoryService
from memory.archive.archiver import Archiver
from memory.archive.reading import kept_elsewhere, messages_elsewhere, sessions_of_user
from memory.archive.reencryption import reencrypt_archive
from memory.archive.store import Archive
from memory.errors import ArchiveUnavailable
from memory.records import archived, users
from memory.redis.connection import Connection
from memory.upkeep.rewriting import Rewriting
from memory.upkeep.transfer import SessionNotEmpty, exported, restore
from memory.upkeep.transfer_file import as_lines, read
from tests.support.archive.sessions import OVER_MS, STAY, said
from tests.support.encryption import keyring_of

NEWER = b"\x1e7:words"
"""A record of a version that is not known here."""


@dataclass(frozen=True)
class ArchivePlace:
    """An archive, what fills it, and who looks on."""

    service: RedisMemoryService
    archiver: Archiver
    file: Archive
    observer: "Redis[bytes]"

    @property
    def keyspace(self) -> Keyspace:
        """The names of this test's keys."""
        return self.service.keyspace

    @property
    def connection(self) -> Connection:
        """That of the archiver."""
        return self.archiver.connection

    def is_over(self, agent: str, session: str) -> None:
        """A session of three messages whose time is over."""
        for number in range(3):
            self.service.append_to_history(agent, session, said(number), ttl=100)
        self.observer.pexpire(self.keyspace.session(agent, session).history, OVER_MS)

    def exported(self) -> list[bytes]:
        """The session `a s` as a file."""
        keys = self.keyspace.session("a", "s")
        found = partial(kept_elsewhere, self.connection, self.keyspace, self.file, keys)
        return list(as_lines(exported(self.connection, self.keyspace, "a", "s", elsewhere=found)))

    def imported(self, lines: Iterable[bytes], *, is_forced: bool) -> None:
        """The same brought back."""
        keys = self.keyspace.session("a", "s")
        restore(
            self.connection,
            self.keyspace,
            read(lines, most_messages=10, max_bytes=10_000),
            default_ttl_s=100,
            is_forced=is_forced,
            elsewhere=messages_elsewhere(self.connection, self.keyspace, self.file, keys),
        )


@pytest.fixture
def place(
    service: RedisMemoryService, archiver: Archiver, file: Archive, observer: "Redis[bytes]"
) -> ArchivePlace:
    """The archive of this test."""
    return ArchivePlace(service, archiver, file, observer)


@pytest.mark.parametrize("part", ["events", "queue", "delayed", "lease", "summary", "archive"])
def test_a_damaged_session_keeps_no_other_one_in_redis(
    place: ArchivePlace,
    part: str,
) -> None:
    """It stays as it is and is logged; the run goes to its end."""
    for session in ("bad", "s", "t"):
        place.is_over("a", session)
    place.observer.delete(damaged := getattr(place.keyspace.session("a", "bad"), part))
    place.observer.set(damaged, "no such type")
    done = place.archiver.run()
    assert (done.is_complete, done.moved) == (True, 2)
    assert place.service.get_all_sessions_for_agent("a") == ["bad"]
    place.observer.delete(damaged)


def test_a_damaged_session_keeps_no_erased_one_in_the_archive(
    place: ArchivePlace,
) -> None:
    """Nor its own: what is on the list is what was removed."""
    for session in ("bad", "s"):
        place.is_over("a", session)
    place.archiver.run()
    for session in ("bad", "s"):
        place.service.clear_conversation_history("a", session)
    place.observer.set(place.keyspace.session("a", "bad").archive, "no such type")
    assert place.archiver.run().forgotten == 2
    assert place.file.content().messages == 0


@pytest.mark.parametrize(
    ("agent", "session", "user"),
    [
        ("a\0b", "s", "ama"),
        ("a", "s\0", "ama"),
        ("a", "s", "\0ama\0"),
        ("a\ufdd0", "\ufdd00s", "\ufdd0\0"),
        ("a", "s", "u" * 600),
        ("ü" * 250, "'); DROP TABLE messages; --", "a\nb"),
    ],
)
def test_any_name_is_archived_and_found(
    place: ArchivePlace,
    agent: str,
    session: str,
    user: str,
) -> None:
    """PostgreSQL takes no NUL in a text; a user whose name is too long is known by its digest."""
    keys = place.keyspace.session(agent, session)
    place.connection.run_all(*users.touch(place.keyspace, user, keys))
    place.is_over(agent, session)
    assert place.archiver.run().moved == 1
    assert place.file.of_agent(agent) == [session]
    assert place.file.of_user(user) == [(agent, session, False)]
    assert place.file.users_of(keys) == {users.name_of(user)}
    assert sessions_of_user(place.connection, place.keyspace, place.file, user) == {
        (agent, session): False
    }
    assert place.file.forget(keys.history) == 1


def test_after_an_outage_the_next_run_archives(
    place: ArchivePlace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It need not wait for the lock of the run that failed; another one's lock is left alone."""
    place.is_over("a", "s")

    def away(*_: object) -> None:
        raise ArchiveUnavailable("it is away")

    with monkeypatch.context() as patch:
        patch.setattr(place.file, "check", away)
        with pytest.raises(ArchiveUnavailable):
            place.archiver.run()
    assert Archiver(place.connection, place.keyspace, place.file, STAY).run().moved == 1
    place.is_over("a", "s")

    def slow(*_: object) -> None:
        place.connection.run(archived.release_lock(place.keyspace))
        place.connection.run(archived.take_lock(place.keyspace, "other"))

    monkeypatch.setattr(place.file, "check", slow)
    assert place.archiver.run().moved == 0
    assert place.connection.run(archived.lock_holder(place.keyspace)) == b"other"


def test_who_shares_a_session_is_known_after_it_was_archived(
    place: ArchivePlace,
) -> None:
    """To erase one must not take the words of the other, whichever of them Redis still knows."""
    connection, keyspace = place.connection, place.keyspace
    keys = keyspace.session("a", "s")
    connection.run_all(*users.touch(keyspace, "ama", keys))
    place.is_over("a", "s")
    place.archiver.run()
    place.observer.delete(keys.users, keyspace.user("ama"))  # as clean-up does by and by
    connection.run_all(*users.touch(keyspace, "kofi", keys))
    place.is_over("a", "s")
    for user in ("ama", "kofi"):
        assert sessions_of_user(connection, keyspace, place.file, user) == {("a", "s"): True}
    assert sessions_of_user(connection, keyspace, None, "kofi") == {("a", "s"): False}


def test_what_is_archived_is_not_imported_beside_itself(
    place: ArchivePlace,
) -> None:
    """A session that is only in the archive is not empty; a forced import replaces it."""
    place.is_over("a", "s")
    place.archiver.run()
    whole = place.exported()
    with pytest.raises(SessionNotEmpty, match="3 messages"):
        place.imported(whole, is_forced=False)
    assert place.exported()[1:] == whole[1:]
    place.imported(whole, is_forced=True)
    assert place.exported()[1:] == whole[1:]
    place.archiver.run()
    assert place.exported()[1:] == whole[1:]
    assert place.file.content().messages == 0


def test_a_record_of_a_newer_griot_stays_as_it_is(place: ArchivePlace) -> None:
    """New keys are given to the others, and it is told that one was not read."""
    place.is_over("a", "s")
    place.archiver.run()
    (page,) = place.file.pages()
    assert place.file.rewrite([(page[1], NEWER)]) == 1
    keyspace = replace(place.keyspace, keyring=keyring_of("a"))
    *_, told = reencrypt_archive(place.file, keyspace, Rewriting(0))
    assert (told.written, told.unreadable, told.is_done) == (2, 1, False)
    assert place.file.every(place.keyspace.session("a", "s"))[1] == NEWER


@pytest.mark.parametrize("is_over", [False, True], ids=["in use", "over"])
@pytest.mark.parametrize("has_begun", [False, True], ids=["whole", "begun"])
@pytest.mark.parametrize("is_between", [False, True], ids=["after", "between"])
def test_an_export_beside_the_archiver_has_each_message_once(
    place: ArchivePlace, is_between: bool, has_begun: bool, is_over: bool
) -> None:
    """Whatever leaves Redis between the look there and that at the archive, or after both: the
    oldest messages or all, of a history of which some had left before, or none."""
    keys = place.keyspace.session("a", "s")
    for number in range(9):
        place.service.append_to_history("a", "s", said(number))
        if has_begun and number == 5:
            place.archiver.run()

    def archive() -> None:
        if is_over:
            place.observer.pexpire(keys.history, OVER_MS)
        place.archiver.run()

    def elsewhere(begins: archived.Place | None) -> archived.Part | None:
        if is_between:
            archive()
        found = kept_elsewhere(place.connection, place.keyspace, place.file, keys, begins)
        archive()
        return found

    lines = exported(place.connection, place.keyspace, "a", "s", elsewhere=elsewhere)
    assert [one["message"] for one in lines if "message" in one] == [said(n) for n in range(9)]
