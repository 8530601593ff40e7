"""The archive: nothing leaves Redis that is not in it, and each message is there once."""

import base64
import itertools
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from redis import Redis

from memory import Keyspace, Mailbox, RedisMemoryService, erase_session
from memory.archive.archiver import Archiver
from memory.archive.file import ArchiveFile
from memory.archive.opening import archive_at
from memory.archive.reading import kept_elsewhere
from memory.archive.reencryption import reencrypt_archive
from memory.archive.store import Archive, ArchivedSession, Leaving
from memory.errors import ArchiveUnavailable
from memory.lifetimes import ARCHIVE_HOLD_S, UNTIL_ERASED_S
from memory.mailbox.intake import Intake
from memory.records import archived, history, index, summary
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.settings import MemorySettings
from memory.upkeep.housekeeping import Housekeeping
from memory.upkeep.rewriting import Rewriting
from memory.upkeep.transfer import exported
from tests.support.archive.sessions import OVER_MS, STAY, said
from tests.support.memory_fixtures import Backend
from tests.support.servers.postgres import PASSWORD, PostgresServer


class Killed(BaseException):
    """The process ends here."""


def contents(file: Archive, keyspace: Keyspace, observer: "Redis[bytes]") -> list[str]:
    """All messages of the session `a s`, those in the archive first."""
    keys = keyspace.session("a", "s")
    first = int(observer.hget(keys.archive, "first") or 0)
    part = file.newest(keys, at_most=1000)
    gone = [] if part is None else list(part.records)
    here = observer.lrange(keys.history, 0, -1)
    if here:
        gone = gone[:first]
    decoded = history.decode(keys, [*gone, *here]).messages
    return [str(one["content"]) for one in decoded]


def texts(*numbers: int) -> list[str]:
    """What `contents` gives for these messages."""
    return [f"message {number}" for number in numbers]


def test_a_session_whose_time_is_over_moves_to_the_archive(
    service: RedisMemoryService,
    archiver: Archiver,
    file: Archive,
    keyspace: Keyspace,
    observer: "Redis[bytes]",
) -> None:
    """Before that it stays, whatever the archive does; then nothing of it is left in Redis."""
    keys = keyspace.session("a", "s")
    for number in range(3):
        service.append_to_history("a", "s", said(number), ttl=100)
    assert observer.ttl(keys.history) > ARCHIVE_HOLD_S, "it cannot expire before it is archived"
    assert archiver.run().moved == 0

    observer.pexpire(keys.history, OVER_MS)
    done = archiver.run()

    assert (done.moved, done.messages, done.is_complete) == (1, 3, True)
    assert 4 < done.overdue_s < 60
    assert not observer.exists(keys.history, keys.archive, keys.events, keys.summary)
    assert service.get_all_sessions_for_agent("a") == []
    assert contents(file, keyspace, observer) == texts(0, 1, 2)
    assert archiver.run().messages == 0


def test_what_is_too_much_for_redis_goes_and_the_rest_stays(
    service: RedisMemoryService,
    archiver: Archiver,
    file: Archive,
    keyspace: Keyspace,
    observer: "Redis[bytes]",
) -> None:
    """Again and again: each message has its place, and is there once."""
    numbers = itertools.count()
    for _ in range(3):
        for number in itertools.islice(numbers, 7):
            service.append_to_history("a", "s", said(number))
        archiver.run()
        assert observer.llen(keyspace.session("a", "s").history) == STAY.messages
    assert contents(file, keyspace, observer) == texts(*range(21))
    assert file.content().messages == 17


def test_long_messages_go_by_their_bytes(
    service: RedisMemoryService, archiver: Archiver, keyspace: Keyspace, observer: "Redis[bytes]"
) -> None:
    """The last one stays, however long it is."""
    for _ in range(2):
        service.append_to_history("a", "s", {"role": "user", "content": "x" * 70_000})
    assert archiver.run().messages == 1
    assert observer.llen(keyspace.session("a", "s").history) == 1


