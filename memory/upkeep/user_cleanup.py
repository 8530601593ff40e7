"""Forgetting the users of whose sessions nothing is left, a bounded number of them at a time."""

import logging
import time

from memory.errors import CorruptData
from memory.keys import Keyspace
from memory.records import index, users
from memory.records.index import Entry
from memory.redis.connection import Connection
from memory.upkeep.short_steps import ShortSteps
from memory.upkeep.strangers import without_strangers

logger = logging.getLogger(__name__)

BATCH_USERS = 100


def forget_unused(
    connection: Connection, keyspace: Keyspace, *, until_ms: float, deadline: float
) -> tuple[int, bool]:
    """Forget users who sent nothing since `until_ms` and of whose sessions nothing is left.

    How many went, and whether all were looked at before `deadline` (of `time.monotonic`). Of the
    others the entries that lead nowhere go; they are looked at again as if they were used now.
    """
    gone, steps = 0, ShortSteps(connection)
    while batch := connection.run(
        index.oldest(keyspace.users, until_ms=until_ms, limit=BATCH_USERS)
    ):
        if time.monotonic() >= deadline:
            return gone, False
        known = without_strangers(connection, keyspace.users, batch)
        kept = [user for user in known if _has_sessions(connection, keyspace, user)]
        unused = [user for user in known if user not in kept]
        if unused:
            gone += len(unused)
            connection.run(index.forget(keyspace.users, unused))
        steps.run_each(index.touch_index(keyspace.users, one.member) for one in kept)
    return gone, True


def _has_sessions(connection: Connection, keyspace: Keyspace, user: Entry) -> bool:
    try:
        return users.drop_dead(connection, keyspace, user.member)
    except CorruptData as exc:
        logger.error("%s; this user's sessions are not cleaned up until you repair it", exc)
        return True
