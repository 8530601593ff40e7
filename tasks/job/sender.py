"""Who has sent a job, where a door other than Python took it in: a gateway."""

from pydantic import BaseModel, ConfigDict

from memory.quotas import owners
from memory.quotas.owners import UNBOUNDED, Owner, Quota


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