def test_what_is_kept_until_it_is_erased_is_never_over(
    service: RedisMemoryService, archiver: Archiver, keyspace: Keyspace, observer: "Redis[bytes]"
) -> None:
    """A century is promised; the time of the archive comes on top."""
    keys = keyspace.session("a", "s")
    service.append_to_history("a", "s", said(0))
    real = archiver.connection
    real.run(history.extend(keys, ttl_s=UNTIL_ERASED_S))
    assert keys.promised_s(observer.ttl(keys.history)) > UNTIL_ERASED_S - 10
    assert archiver.run().moved == 0


def test_a_session_from_before_there_was_an_archive_does_not_expire(
    memory_settings: MemorySettings,
    real_backend: Backend,
    archiver: Archiver,
    keyspace: Keyspace,
    observer: "Redis[bytes]",
) -> None:
    """The archiver's first look gives its TTL the time in which it waits."""
    before = RedisMemoryService(settings=memory_settings, connection=real_backend.connection)
    before.append_to_history("a", "s", said(0), ttl=100)
    archiver.run()
    keys = keyspace.session("a", "s")
    assert 90 < keys.promised_s(observer.ttl(keys.history)) <= 100


def _killing(connection: Connection, file: Archive, at: int) -> Callable[[], int]:
    """Have the process end before its `at`-th call of Redis or of the archive; how many came."""
    calls = itertools.count()

    def dying(call: Callable[..., object]) -> Callable[..., object]:
        def act(*arguments: object, **named: object) -> object:
            if next(calls) == at:
                raise Killed
            return call(*arguments, **named)

        return act

    for name in ("run", "run_each"):
        setattr(connection, name, dying(getattr(connection, name)))
    file.write = dying(file.write)  # type: ignore[method-assign, assignment]
    return lambda: next(calls)


@pytest.mark.parametrize("is_over", [False, True])
def test_an_archiver_that_dies_at_any_step_loses_and_doubles_nothing(
    settings: MemorySettings,
    service: RedisMemoryService,
    keyspace: Keyspace,
    observer: "Redis[bytes]",
    file: Archive,
    *,
    is_over: bool,
) -> None:
    """Before each call of Redis and of the file in turn; messages come meanwhile."""
    keys, count, steps = keyspace.session("a", "s"), 0, 0
    for at in itertools.count():
        for _ in range(6):
            service.append_to_history("a", "s", said(count))
            count += 1
        if is_over:
            observer.pexpire(keys.history, OVER_MS)
        doomed = archive_at(settings.archive_url or SecretStr(""))
        connection = Connection(settings)
        _killing(connection, doomed, at)
        try:
            Archiver(connection, keyspace, doomed, STAY).run()
            steps = at
        except Killed:
            pass
        connection.close()
        doomed.close()
        observer.delete(keyspace.archive_lock)
        assert contents(file, keyspace, observer)[-6:] == texts(*range(count - 6, count))
        if is_over:
            # Spoken to again: what is archived is another conversation to this test.
            Archiver(service.connection, keyspace, file, STAY).run()
            assert contents(file, keyspace, observer) == texts(*range(count))
            file.forget(keys.history)
            count = 0
        if steps:
            break
    if not is_over:
        Archiver(service.connection, keyspace, file, STAY).run()
        assert contents(file, keyspace, observer) == texts(*range(count))
        assert file.content().messages == count - STAY.messages
    assert steps > 5


def test_without_its_file_nothing_leaves_redis(
    service: RedisMemoryService, archiver: Archiver, keyspace: Keyspace, observer: "Redis[bytes]"
) -> None:
    """And operators are told why, until it is mended."""
    keys = keyspace.session("a", "s")
    service.append_to_history("a", "s", said(0))
    observer.pexpire(keys.history, OVER_MS)
    away = replace(archiver, file=ArchiveFile(Path("/dev/null/archive.db")))
    with pytest.raises(ArchiveUnavailable, match="cannot be opened"):
        away.run()
    assert observer.llen(keys.history) == 1
    assert b"cannot be opened" in (archiver.connection.run(archived.last_run(keyspace)) or b"")
    Housekeeping(archiver.connection, keyspace).clean_stale(idle_s=0)
    assert observer.llen(keys.history) == 1, "clean-up deletes nothing that is not archived"


