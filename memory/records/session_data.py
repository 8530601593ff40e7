"""A session as a whole: letting it live longer, and removing the data that belongs to no agent."""

from collections.abc import Sequence

from memory.keys import Keyspace
from memory.records import history, index, values
from memory.redis.command import ignore_corrupt
from memory.redis.connection import Connection

MAX_FIELDS = 10_000
"""How many data keys of one session are found again: those that live longest."""


def extend_session(
    connection: Connection, keyspace: Keyspace, agent_id: str, session_id: str, *, ttl_s: int
) -> bool:
    """Let history, events and data of a session live at least `ttl_s` longer, and note that it is
    active. False when there is none of them. Safe to repeat."""
    keys = keyspace.session(agent_id, session_id)
    found, names = connection.run_all(
        history.extend(keys, ttl_s=ttl_s),
        values.field_names(keyspace, session_id, at_most=MAX_FIELDS),
    )
    # Extending counts as use: clean-up must not delete what someone has just extended.
    if found:
        connection.run_all(*index.touch(keyspace, agent_id, session_id))
    data = [keyspace.session_data(session_id, name) for name in names]
    connection.run_each([values.extend(key, ttl_s=ttl_s) for key in data])
    # EXPIRE with GT answers 0 for a key that lives longer and for one that is gone.
    exist = connection.run_each([values.exist([key]) for key in data])
    alive = [name for name, is_there in zip(names, exist, strict=True) if is_there]
    _note(connection, keyspace, session_id, alive, ttl_s)
    return len(alive) + found > 0


def extend_data(
    connection: Connection,
    keyspace: Keyspace,
    session_id: str,
    names: Sequence[str],
    *,
    ttl_s: int,
) -> int:
    """Let the named data of a session live at least `ttl_s` longer, but for those with a TTL of
    their own. How many of them exist."""
    keys = [keyspace.session_data(session_id, name) for name in names]
    # What another program put there is left alone.
    extend = [
        ignore_corrupt(values.extend_by_session(key, ttl_s=ttl_s), values.OWN) for key in keys
    ]
    found = connection.run_each(extend)
    of_session = [name for name, how in zip(names, found, strict=True) if how == values.OF_SESSION]
    _note(connection, keyspace, session_id, of_session, ttl_s)
    return sum(how != values.GONE for how in found)


def _note(
    connection: Connection, keyspace: Keyspace, session_id: str, names: Sequence[str], ttl_s: int
) -> None:
    """Let the index know them for at least `ttl_s` longer; a damaged one is left alone."""
    if names:
        noted = values.note_fields(keyspace, session_id, names, ttl_s=ttl_s, is_exact=False)
        connection.run(ignore_corrupt(noted, 0))


def remove_unused_data(
    connection: Connection, keyspace: Keyspace, session_id: str
) -> tuple[int, bool]:
    """Remove the data of a session that lives as long as the session. How many keys went, and
    whether any with a TTL of its own stays. Safe to repeat."""
    names = connection.run(values.field_names(keyspace, session_id, at_most=MAX_FIELDS))
    keys = [keyspace.session_data(session_id, name) for name in names]
    # What another program put there counts as ours.
    asked = [ignore_corrupt(values.whose_ttl(key), values.OF_SESSION) for key in keys]
    whose = connection.run_each(asked)
    own = {key for key, one in zip(keys, whose, strict=True) if one == values.OWN}
    removed = sum(connection.run_each([values.remove(key) for key in keys if key not in own]))
    if own:
        # The index names them until their time is over.
        return removed, True
    return removed + connection.run(values.remove(keyspace.session_fields(session_id))), False


def remove_data(connection: Connection, keyspace: Keyspace, session_id: str) -> int:
    """Remove all data of a session that its index names. How many keys went. Safe to repeat."""
    found = connection.run(values.field_names(keyspace, session_id, at_most=MAX_FIELDS))
    keys = [keyspace.session_data(session_id, name) for name in found]
    removed = sum(connection.run_each([values.remove(key) for key in keys]))
    # The index last: a run that dies before this finds the rest again.
    return removed + connection.run(values.remove(keyspace.session_fields(session_id)))
