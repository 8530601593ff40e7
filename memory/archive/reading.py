"""What an archive has of a session that Redis has not, to be handed out."""

from dataclasses import replace

from memory.archive.store import Archive
from memory.keys import Keyspace, SessionKeys
from memory.records import archived, users
from memory.records.archived import Part, Place
from memory.redis.connection import Connection


def kept_elsewhere(
    connection: Connection,
    keyspace: Keyspace,
    file: Archive | None,
    keys: SessionKeys,
    place: Place | None,
) -> Part | None:
    """All of it before the `place` where Redis begins, but for what somebody wants to be forgotten;
    None where there is nothing. Ask Redis for both its messages and that place before.

    Raises MemoryServiceError.
    """
    if file is None or not connection.run(archived.is_readable(keyspace, keys)):
        return None
    records = file.every(keys, but=place)
    newest = file.newest(keys, at_most=1)
    return None if newest is None else replace(newest, first=0, records=tuple(records))


def messages_elsewhere(
    connection: Connection, keyspace: Keyspace, file: Archive | None, keys: SessionKeys
) -> int:
    """How many messages `kept_elsewhere` would give, at most. Raises MemoryServiceError."""
    if file is None or not connection.run(archived.is_readable(keyspace, keys)):
        return 0
    return file.count(keys)


def sessions_of_user(
    connection: Connection, keyspace: Keyspace, file: Archive | None, user: str
) -> dict[tuple[str, str], bool]:
    """The sessions in which a user wrote, as (agent, session), and whether others wrote there too:
    in Redis, or in what is archived of it.

    Raises MemoryServiceError.
    """
    in_redis = users.sessions_of_user(connection, keyspace, user)
    found = {(one.agent_id, one.session_id): one.is_shared for one in in_redis}
    if file is None:
        return found
    for agent_id, session_id, is_shared in file.of_user(user):
        found[agent_id, session_id] = is_shared or found.get((agent_id, session_id), False)
    # Who wrote before a session was archived is off its list in Redis, and who wrote since is not
    # yet in the archive.
    for (agent_id, session_id), is_shared in found.items():
        if not is_shared:
            keys = keyspace.session(agent_id, session_id)
            named = {*connection.run(users.of_session(keys, at_most=2)), *file.users_of(keys)}
            found[agent_id, session_id] = bool(named - {users.name_of(user)})
    return found