def test_what_is_cleared_or_erased_is_deleted_in_the_archive(
    service: RedisMemoryService,
    archiver: Archiver,
    file: Archive,
    keyspace: Keyspace,
    observer: "Redis[bytes]",
) -> None:
    """Also of a session of which Redis has nothing; what comes after it is archived anew."""
    keys = keyspace.session("a", "s")

    def forget(how: Callable[[], object]) -> None:
        for number in range(6):
            service.append_to_history("a", "s", said(number))
        observer.pexpire(keys.history, OVER_MS)
        archiver.run()
        assert file.content().conversations == 1
        how()
        archiver.run()
        assert file.content().conversations == file.content().messages == 0
        observer.delete(keyspace.archive_forgotten)

    forget(lambda: service.clear_conversation_history("a", "s"))
    forget(lambda: service.save_conversation_history("a", "s", []))
    forget(lambda: erase_session(archiver.connection, keyspace, "a", "s"))
    forget(lambda: service.clear_all_agent_data("a"))
    service.save_conversation_history("a", "s", [said(7), said(8)])
    observer.delete(keyspace.archive_forgotten)
    observer.pexpire(keys.history, OVER_MS)
    archiver.run()
    assert contents(file, keyspace, observer) == texts(7, 8)


def test_erased_words_that_an_archiver_was_writing_are_deleted(
    service: RedisMemoryService,
    archiver: Archiver,
    file: Archive,
    keyspace: Keyspace,
    observer: "Redis[bytes]",
) -> None:
    """It read them before they were erased, wrote them after, and died."""
    keys = keyspace.session("a", "s")
    for number in range(6):
        service.append_to_history("a", "s", said(number))
    write = file.write

    def erased_meanwhile(*arguments: object, **named: object) -> None:
        erase_session(service.connection, keyspace, "a", "s")
        write(*arguments, **named)  # type: ignore[arg-type]
        raise Killed

    file.write = erased_meanwhile  # type: ignore[method-assign]
    with pytest.raises(Killed):
        archiver.run()
    file.write = write  # type: ignore[method-assign]
    assert file.content().messages == 2
    observer.delete(keyspace.archive_lock)
    archiver.run()
    assert file.content().messages == 0
    assert not observer.exists(keys.archive)


def _begin_turn(connection: Connection, mailbox: Mailbox, job_id: str) -> None:
    commands: Sequence[Command[object]] = (
        *mailbox.enqueue(job_id, b"{}", cap=9, grace_ms=1000),
        *mailbox.acquire(
            job_id, "t", lease_ms=9000, history_n=9, max_attempts=3, ttl_s=60, grace_ms=1000
        ),
    )
    connection.run_all(*commands)


def test_a_session_goes_on_where_it_was(
    service: RedisMemoryService,
    archiver: Archiver,
    file: Archive,
    keyspace: Keyspace,
    observer: "Redis[bytes]",
) -> None:
    """The end of it is read back, once, and goes to its old places when it is archived again."""
    keys, connection = keyspace.session("a", "s"), archiver.connection
    mailbox = Mailbox(keyspace, keys)
    for number in range(6):
        service.append_to_history("a", "s", said(number))
    observer.pexpire(keys.history, OVER_MS)
    archiver.run()
    part = file.newest(keys, at_most=3)
    assert part is not None
    assert part.first == 3
    _begin_turn(connection, mailbox, "j")

    rev, is_readable = connection.run_all(*archived.readable(keyspace, keys))
    back = archived.read_back(keys, part, job_id="j", attempt=1, rev=rev)
    assert is_readable
    assert connection.run(back)
    assert not connection.run(back), "it has a history now"
    for job_id, came_back in (("j", 3), ("other", 0)):
        assert connection.run(archived.came_back(keys, job_id)) == came_back
    assert observer.ttl(keys.history) == -1, "a job waits"
    connection.run_all(
        *mailbox.commit(
            "t", "j", [b'{"role":"user","content":"message 6"}'], event=b"{}", keep=99,
            ttl_s=60, grace_ms=1000,
        )
    )  # fmt: skip
    assert keys.promised_s(observer.ttl(keys.history)) in range(1, 61)
    connection.run_all(*index.touch(keyspace, "a", "s"))
    assert contents(file, keyspace, observer) == texts(*range(7))
    observer.pexpire(keys.history, OVER_MS)
    archiver.run()
    assert contents(file, keyspace, observer) == texts(*range(7))


