"""A job whose records this worker cannot decrypt waits for one that can: nothing of it is lost."""

import logging

from memory import CannotDecrypt
from memory.ids import shown_id
from tasks.attempt.attempt import Attempt
from tasks.attempt.lease import LeaseHolder
from tasks.attempt.verdict import NotNow, Verdict

logger = logging.getLogger(__name__)

KEY_WAIT_S = 30.0
"""How long such a job is left alone; a worker with the key may take it then."""


async def verdict_of(attempt: Attempt, holder: LeaseHolder, job_id: str) -> Verdict:
    """What an attempt comes to. One that meets a record which does not decrypt does not count: it
    gives its lease back. Raises MemoryServiceError."""
    try:
        return await attempt.run()
    except CannotDecrypt as error:
        await holder.fail(delay_s=KEY_WAIT_S, refund=True)
        logger.error(
            "job %s waits; it is tried again in %.0f s: %s", shown_id(job_id), KEY_WAIT_S, error
        )
        return NotNow("waits for a worker with the key of its records")
