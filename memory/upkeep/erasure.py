"""Erasing what is kept of people's words: a session's, or all of an agent."""

import logging
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from memory.errors import CorruptData, InvalidInput
from memory.ids import shown_id
from memory.keys import Keyspace, SessionKeys
from memory.mailbox import dead_letters
from memory.mailbox.mailbox import Mailbox
from memory.quotas import job_records, usage
from memory.records import archived, audit, events, history, index, session_data, users, values
from memory.records.audit import Deed
from memory.redis.command import Command, ignore_corrupt
from memory.redis.connection import Connection
from memory.redis.replies import integer
from memory.webhooks import queue

logger = logging.getLogger(__name__)

MOST_USERS = 10_000
DELIVER_MS = 5000
"""How long the caller has to deliver the ends of the erased jobs, before any worker does."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a session: messages, the summary, dead letters, events, values of its data,
    jobs that wait, run or are delayed, and jobs that ended within a week, whose results may be
    kept."""

    messages: int
    summaries: int
    letters: int
    events: int
    data: int
    pending: int
    ended: int


@dataclass(frozen=True, slots=True)
class ErasedSession:
    """What was erased of a session; `owner` may deliver the ends of its jobs (`outbox.take`)."""

    keys: int
    jobs: int
    owner: str


def kept_of(connection: Connection, keyspace: Keyspace, agent_id: str, session_id: str) -> Kept:
    """What is kept of a session of an agent. Changes nothing."""
    keys = keyspace.session(agent_id, session_id)
    parts = (
        ("LLEN", keys.history),
        ("EXISTS", keys.summary),
        ("LLEN", keys.dead),
        ("XLEN", keys.events),
        ("ZCARD", keyspace.session_fields(session_id)),
        ("HLEN", keys.jobs),
        ("ZCARD", keys.done),
    )
    return Kept(*connection.run_each([Command(integer, part) for part in parts]))


def erase_session(
    connection: Connection, keyspace: Keyspace, agent_id: str, session_id: str
) -> ErasedSession:
    """Erase a session of an agent: history, summary, events, dead letters, jobs and their results.

    Jobs that wait or run end as erased, and nothing of them is written afterwards. The session's
    data goes with the last agent that has the session. Safe to repeat. It is in the audit before
    anything is gone.
    """
    found = audit.recorded(
        connection, keyspace, Deed.ERASE, agent_id=agent_id, session_id=session_id
    )
    with found as entry:
        erased = _erase_session(connection, keyspace, agent_id, session_id)
        entry.outcome = f"erased: {erased.keys} keys, {erased.jobs} jobs"
    return erased


def _erase_session(
    connection: Connection, keyspace: Keyspace, agent_id: str, session_id: str
) -> ErasedSession:
    mailbox = Mailbox.of(keyspace, agent_id, session_id)
    owner = uuid.uuid4().hex
    # Where this process dies, a sweeper finds the ends of the jobs. The list of late outboxes would
    # not do: an entry of an outbox that is still empty is forgotten.
    began_ms = connection.run(index.server_time_ms())
    connection.run(mailbox.look(DELIVER_MS))
    connection.run_each(archived.forget(keyspace, mailbox.keys))
    # Alone: a repeat, because a server has forgotten the script before it, says less.
    erased = connection.run(history.erase(mailbox.keys, write_id=owner, grace_ms=DELIVER_MS))
    # Once more: what was archived before this step was deleted while the history was still there.
    connection.run_each(archived.forget(keyspace, mailbox.keys))
    _forget_users(connection, keyspace, mailbox.keys, until_ms=began_ms)
    if erased.running:
        connection.run(events.announce_stop(keyspace, erased.running))
    connection.run(dead_letters.forget(mailbox))
    _forget_webhooks(connection, keyspace, mailbox.keys)
    _forget_records(connection, keyspace, mailbox.keys, until_ms=began_ms)
    # A job that was sent meanwhile keeps its session on the list.
    entry = index.Entry(session_id, began_ms)
    connection.run(index.forget_until(keyspace.sessions(agent_id), [entry], began_ms))
    keys = erased.keys + _erase_data(connection, keyspace, session_id)
    return ErasedSession(keys, erased.jobs, owner)