def test_what_is_removed_while_it_is_read_back_stays_removed(
    service: RedisMemoryService, archiver: Archiver, file: Archive, keyspace: Keyspace
) -> None:
    """By clearing and by erasing; and a job that does not run brings nothing back."""
    keys, connection = keyspace.session("a", "s"), archiver.connection
    part = archived.Part("g", 0, (b"{}",))
    _begin_turn(connection, Mailbox(keyspace, keys), "j")
    rev, _ = connection.run_all(*archived.readable(keyspace, keys))
    service.clear_conversation_history("a", "s")
    assert not connection.run(archived.read_back(keys, part, job_id="j", attempt=1, rev=rev))
    rev, is_readable = connection.run_all(*archived.readable(keyspace, keys))
    assert not is_readable
    for job_id, attempt in (("other", 1), ("j", 2)):
        back = archived.read_back(keys, part, job_id=job_id, attempt=attempt, rev=rev)
        assert not connection.run(back)
    erase_session(connection, keyspace, "a", "s")
    assert not connection.run(archived.read_back(keys, part, job_id="j", attempt=1, rev=rev))
    assert file.newest(keys, at_most=9) is None


def test_an_export_has_what_is_archived_and_new_keys_reach_it(
    settings: MemorySettings, real_backend: Backend, file: Archive, observer: "Redis[bytes]"
) -> None:
    """Each message once, in order, and the summary; records are encrypted as they were."""
    old, new = (f"{name}:{base64.b64encode(name.encode() * 32).decode()}" for name in "ab")

    def keyspace_with(keys: str) -> Keyspace:
        return settings.model_copy(update={"encryption_keys": SecretStr(keys)}).keyspace

    keyspace, connection = keyspace_with(old), real_backend.connection
    keys = keyspace.session("a", "s")
    records = [b'{"role":"user","content":"message %d"}' % number for number in range(6)]
    for record in records:
        append = history.append(
            keys, [record], write_id=history.new_write_id(), keep=99, ttl_s=60, is_exact=False
        )
        connection.run_all(append, *index.touch(keyspace, "a", "s"))
    connection.run_all(*summary.claim(keys, b"c"))
    summed_up = summary.Summary("in short", summary.name_of(records[5]))
    assert connection.run(summary.keep(keys, summary.Earlier(b"c", b"", None, ()), summed_up))

    def lines(keyspace: Keyspace) -> list[object]:
        keys = keyspace.session("a", "s")
        elsewhere = partial(kept_elsewhere, connection, keyspace, file, keys)
        found = exported(connection, keyspace, "a", "s", elsewhere=elsewhere)
        return [one.get("message") or one.get("text") for one in found][1:]

    whole = lines(keyspace)
    assert whole == [*map(said, range(6)), "in short"]
    Archiver(connection, keyspace, file, STAY).run()
    assert lines(keyspace) == whole
    observer.pexpire(keys.history, OVER_MS)
    Archiver(connection, keyspace, file, STAY).run()
    assert not observer.exists(keys.history)
    lies_there = b"".join(file.every(keys))
    if isinstance(file, ArchiveFile):
        lies_there += file.path.read_bytes() + Path(f"{file.path}-wal").read_bytes()
    assert lies_there
    assert b"message 3" not in lies_there

    both = keyspace_with(f"{new},{old}")
    *_, progress = reencrypt_archive(file, both, Rewriting(0))
    assert (progress.written, progress.is_done) == (7, True)
    assert lines(keyspace_with(new)) == whole


