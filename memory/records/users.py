"""Which sessions a user has sent messages to, and who else has: for erasure.

A user is a text: `metadata.user_id` of a job. What a job without one brings counts for nobody.
Written before the job goes into its mailbox, so that no message lies anywhere without its entry
here; an entry goes only when nothing is left of its session (docs/decisions.md).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b

import orjson

from memory.ids import MAX_ID_BYTES
from memory.keys import Keyspace, SessionKeys
from memory.records import index, values
from memory.records.index import SETTLED_MS, Entry, touch_indexes
from memory.redis.command import Command, LuaScript, ignore_corrupt
from memory.redis.connection import Connection
from memory.redis.replies import after_ok, strings, unexpected_reply

USER_ID = "user_id"
"""What in a job's metadata says whose message it is."""

_MEMBERS = LuaScript.load("records", "members")
_NOT_KEPT = frozenset({"agent_id", "session_id", "users", "cipher", "archive", "is_archived"})
_KEPT = tuple(one.name for one in fields(SessionKeys) if one.name not in _NOT_KEPT)


@dataclass(frozen=True, slots=True)
class UserSession:
    """A session in which something of a user may lie. `is_shared`: another user wrote there too, or
    that cannot be found out. `seen_ms` is the user's last message, ms of the server's clock."""

    agent_id: str
    session_id: str
    is_shared: bool
    seen_ms: float


def user_of(metadata: object) -> str | None:
    """The user that the metadata of a job names, as text; None where they name nobody."""
    if metadata is None:
        return None
    user = metadata.get(USER_ID) if isinstance(metadata, Mapping) else None
    if user is None or user == "":
        return None
    return user if isinstance(user, str) else orjson.dumps(user).decode()


def touch(keyspace: Keyspace, user: str, keys: SessionKeys) -> tuple[Command[int], ...]:
    """Note that a user sends a message to a session. Send it before the message is taken in.

    Several commands on a cluster, as `index.touch`, which is no less safe. A damaged index fails no
    job: it is logged (docs/decisions.md).
    """
    name = name_of(user)
    members = {
        keyspace.users: name,
        keyspace.user(name): _member(keyspace, keys),
        keys.users: name,
    }
    return touch_indexes(keyspace, members)


def of_session(keys: SessionKeys, *, at_most: int) -> Command[list[str]]:
    """The users who sent messages to a session, last used first; none where that is damaged."""
    members = _MEMBERS.command(
        lambda reply: [_decoded(one) for one in _listed(reply)], keys.users, limit=at_most
    )
    return ignore_corrupt(members, [])


def sessions_of_user(connection: Connection, keyspace: Keyspace, user: str) -> list[UserSession]:
    """The sessions in which anything of a user may be left, last used first.

    That is: any key of the session is there, or session data under its id. What is found empty on
    the way is dropped from the indexes. Raises MemoryServiceError.
    """
    found = [
        UserSession(keys.agent_id, keys.session_id, is_shared, entry.seen_ms)
        for page in _living_pages(connection, keyspace, user)
        for (entry, keys), is_shared in zip(page, _shared(connection, user, page), strict=True)
    ]
    # A session that is used meanwhile may come twice.
    return list({(one.agent_id, one.session_id): one for one in found}.values())


def forget(
    connection: Connection,
    keyspace: Keyspace,
    user: str,
    sessions: Sequence[UserSession],
    *,
    until_ms: float,
) -> None:
    """Take sessions off a user's list, and the user off theirs, unless they wrote after `until_ms`.

    For who has removed what a user had there. Safe to repeat. Raises MemoryServiceError.
    """
    keys = [keyspace.session(one.agent_id, one.session_id) for one in sessions]
    entries = [Entry(_member(keyspace, one), until_ms) for one in keys]
    _drop(connection, keyspace, user, entries, until_ms)


def drop_dead(connection: Connection, keyspace: Keyspace, user: str) -> bool:
    """Drop the sessions of a user of which nothing is left. Whether there are any others."""
    pages = list(_living_pages(connection, keyspace, user))
    return any(pages)


