"""A session goes into a file and comes back as it was; a bad file writes nothing."""

from collections.abc import Callable

import orjson
import pytest

from memory import (
    CorruptData,
    InvalidInput,
    Keyspace,
    Mailbox,
    RedisMemoryService,
    sessions_of_user,
    users,
)
from memory.lifetimes import UNTIL_ERASED_S
from memory.mailbox.intake import Intake, OnBusy
from memory.mailbox.outcomes import Ending
from memory.records import summary
from memory.records.summary import Earlier, Summary, name_of
from memory.upkeep.transfer import SessionNotEmpty, exported, restore
from memory.upkeep.transfer_file import Transfer, as_lines, read, renamed
from tests.support.memory_fixtures import Backend

MESSAGES: list[dict[str, object]] = [
    {"role": "user", "content": "é 😀 \x00", "metadata": {"user_id": 7}, "n": 1.5},
    {"role": "assistant", "content": "two", "images": None},
    {"role": "user", "content": "three", "merged": [{"job_id": "j", "metadata": {"user_id": "b"}}]},
    {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]},
]
Lines = list[bytes]


@pytest.fixture
def keyspace(backend: Backend) -> Keyspace:
    """The names of this test's keys."""
    return backend.service().keyspace


@pytest.fixture
def export(backend: Backend, keyspace: Keyspace) -> Callable[[str, str], Lines]:
    """The file of a session."""
    return lambda agent, session: list(
        as_lines(exported(backend.connection, keyspace, agent, session))
    )


@pytest.fixture
def bring_back(backend: Backend, keyspace: Keyspace) -> Callable[..., Transfer]:
    """Import a file; `is_forced` and another session's id may be given."""

    def act(lines: Lines, session: str | None = None, *, is_forced: bool = False) -> Transfer:
        transfer = renamed(read(lines, most_messages=1000, max_bytes=10**6), None, session)
        restore(backend.connection, keyspace, transfer, default_ttl_s=500, is_forced=is_forced)
        return transfer

    return act


@pytest.fixture
def full(redis_memory: RedisMemoryService, backend: Backend, keyspace: Keyspace) -> str:
    """A session with all that one can have."""
    redis_memory.save_conversation_history("a", "s", MESSAGES, ttl=1000)
    redis_memory.set_session_data("s", "k:1", {"x": [1, None]}, ttl=50)
    redis_memory.set_session_data("s", "nothing", None, ttl=60)
    keys = keyspace.session("a", "s")
    element = backend.observer.lindex(keys.history, 1)
    assert isinstance(element, bytes)
    backend.connection.run_all(*summary.claim(keys, b"c"))
    kept = summary.keep(keys, Earlier(b"c", b"", None, ()), Summary("in short", name_of(element)))
    assert backend.connection.run(kept)
    backend.connection.run_all(*users.touch(keyspace, "cancelled", keys))
    return "s"


def test_a_session_comes_back_as_it_was(
    full: str,
    export: Callable[[str, str], Lines],
    bring_back: Callable[..., Transfer],
    backend: Backend,
    keyspace: Keyspace,
) -> None:
    """Messages, summary, data, TTLs, users; the file of the copy is that of the original."""
    redis_memory = backend.service()
    lines = export("a", full)

    bring_back(lines, "copy")

    keys = keyspace.session("a", "copy")
    assert redis_memory.get_conversation_history("a", "copy") == MESSAGES
    assert redis_memory.get_session_data("copy", "k:1") == {"x": [1, None]}
    second = backend.observer.lindex(keys.history, 1)
    assert isinstance(second, bytes)
    assert backend.connection.run(summary.read(keys)) == Summary("in short", name_of(second))
    assert 990 <= backend.observer.ttl(keys.history) <= 1000
    assert 40 <= backend.observer.ttl(keyspace.session_data("copy", "k:1")) <= 50
    assert set(redis_memory.get_all_sessions_for_agent("a")) == {"s", "copy"}
    for user in ("7", "b", "cancelled"):
        found = sessions_of_user(backend.connection, keyspace, user)
        assert ("copy", True) in [(one.session_id, one.is_shared) for one in found]
    again = export("a", "copy")
    assert _of_kind(again, "message", "summary") == _of_kind(lines, "message", "summary")


def _of_kind(lines: Lines, *kinds: str) -> list[dict[str, object]]:
    return [fields for line in lines if (fields := orjson.loads(line))["kind"] in kinds]


def test_the_file_has_a_header_and_counts_its_lines(
    full: str, export: Callable[[str, str], Lines]
) -> None:
    """One JSON object for each line."""
    lines = export("a", full)

    header, last = orjson.loads(lines[0]), orjson.loads(lines[-1])
    assert (header["kind"], header["version"]) == ("griot session", 1)
    assert (header["agent_id"], header["session_id"]) == ("a", "s")
    assert last == {"kind": "end", "lines": len(lines)}
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines)


