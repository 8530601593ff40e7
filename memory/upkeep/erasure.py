"""Removing everything that an agent keeps."""

from memory.keys import Keyspace
from memory.records import history, index, values
from memory.redis.connection import Connection


def erase_agent(connection: Connection, keyspace: Keyspace, agent_id: str) -> int:
    """Remove the agent's state, and of each session history, events and dead letters (while jobs
    wait: the history only). How many keys went. Safe to repeat; sessions that begin meanwhile may
    stay."""
    # Read first: an agent that is used meanwhile stays in the index.
    agent_seen_ms = connection.run(index.score(keyspace.agents, agent_id))
    removed = connection.run(values.remove(keyspace.state(agent_id)))
    index_key = keyspace.sessions(agent_id)
    is_any_pending = False
    # A list: erased sessions leave the index, and the pages count entries of one score.
    for page in list(index.pages(connection, index_key)):
        commands = [history.erase(keyspace.session(agent_id, entry.member)) for entry in page]
        erased = connection.run_each(commands)
        removed += sum(one.keys for one in erased)
        gone = [e for e, one in zip(page, erased, strict=True) if not one.is_pending]
        is_any_pending |= len(gone) < len(page)
        if gone:
            connection.run(index.forget(index_key, gone))
    if agent_seen_ms is not None and not is_any_pending:
        connection.run(index.forget(keyspace.agents, [index.Entry(agent_id, agent_seen_ms)]))
    return removed