def _living_pages(
    connection: Connection, keyspace: Keyspace, user: str
) -> Iterator[list[tuple[Entry, SessionKeys]]]:
    """The sessions of a user of which anything is left, a page at a time; others are dropped."""
    now_ms = connection.run(index.server_time_ms())
    for page in list(_pages(connection, keyspace.user(name_of(user)))):
        known = [(entry, keys) for entry in page if (keys := _keys(keyspace, entry)) is not None]
        is_left = _is_left(connection, keyspace, [keys for _, keys in known])
        living = [one for one, is_there in zip(known, is_left, strict=True) if is_there]
        kept = {entry.member for entry, _ in living}
        dead = [entry for entry in page if entry.member not in kept]
        _drop(connection, keyspace, user, dead, now_ms - SETTLED_MS)
        yield living


def _is_left(
    connection: Connection, keyspace: Keyspace, sessions: Sequence[SessionKeys]
) -> list[bool]:
    ours = [values.exist([getattr(keys, name) for name in _KEPT]) for keys in sessions]
    data = [values.exist([keyspace.session_fields(keys.session_id)]) for keys in sessions]
    found = zip(connection.run_each(ours), connection.run_each(data), strict=True)
    return [bool(keys or fields_) for keys, fields_ in found]


def _shared(
    connection: Connection, user: str, page: Sequence[tuple[Entry, SessionKeys]]
) -> list[bool]:
    # Two are enough to know that one of them is another. An index that cannot be read: shared.
    name, unknown = name_of(user), [b"", b""]
    asked = [ignore_corrupt(_members(keys.users, limit=2), unknown) for _, keys in page]
    answers = connection.run_each(asked)
    return [any(_decoded(one) != name for one in who) for who in answers]


def _members(index_key: str, *, limit: int) -> Command[list[bytes]]:
    return _MEMBERS.command(_listed, index_key, limit=limit)


def _decoded(member: bytes) -> str:
    return member.decode(errors="replace")


def _listed(reply: object) -> list[bytes]:
    match after_ok(reply):
        case [list(members)]:
            return strings(members)
    raise unexpected_reply(reply)


def _drop(
    connection: Connection,
    keyspace: Keyspace,
    user: str,
    entries: Sequence[Entry],
    until_ms: float,
) -> None:
    """Drop entries of a user's list where the user wrote nothing after a moment."""
    if not entries:
        return
    name = name_of(user)
    known = [keys for entry in entries if (keys := _keys(keyspace, entry)) is not None]
    # The sessions' own indexes first: an entry that is left then is found again by the user's.
    of_session = [index.forget_until(keys.users, [Entry(name, 0)], until_ms) for keys in known]
    connection.run_each([ignore_corrupt(one, 0) for one in of_session])
    seen_ms = connection.run(index.score(keyspace.users, name))
    _, left = connection.run_all(
        index.forget_until(keyspace.user(name), entries, until_ms),
        index.size(keyspace.user(name)),
    )
    if not left and seen_ms is not None:
        connection.run(index.forget(keyspace.users, [Entry(name, seen_ms)]))


def _pages(connection: Connection, index_key: str) -> Iterator[list[Entry]]:
    return index.pages(connection, index_key, is_known=lambda member: True)


def name_of(user: str) -> str:
    """A user as the indexes have it: a text that is too long for a key, by its digest."""
    encoded = user.encode(errors="replace")
    if len(encoded) <= MAX_ID_BYTES:
        return user
    return f"blake2b:{blake2b(encoded, digest_size=16).hexdigest()}"


def _member(keyspace: Keyspace, keys: SessionKeys) -> str:
    return keys.history.removeprefix(f"{keyspace.prefix}:history:")


def _keys(keyspace: Keyspace, entry: Entry) -> SessionKeys | None:
    return keyspace.find_session(f"{keyspace.prefix}:history:{entry.member}")