def test_what_is_kept_until_it_is_erased_is_so_again(
    redis_memory: RedisMemoryService,
    backend: Backend,
    keyspace: Keyspace,
    export: Callable[[str, str], Lines],
    bring_back: Callable[..., Transfer],
) -> None:
    """A Griot that does not know this reads the longest TTL that it takes."""
    redis_memory.save_conversation_history("a", "s", MESSAGES)
    backend.observer.expire(keyspace.session("a", "s").history, UNTIL_ERASED_S)
    lines = export("a", "s")
    assert orjson.loads(lines[0])["ttl_s"] == 315_360_000
    bring_back(lines, "t")
    assert backend.observer.ttl(keyspace.session("a", "t").history) > UNTIL_ERASED_S - 10


def test_what_cannot_be_read_and_jobs_are_exported_and_left_out_by_an_import(
    redis_memory: RedisMemoryService,
    export: Callable[[str, str], Lines],
    bring_back: Callable[..., Transfer],
    backend: Backend,
    keyspace: Keyspace,
) -> None:
    """A person who asks sees all of it; nothing of it is run again or shown to a model."""
    redis_memory.save_conversation_history("a", "s", MESSAGES[:1])
    keys = keyspace.session("a", "s")
    backend.observer.rpush(keys.history, b"{damaged", b'{"role":"user","content":7}')
    redis_memory.set_session_data("s", "bad", 1)
    backend.observer.set(keyspace.session_data("s", "bad"), b"{", ex=60)
    box = Mailbox.of(keyspace, "a", "s")
    for job, on_busy in ((job, OnBusy.ENQUEUE) for job in ("j1", "j2", "j3")):
        envelope = b'{"job":{"message":"%s"}}' % job.encode()
        backend.connection.run_all(*box.take_in(Intake(job, envelope, 9, on_busy), grace_ms=1))
    backend.connection.run_all(
        *box.discard("j2", "refused", owner="o", ending=Ending.DEAD, ttl_s=60, grace_ms=1)
    )
    buried = box.discard(
        "j3", "big", owner="o", ending=Ending.DEAD, ttl_s=60, grace_ms=1, dead_bytes=9
    )
    backend.connection.run_all(*buried)

    lines = export("a", "s")

    (waiting,) = _of_kind(lines, "waiting_job")
    assert (waiting["job_id"], waiting["jobs"]) == ("j1", [{"job": {"message": "j1"}}])
    dead, too_large = _of_kind(lines, "dead_letter")
    assert (dead["reason"], dead["jobs"]) == ("refused", [{"job": {"message": "j2"}}])
    assert (too_large["too_large_bytes"], "jobs" in too_large) == (24, False)
    assert len(_of_kind(lines, "unreadable")) == 3
    transfer = bring_back(lines, "copy")
    assert transfer.left_out == {"unreadable": 3, "waiting_job": 1, "dead_letter": 2}
    assert redis_memory.get_conversation_history("a", "copy") == MESSAGES[:1]


def test_a_session_that_is_not_empty_is_left_alone_unless_forced(
    full: str,
    export: Callable[[str, str], Lines],
    bring_back: Callable[..., Transfer],
    redis_memory: RedisMemoryService,
    backend: Backend,
) -> None:
    """By its history, its jobs or its data; forced, other data and jobs stay."""
    lines = export("a", full)
    redis_memory.append_to_history("a", "talked", MESSAGES[0])
    redis_memory.set_session_data("noted", "nothing", 1)
    box = Mailbox.of(redis_memory.keyspace, "a", "asked")
    backend.connection.run_all(*box.enqueue("j", b"{}", cap=9, grace_ms=1))
    redis_memory.set_session_data("asked", "other", 2)
    before = {key: backend.observer.dump(key) for key in _keys(backend)}

    for session, found in (("talked", "1 messages"), ("asked", "jobs"), ("noted", "data")):
        with pytest.raises(SessionNotEmpty, match=f"{found}.*nothing was written.*--force"):
            bring_back(lines, session)
    assert {key: backend.observer.dump(key) for key in _keys(backend)} == before

    for session in ("talked", "asked", "noted"):
        bring_back(lines, session, is_forced=True)
        assert redis_memory.get_conversation_history("a", session) == MESSAGES
        assert redis_memory.get_session_data(session, "nothing") is None
    assert backend.connection.run(box.pending()) == ["j"]
    assert redis_memory.get_session_data("asked", "other") == 2
    backend.observer.unlink(box.keys.queue, box.keys.jobs)


def _keys(backend: Backend) -> list[str]:
    return [key for key in backend.keys() if not key.endswith(":audit")]  # noqa: SIM118 - a method


def test_a_session_that_began_meanwhile_is_not_overwritten(
    full: str,
    export: Callable[[str, str], Lines],
    backend: Backend,
    keyspace: Keyspace,
) -> None:
    """The script looks once more, in the step in which it writes."""
    transfer = read(export("a", full), most_messages=9, max_bytes=10**6)
    transfer = renamed(transfer, None, "copy")
    element = {"role": "user", "content": "first"}

    class Racing:
        """A connection on which somebody is faster."""

        def __init__(self) -> None:
            self.run_all = backend.connection.run_all
            self.run_each = backend.connection.run_each

        def run(self, command: object) -> object:
            if getattr(command, "script", None) is not None:
                backend.service().append_to_history("a", "copy", element)
            return backend.connection.run(command)  # type: ignore[arg-type]  # it is one

    with pytest.raises(SessionNotEmpty):
        restore(Racing(), keyspace, transfer, default_ttl_s=60)  # type: ignore[arg-type]  # as good as one
    assert backend.service().get_conversation_history("a", "copy") == [element]


