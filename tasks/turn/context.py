"""What a turn is told of the earlier turns that it is not shown: the session's summary."""

import logging
from dataclasses import replace

from agents import Ask, Profile
from agents.summary import with_summary
from agents.turn import history_limit, system_prompt_of
from memory import Acquired, MemoryServiceError, summary
from tasks.job.job import ChatJob
from tasks.process.wiring import Services

logger = logging.getLogger(__name__)


async def told_of_earlier(
    services: Services, profile: Profile, job: ChatJob, acquired: Acquired
) -> Ask | None:
    """The job's ask with the session's summary in its system prompt; None where there is none.

    Nor is there one for a caller who wants nothing of the history, or while Redis does not tell.
    """
    is_wanted = profile.summary and history_limit(job.ask, profile)
    if not is_wanted or not acquired.stored_messages:
        return None
    keys = services.keyspace.session(job.agent_id, job.session_id)
    try:
        found = await services.async_memory.run(summary.read(keys))
    except MemoryServiceError as exc:
        logger.warning("turn without its summary: %s", exc)
        return None
    if found is None:
        return None
    told = with_summary(system_prompt_of(job.ask, profile), found.text)
    return replace(job.ask, system_prompt=told)
