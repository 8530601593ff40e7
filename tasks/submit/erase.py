"""Erasing what people said: a session, or all of an agent."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from celery import Celery

from memory import Kept, audit, erase_agent, erase_session, index, kept_of, outbox
from memory.archive.reading import sessions_of_user as sessions_by_user
from memory.quotas import charges
from memory.upkeep.erasure import forget_user
from tasks.end.delivery import Delivery, deliver_ends
from tasks.process.services import producer_services

PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class ErasureReceipt:
    """What was found of one session, and, unless it was only looked at, is erased."""

    agent_id: str
    session_id: str
    kept: Kept


def sessions_of_agent(agent_id: str) -> Iterator[tuple[str, str]]:
    """The sessions of an agent, as (agent, session). Raises memory.MemoryServiceError."""
    services, seen = producer_services(), set[str]()
    for page in list(index.pages(services.memory, services.keyspace.sessions(agent_id))):
        for entry in page:
            yield agent_id, entry.member
            seen.add(entry.member)
    if services.archive is not None:
        archived = services.archive.of_agent(agent_id)
        yield from ((agent_id, session) for session in archived if session not in seen)


def agents_in_archive(session_id: str) -> list[str]:
    """The agents of whom the archive has a session of this id. Raises ArchiveUnavailable."""
    archive = producer_services().archive
    return [] if archive is None else archive.agents_of(session_id)


def sessions_of_user(user: str, *, is_shared: bool) -> Iterator[tuple[str, str]]:
    """The sessions in which a user wrote, as (agent, session); those that others share only with
    `is_shared`. Raises memory.MemoryServiceError."""
    services = producer_services()
    shared = sessions_by_user(services.memory, services.keyspace, services.archive, user)
    yield from (session for session, is_one in shared.items() if is_shared or not is_one)


def erase(app: Celery, agent_id: str, session_id: str, *, dry_run: bool = False) -> ErasureReceipt:
    """Erase a session of an agent, and say what was found; with `dry_run` only say it.

    Jobs that wait or run end as erased, and the results of those that ended lately are replaced by
    that. A result that cannot be reached now is replaced by a worker. Safe to repeat. It is in the
    audit before anything is gone. Raises memory.MemoryServiceError.
    """
    services = producer_services()
    memory, keyspace = services.memory, services.keyspace
    keys = keyspace.session(agent_id, session_id)
    kept = kept_of(memory, keyspace, agent_id, session_id)
    if services.archive is not None:
        kept = replace(kept, messages=kept.messages + services.archive.count(keys))
    receipt = ErasureReceipt(agent_id, session_id, kept)
    if dry_run:
        return receipt
    erased = erase_session(memory, keyspace, agent_id, session_id)
    if services.archive is not None:
        # An archiver that was writing it right now deletes it in its next run.
        services.archive.forget(keys.history)
    claim_ms = services.queue_wait.grace_ms
    deadline = time.monotonic() + 2 * claim_ms / 1000
    delivery, owner = Delivery(app), erased.owner
    while deliver_ends(delivery, memory, keyspace, keys, owner=owner, claim_ms=claim_ms):
        # Who has just stored a reply may not have noted it yet, and it is stored again as erased.
        if not memory.run(outbox.size(keys)) or time.monotonic() >= deadline:
            break
        time.sleep(PAUSE_S)
    return receipt


def erase_user(
    app: Celery, user: str, *, is_shared: bool, dry_run: bool = False
) -> list[ErasureReceipt]:
    """`erase` each of `sessions_of_user`; the audit has the user, as a digest, and each session."""
    if dry_run:
        found = sessions_of_user(user, is_shared=is_shared)
        return [erase(app, *one, dry_run=True) for one in found]
    services = producer_services()
    with audit.recorded(services.memory, services.keyspace, audit.Deed.ERASE, user=user) as entry:
        sessions = list(sessions_of_user(user, is_shared=is_shared))
        receipts = [erase(app, *one) for one in sessions]
        services.memory.run(charges.forget_user(services.keyspace, user))
        forget_user(services.memory, services.keyspace, user)
        entry.outcome = f"erased: {len(receipts)} sessions"
    return receipts


def erase_rest(agent_id: str) -> None:
    """Erase what an agent has besides its sessions: its state, and its place in the index.

    Raises memory.MemoryServiceError.
    """
    services = producer_services()
    erase_agent(services.memory, services.keyspace, agent_id)