def test_nothing_is_no_session(export: Callable[[str, str], Lines]) -> None:
    """A wrong id is told."""
    with pytest.raises(InvalidInput, match="nothing is stored of session 'none' of agent 'a'"):
        export("a", "none")


def test_data_alone_is_a_session(
    redis_memory: RedisMemoryService,
    export: Callable[[str, str], Lines],
    bring_back: Callable[..., Transfer],
) -> None:
    """And a history alone is one, without a TTL of its own in a hand-made file."""
    redis_memory.set_session_data("s", "k", "v")
    bring_back(export("a", "s"), "copy")
    assert redis_memory.get_session_data("copy", "k") == "v"
    assert redis_memory.get_conversation_history("a", "copy") == []


def test_a_key_of_another_type_is_named(
    redis_memory: RedisMemoryService,
    export: Callable[[str, str], Lines],
    bring_back: Callable[..., Transfer],
    backend: Backend,
) -> None:
    """Nothing is written over it."""
    redis_memory.append_to_history("a", "s", MESSAGES[0])
    lines = export("a", "s")
    backend.observer.set(redis_memory.keyspace.session("a", "copy").history, b"x", ex=60)
    for is_forced in (False, True):
        with pytest.raises(CorruptData):
            bring_back(lines, "copy", is_forced=is_forced)


HEADER = {"kind": "griot session", "version": 1, "agent_id": "a", "session_id": "s", "ttl_s": 9}
GOOD = {"kind": "message", "message": {"role": "user", "content": "x"}}


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([], "line 1: it is missing"),
        ([GOOD], "line 1: it is not a header"),
        (
            [{**HEADER, "version": 2}],
            ("line 1: the file has format version 2, but this Griot reads version 1"),
        ),
        ([{**HEADER, "agent_id": 7}], "line 1: its agent_id is not text"),
        ([{**HEADER, "ttl_s": 0}], "line 1: its ttl_s must be from 1"),
        ([HEADER, GOOD, b"{"], "line 3: it is not JSON"),
        ([HEADER, GOOD, [1]], "line 3: it is not a JSON object"),
        ([HEADER, GOOD, {"kind": "other"}], "line 3: its kind is unknown to this version"),
        ([HEADER, GOOD, {"kind": ["other"]}], "line 3: its kind is unknown to this version"),
        ([HEADER, {"kind": "message", "message": 7}], ("line 2: its message is not a JSON object")),
        (
            [HEADER, {"kind": "message", "message": {"role": "user", "content": 7}}],
            "line 2: the message has a content of type",
        ),
        ([HEADER, {"kind": "message", "message": {"role": "x"}}], "line 2: .*unknown role"),
        ([HEADER, {"kind": "summary", "text": 7}], "line 2: its text is not text"),
        (
            [HEADER, {"kind": "data", "key": "", "value": 1, "ttl_s": 1}],
            "line 2: its key is not text",
        ),
        ([HEADER, {"kind": "data", "key": "k", "value": 1}], "line 2: its ttl_s must be an int"),
        (
            [HEADER, {"kind": "data", "key": "k", "value": "x" * 2000, "ttl_s": 1}],
            "line 2: .*bytes",
        ),
        ([HEADER, {"kind": "user", "user": None}], "line 2: its user is not text"),
        ([HEADER, GOOD], "line 3: it is missing: the file is incomplete"),
        ([HEADER, GOOD, {"kind": "end", "lines": 9}], "line 3: the file should have 9 lines"),
        ([HEADER, {"kind": "end", "lines": 2}, GOOD], "line 3: it comes after the last line"),
        ([HEADER, *[GOOD] * 4, {"kind": "end", "lines": 6}], "4 messages; the limit is 3"),
        (
            [HEADER, {"kind": "summary", "text": "t", "messages": 2}, {"kind": "end", "lines": 3}],
            "the summary covers 2 messages, but the file has 0",
        ),
    ],
)
def test_a_bad_line_is_told_by_its_number(lines: list[object], error: str) -> None:
    """Before anything is written; and without the words in it."""
    stored = [line if isinstance(line, bytes) else orjson.dumps(line) for line in lines]
    with pytest.raises(InvalidInput, match=error):
        read(stored, most_messages=3, max_bytes=1000)


def test_an_image_that_nobody_can_show_keeps_no_session_from_coming_back(
    redis_memory: RedisMemoryService,
    backend: Backend,
    keyspace: Keyspace,
    export: Callable[[str, str], Lines],
    bring_back: Callable[..., Transfer],
) -> None:
    """Another program has written it; prompts are made without it."""
    message = {"role": "user", "content": "look", "images": ["https://example.org/a.png"]}
    backend.observer.rpush(keyspace.session("a", "s").history, orjson.dumps(message))
    bring_back(export("a", "s"), "t")
    assert redis_memory.get_conversation_history("a", "t") == [message]