def test_the_sessions_of_an_agent_are_listed_that_which_was_written_last_first(
    file: Archive, keyspace: Keyspace
) -> None:
    """With the messages of all their conversations; no more than are wanted, and of no other."""

    def write(agent: str, session: str, generation: str, first: int, at_ms: int) -> None:
        part = archived.Part(generation, first, (b"x", b"y"), b"", b"")
        file.write([Leaving(keyspace.session(agent, session), part, ())], now_ms=at_ms)

    write("a", "old", "g", 0, 1)
    write("a", "long", "g1", 0, 2)
    write("other", "old", "g", 0, 3)
    write("a", "s", "g", 0, 4)
    write("a", "long", "g2", 0, 5)
    write("a", "long", "g2", 2, 6)
    listed = [ArchivedSession(*of) for of in (("long", 6, 6), ("s", 2, 4), ("old", 2, 1))]
    assert file.sessions("a", at_most=10) == listed
    assert file.sessions("a", at_most=2) == listed[:2]
    assert file.sessions("nobody", at_most=10) == []


def test_only_one_process_archives(archiver: Archiver) -> None:
    """A second one says so and does nothing; one that has died is replaced by and by."""
    assert archiver.connection.run(archived.take_lock(archiver.keyspace, "other"))
    assert not archiver.run().is_complete
    archiver.connection.run(archived.release_lock(archiver.keyspace))
    assert archiver.run().is_complete


@pytest.mark.parametrize("due_ms", [None, 4_000_000_000_000])
def test_events_do_not_wait_for_the_archive(
    real_backend: Backend, keyspace: Keyspace, observer: "Redis[bytes]", due_ms: int | None
) -> None:
    """Of a job that waits and of one that is delayed: they live as long as without an archive."""
    keys = keyspace.session("a", "s")
    job = Intake("j", b"{}", 10, ttl_s=100, due_ms=due_ms, wait_ms=1000)
    real_backend.connection.run_last(*Mailbox(keyspace, keys).take_in(job, grace_ms=1000))
    assert 0 < observer.ttl(keys.events) <= 100


def test_a_database_that_is_away_is_named_without_its_password(postgres: PostgresServer) -> None:
    """In what an operator reads: refused, unknown, or with a wrong password."""
    right = postgres.url
    for url, why in (
        (right.replace(str(postgres.port), "1"), "refused"),
        (right.removesuffix("postgres") + "nobody", "does not exist"),
        (right.replace(PASSWORD, f"{PASSWORD}-wrong"), "password authentication failed"),
    ):
        archive = archive_at(SecretStr(url))
        with pytest.raises(ArchiveUnavailable, match=why) as refused:
            archive.check()
        archive.close()
        said = "".join(traceback.format_exception(refused.value))
        assert "postgresql://127.0.0.1:" in str(refused.value)
        assert PASSWORD not in said + archive.name + repr(archive)


@pytest.mark.parametrize(
    "url", ["mysql://u:canary@h/d", "postgresql://u:canary@h", "sqlite:///", "postgresql://h:x/d"]
)
def test_an_address_that_names_no_archive_is_refused_and_not_shown(url: str) -> None:
    """Before anything starts."""
    with pytest.raises(ValidationError, match="ARCHIVE_URL") as refused:
        MemorySettings(archive_url=SecretStr(url))
    assert "canary" not in str(refused.value)


def test_without_its_packages_the_line_to_install_them_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing else needs them."""
    monkeypatch.delitem(sys.modules, "memory.archive.database", raising=False)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(ArchiveUnavailable, match=r"pip install './griot\[archive\]'"):
        archive_at(SecretStr("postgresql://u:p@h/d"))
