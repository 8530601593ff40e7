"""What an archive has of a session that Redis has not, to be handed out."""

from dataclasses import replace

from memory.archive.store import Archive
from memory.keys import Keyspace, SessionKeys
from memory.records import archived
from memory.records.archived import Part
from memory.redis.connection import Connection


def kept_elsewhere(
    connection: Connection, keyspace: Keyspace, file: Archive | None, keys: SessionKeys
) -> Part | None:
    """All of it, but for what somebody wants to be forgotten; None where there is nothing.

    Raises MemoryServiceError.
    """
    if file is None or not connection.run(archived.is_readable(keyspace, keys)):
        return None
    # First where Redis begins: what leaves it meanwhile is in the archive by then, and comes twice
    # rather than never.
    records = file.every(keys, but=connection.run(archived.place(keys)))
    newest = file.newest(keys, at_most=1)
    return None if newest is None else replace(newest, first=0, records=tuple(records))
