"""A session taken out of Redis and brought back: `griot export session` and `griot import`."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from pydantic import JsonValue

from memory.errors import CorruptData, InvalidInput, MailboxError
from memory.keys import Keyspace, SessionKeys
from memory.lifetimes import DEDUPE_MS
from memory.mailbox import dead_letters, due_list, schedules
from memory.mailbox.intake import MergedEnvelope
from memory.mailbox.mailbox import Mailbox
from memory.mailbox.words import decrypted_envelope
from memory.records import archived, audit, history, index, summary, users, values
from memory.records.audit import Deed
from memory.records.codec import decode_messages, decode_value
from memory.records.limits import MAX_TTL_S
from memory.records.message import is_nested_too_deeply
from memory.records.session_data import MAX_FIELDS
from memory.records.summary import name_of
from memory.redis.command import Command, LuaScript
from memory.redis.connection import Connection
from memory.redis.replies import code_and_count, integer, optional, pairs
from memory.upkeep.transfer_file import HEADER, VERSION, Line, MovedSchedule, Transfer, raw
from memory.upkeep.whole_history import Elsewhere, read_whole

_RESTORE = LuaScript.load("records", "restore")
MAX_USERS = 10_000
SOON_MS = 1000


class SessionNotEmpty(MailboxError):
    """The session that was to be restored has a history, jobs or data. Nothing was written."""

    def __init__(self, keys: SessionKeys, messages: int | None) -> None:
        found = "data of its own" if messages is None else f"{messages} messages"
        super().__init__(
            f"session {keys.session_id!r} of agent {keys.agent_id!r} is not empty, it has "
            f"{found if messages != 0 else 'waiting jobs'}; nothing was written; import it "
            "under another --session, or replace its content with --force"
        )


def exported(
    connection: Connection,
    keyspace: Keyspace,
    agent_id: str,
    session_id: str,
    *,
    elsewhere: Elsewhere | None = None,
) -> Iterator[Line]:
    """What is kept of a session, line by line, for `transfer_file.as_lines`; what is kept
    `elsewhere` comes before what is in Redis, each message once.

    Raises InvalidInput where there is nothing, and MemoryServiceError. It is in the audit before
    the first line comes.
    """
    found = audit.recorded(
        connection, keyspace, Deed.EXPORT, agent_id=agent_id, session_id=session_id
    )
    with found as entry:
        lines = _exported(connection, keyspace, keyspace.session(agent_id, session_id), elsewhere)
        for number, line in enumerate(lines, start=1):
            entry.outcome = f"exported: {number} lines"
            yield line


def _exported(
    connection: Connection, keyspace: Keyspace, keys: SessionKeys, elsewhere: Elsewhere | None
) -> Iterator[Line]:
    agent_id, session_id = keys.agent_id, keys.session_id
    found = read_whole(connection, keys, elsewhere)
    ttl_s = keys.promised_s(found.ttl_s)
    lines = [
        *_history_lines(found.stored),
        *_summary_lines(found.stored, found.summary),
        *_data_lines(connection, keyspace, session_id),
        *_job_lines(connection, keyspace, keys),
        *_schedule_lines(connection, keys),
        *({"kind": "user", "user": user} for user in _users(connection, keys)),
    ]
    if not lines:
        raise InvalidInput(f"nothing is stored of session {session_id!r} of agent {agent_id!r}")
    yield {
        "kind": HEADER,
        "version": VERSION,
        "agent_id": agent_id,
        "session_id": session_id,
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "ttl_s": min(ttl_s, MAX_TTL_S) if ttl_s > 0 else None,
        **({"until_erased": True} if ttl_s > MAX_TTL_S else {}),
    }
    yield from lines


def restore(
    connection: Connection,
    keyspace: Keyspace,
    transfer: Transfer,
    *,
    default_ttl_s: int,
    is_forced: bool = False,
    elsewhere: int = 0,
) -> None:
    """Bring a session back. What had a TTL has it again, counted from now.

    Raises SessionNotEmpty, also for the messages that are kept `elsewhere`, unless it is forced:
    then the history is replaced, what is archived of it is forgotten, and those values of the
    session's data are replaced that the transfer has. History and summary are written in one step,
    the rest after it. Safe to repeat when forced. It is in the audit before anything is written.
    """
    if elsewhere and not is_forced:
        keys = keyspace.session(transfer.agent_id, transfer.session_id)
        raise SessionNotEmpty(keys, elsewhere)
    agent_id, session_id = transfer.agent_id, transfer.session_id
    found = audit.recorded(
        connection, keyspace, Deed.IMPORT, agent_id=agent_id, session_id=session_id
    )
    with found as entry:
        _restore(connection, keyspace, transfer, default_ttl_s, is_forced=is_forced)
        entry.outcome = f"imported: {len(transfer.messages)} messages"


def _restore(
    connection: Connection,
    keyspace: Keyspace,
    transfer: Transfer,
    default_ttl_s: int,
    *,
    is_forced: bool,
) -> None:
    keys = keyspace.session(transfer.agent_id, transfer.session_id)
    data = [keyspace.session_data(transfer.session_id, one.key) for one in transfer.values]
    if not is_forced:
        _check_empty(connection, keys, data)
    # The users first, as with a job: what is there has its entry.
    for user in dict.fromkeys(transfer.users):
        connection.run_all(*users.touch(keyspace, user, keys))
    if is_forced:
        connection.run_each(archived.forget(keyspace, keys))
    _restore_history(connection, keys, transfer, default_ttl_s, is_forced=is_forced)
    connection.run_all(*index.touch(keyspace, transfer.agent_id, transfer.session_id))
    for key, one in zip(data, transfer.values, strict=True):
        note = values.note_fields(
            keyspace, transfer.session_id, [one.key], ttl_s=one.ttl_s, is_exact=True
        )
        connection.run_all(
            note, values.save(keyspace, key, one.encoded, ttl_s=one.ttl_s, is_own=one.is_own_ttl)
        )
    _restore_schedules(connection, keyspace, keys, transfer.schedules)


def _restore_schedules(
    connection: Connection, keyspace: Keyspace, keys: SessionKeys, moved: Sequence[MovedSchedule]
) -> None:
    if not moved:
        return
    # Listed first: a look too early is harmless, a session off the list waits for `add_strays`.
    connection.run(due_list.look(keyspace.schedules, keys.history, delay_ms=SOON_MS))
    for one in moved:
        connection.run(schedules.save(keys, one.schedule_id, one.packed))


def _check_empty(connection: Connection, keys: SessionKeys, data: Sequence[str]) -> None:
    messages = connection.run(Command(integer, ("LLEN", keys.history)))
    jobs = sum(connection.run_all(index.size(keys.queue), index.size(keys.delayed)))
    if messages or jobs:
        raise SessionNotEmpty(keys, messages)
    if connection.run(schedules.count(keys)):
        raise SessionNotEmpty(keys, None)
    if any(connection.run_each([values.exist([key]) for key in data])):
        raise SessionNotEmpty(keys, None)


def _restore_history(
    connection: Connection,
    keys: SessionKeys,
    transfer: Transfer,
    default_ttl_s: int,
    *,
    is_forced: bool,
) -> None:
    last = transfer.messages[transfer.summary_until - 1] if transfer.summary_until else None
    summed_up = summary.Summary(transfer.summary, b"" if last is None else name_of(last))
    text, until = summary.encrypted(keys, summed_up)
    command = _RESTORE.command(
        code_and_count,
        keys,
        write_id=history.new_write_id(),
        ttl_ms=keys.held_s(transfer.ttl_s or default_ttl_s) * 1000,
        dedupe_ms=DEDUPE_MS,
        is_forced=int(is_forced),
        text=text,
        last=until,
        records=history.encrypted(keys, transfer.messages),
    )
    code, messages = connection.run(command)
    if code == b"NOT_EMPTY":
        raise SessionNotEmpty(keys, messages)


def _history_lines(stored: Sequence[bytes]) -> Iterator[Line]:
    for element in stored:
        messages = decode_messages([element]).messages
        if messages:
            yield {"kind": "message", "message": messages[0]}
        else:
            yield {"kind": "unreadable", "base64": raw(element)}


def _summary_lines(stored: Sequence[bytes], kept: summary.Summary | None) -> Iterator[Line]:
    if kept is None:
        return
    readable = [element for element in stored if decode_messages([element]).messages]
    names = [name_of(element) for element in readable]
    # Messages are counted, for their bytes may be others when they come back.
    until = names.index(kept.until) + 1 if kept.until in names else 0
    yield {"kind": "summary", "text": kept.text, "messages": until}


def _data_lines(connection: Connection, keyspace: Keyspace, session_id: str) -> Iterator[Line]:
    for name in connection.run(values.field_names(keyspace, session_id, at_most=MAX_FIELDS)):
        key = keyspace.session_data(session_id, name)
        stored, ttl_s = connection.run_all(
            Command(optional(bytes), ("GET", key)), Command(integer, ("TTL", key))
        )
        if stored is not None:
            is_own, plain = stored.endswith(values.OWN_TTL), values.decrypted(keyspace, key, stored)
            yield _data_line(name, plain, min(max(1, ttl_s), MAX_TTL_S), is_own=is_own)


def _data_line(name: str, stored: bytes, ttl_s: int, *, is_own: bool) -> Line:
    try:
        own: Line = {"own_ttl": True} if is_own else {}
        return {"kind": "data", "key": name, "value": _json(stored), "ttl_s": ttl_s, **own}
    except CorruptData:
        return {"kind": "unreadable", "key": name, "base64": raw(stored)}


def _job_lines(connection: Connection, keyspace: Keyspace, keys: SessionKeys) -> Iterator[Line]:
    waiting = Command(pairs, ("HGETALL", keys.jobs))
    letters = dead_letters.letters(Mailbox(keyspace, keys))
    jobs, found = connection.run_all(waiting, letters)
    for name, envelope in jobs:
        job_id = name.decode(errors="replace")
        yield {"kind": "waiting_job", "job_id": job_id, **_job(keys, job_id, envelope)}
    for letter in found.letters:
        yield {
            "kind": "dead_letter",
            "job_id": letter.job_id,
            "reason": letter.reason,
            "died_at_ms": letter.died_at_ms,
            **_dead_job(keys, letter),
        }


def _dead_job(keys: SessionKeys, letter: dead_letters.DeadLetter) -> dict[str, JsonValue]:
    if letter.too_large_bytes:
        return {"too_large_bytes": letter.too_large_bytes}
    return _job(keys, letter.job_id, letter.envelope)


def _job(keys: SessionKeys, job_id: str, envelope: bytes) -> dict[str, JsonValue]:
    """The requests in an envelope, the one that came last at the end."""
    try:
        carried = MergedEnvelope.parse(decrypted_envelope(keys, job_id, envelope))
        parts = [*(one.envelope for one in carried.merged), carried.envelope]
        return {"jobs": [_json(part) for part in parts]}
    except CorruptData:
        return {"base64": raw(envelope)}


def _json(stored: bytes) -> JsonValue:
    """What can be written as a part of a line. Raises CorruptData for anything else."""
    value = decode_value(stored, what="it")
    if is_nested_too_deeply(stored, value):
        raise CorruptData("it is nested too deeply")
    return value


def _schedule_lines(connection: Connection, keys: SessionKeys) -> Iterator[Line]:
    for kept in connection.run(schedules.every(keys)):
        about = {"kind": "schedule", "schedule_id": kept.schedule_id}
        try:
            yield {**about, "schedule": _json(kept.packed)}
        except CorruptData:
            yield {**about, "kind": "unreadable", "base64": raw(kept.packed)}


def _users(connection: Connection, keys: SessionKeys) -> list[str]:
    return connection.run(users.of_session(keys, at_most=MAX_USERS))