def erase_agent(connection: Connection, keyspace: Keyspace, agent_id: str) -> int:
    """Erase an agent: its state and all its sessions. How many keys held something.

    Safe to repeat; sessions that begin meanwhile may stay. A session with a damaged key is passed
    over; after all others CorruptData is raised for it.
    """
    with audit.recorded(connection, keyspace, Deed.ERASE, agent_id=agent_id) as entry:
        removed = _erase_agent(connection, keyspace, agent_id)
        entry.outcome = f"erased: {removed} keys"
    return removed


def _erase_agent(connection: Connection, keyspace: Keyspace, agent_id: str) -> int:
    damage: CorruptData | None = None
    # Read first: an agent that is used meanwhile stays in the index.
    agent_seen_ms = connection.run(index.score(keyspace.agents, agent_id))
    connection.run_each(archived.forget_agent(keyspace, agent_id))
    removed = connection.run(values.remove(keyspace.state(agent_id)))
    for page in list(index.pages(connection, keyspace.sessions(agent_id))):
        for entry in page:
            try:
                removed += erase_session(connection, keyspace, agent_id, entry.member).keys
            except CorruptData as exc:
                damage = exc
            except InvalidInput:
                logger.warning("the index of %s has a member that is not an id", shown_id(agent_id))
    if damage is not None:
        raise damage
    if agent_seen_ms is not None:
        connection.run(index.forget(keyspace.agents, [index.Entry(agent_id, agent_seen_ms)]))
    return removed


def _forget_webhooks(connection: Connection, keyspace: Keyspace, keys: SessionKeys) -> None:
    """Forget the session's webhooks that are not delivered; those of the jobs that end as erased
    are noted after this."""
    if event_ids := connection.run(queue.of_session(keyspace, keys)):
        for webhook in connection.run(queue.find(keyspace, event_ids)):
            connection.run(queue.end(keyspace, webhook))


def _forget_records(
    connection: Connection, keyspace: Keyspace, keys: SessionKeys, *, until_ms: int
) -> None:
    """Forget the records of the session's jobs; those that end as erased lose theirs by that."""
    name = job_records.session_name(keys.session_id)
    for page in job_records.pages(connection, keyspace, name, until_ms=until_ms):
        of_it = [one.job_id for one in page if one.agent_id == keys.agent_id]
        if of_it:
            connection.run(ignore_corrupt(job_records.forget(keyspace, of_it), 0))


def forget_user(connection: Connection, keyspace: Keyspace, user: str) -> None:
    """Forget what usage and the records of jobs have of a user: in sessions that stay, too."""
    now_ms = connection.run(index.server_time_ms())
    for page in job_records.pages(connection, keyspace, job_records.user_of(user), until_ms=now_ms):
        forget = job_records.forget(keyspace, [one.job_id for one in page])
        connection.run(ignore_corrupt(forget, 0))
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    connection.run_each(list(usage.forget_user(keyspace, user, today)))


def _forget_users(
    connection: Connection, keyspace: Keyspace, keys: SessionKeys, *, until_ms: float
) -> None:
    """Take the session off the lists of those who wrote in it."""
    session = users.UserSession(keys.agent_id, keys.session_id, is_shared=False, seen_ms=until_ms)
    for user in connection.run(users.of_session(keys, at_most=MOST_USERS)):
        users.forget(connection, keyspace, user, [session], until_ms=until_ms)


def _erase_data(connection: Connection, keyspace: Keyspace, session_id: str) -> int:
    """Erase the data of a session that no agent has any more; how many values there were."""
    for agent_id in index.agents(connection, keyspace):
        if connection.run(index.score(keyspace.sessions(agent_id), session_id)) is not None:
            return 0
    return session_data.remove_data(connection, keyspace, session_id)
