"""Who has sent a job, where a door other than Python took it in: a gateway."""

import logging

from pydantic import BaseModel, ConfigDict

from memory.quotas import owners
from memory.quotas.owners import UNBOUNDED, Owner, Quota
from memory.quoting import quoted

logger = logging.getLogger(__name__)


class Sender(BaseModel):
    """The request that a job came with, and the API key: its name, and the quota of that name as
    it was then. It lies in the job's envelope, and is no part of what was asked."""

    model_config = ConfigDict(frozen=True)

    request_id: str = ""
    key: str = ""
    quota: Quota = UNBOUNDED

    @property
    def owner(self) -> Owner | None:
        """The key as somebody whose jobs are counted; None where it has no bounds."""
        return owners.key(self.key, self.quota) if self.quota.is_set else None


def log_sender(sender: Sender, shown_job: str, attempt: int) -> None:
    """Say which request an attempt is made for: the gateway's log has it, too."""
    logger.info(
        "job %s, attempt %d, answers request %s of %s",
        shown_job,
        attempt,
        quoted(sender.request_id),
        quoted(sender.key),
    )
