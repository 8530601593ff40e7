"""A job with a record that this worker cannot read waits for one that can: nothing of it is lost.

It is encrypted with a key that is not set here, or a newer Griot wrote it. The attempt does not
count, and the lease is given back.
"""

import logging
from collections import OrderedDict

from memory import CannotRead, NewerFormat
from memory.ids import shown_id
from tasks.attempt.attempt import Attempt
from tasks.attempt.lease import LeaseHolder
from tasks.attempt.retry import backoff_s
from tasks.attempt.verdict import NotNow, Verdict
from tasks.process.per_process import PerProcess

logger = logging.getLogger(__name__)

KEY_WAIT_S = 30.0
"""How long a job is left alone whose key is missing; a worker with the key may take it then."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 3.0
"""How long a job of a newer Griot is left alone, doubled each time this process meets it: while
workers are replaced a newer one is near, and where there is none, each look is in vain."""
MOST_KNOWN = 10_000
"""So many jobs are remembered; one that is forgotten begins anew."""
MOST_TOLD = 100
"""So many versions are told of; more is another program's play."""


class Refusals:
    """The jobs of a newer Griot that this process has given back."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, int] = OrderedDict()
        self._told: set[int] = set()

    def wait_s(self, job_id: str) -> float:
        """How long the job is to be left alone now."""
        times = self._times[job_id] = self._times.pop(job_id, 0) + 1
        if len(self._times) > MOST_KNOWN:
            self._times.popitem(last=False)
        # Varied: of idle workers the broker serves the one that has waited longest, and with equal
        # pauses that would be the same one again and again.
        return backoff_s(times, base_s=FIRST_WAIT_S, max_s=LONGEST_WAIT_S)

    def is_news(self, error: NewerFormat) -> bool:
        """Whether nothing was said yet of a record of this version."""
        is_known = error.version in self._told or len(self._told) >= MOST_TOLD
        if not is_known:
            self._told.add(error.version)
        return not is_known


refusals = PerProcess(Refusals)
"""What this process has refused to read so far."""


async def verdict_of(attempt: Attempt, holder: LeaseHolder, job_id: str) -> Verdict:
    """What an attempt comes to. One that meets a record which cannot be read here does not count:
    it gives its lease back. Raises MemoryServiceError."""
    try:
        return await attempt.run()
    except NewerFormat as error:
        wait_s = refusals().wait_s(job_id)
        await holder.fail(delay_s=wait_s, refund=True)
        if refusals().is_news(error):
            logger.warning(
                "job %s is left to newer workers, as are others like it from now on: %s",
                shown_id(job_id),
                error,
            )
        return NotNow("waits for a newer worker", again_in_s=wait_s)
    except CannotRead as error:
        await holder.fail(delay_s=KEY_WAIT_S, refund=True)
        logger.error(
            "job %s waits; it is tried again in %.0f s: %s", shown_id(job_id), KEY_WAIT_S, error
        )
        return NotNow("waits for a worker with the key of its records")
