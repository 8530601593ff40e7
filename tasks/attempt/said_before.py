"""What a job was answered by a holder that has died, as far as the session's events still tell."""

import logging

from memory import AsyncConnection, CorruptData, LastAttempt, SessionKeys, events

logger = logging.getLogger(__name__)


async def said_before(memory: AsyncConnection, keys: SessionKeys, job_id: str) -> str:
    """What the job's last attempt has said; nothing where its events are gone.

    Raises MemoryServiceError.
    """
    attempt, before = LastAttempt(job_id), events.NEWEST
    try:
        while not attempt.is_whole:
            page = await memory.run(events.read_back(keys, before))
            attempt.take(page)
            before = events.before(page[-1].cursor) if page else before
    except CorruptData as exc:
        logger.warning("what job %s has said is not known: %s", job_id, exc)
    return attempt.text
