"""Whom a job counts for: its agent, the user whose message it is, and the API key that it came
with; and what each may have."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memory.errors import CorruptData
from memory.ids import encode_id
from memory.records.users import name_of

MOST_PER_MINUTE = 100_000
MOST_PER_DAY = 1_000_000_000
MOST_AT_ONCE = 1_000_000


class Quota(BaseModel):
    """What one owner of jobs may have; None: no bound."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    jobs_per_minute: Annotated[int, Field(ge=1, le=MOST_PER_MINUTE)] | None = None
    """As many at one go, too, after a minute without any."""
    tokens_per_day: Annotated[int, Field(ge=1, le=MOST_PER_DAY)] | None = None
    """Of prompts and replies, as the model counts them."""
    jobs_at_once: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)] | None = None
    """Jobs that wait or run."""

    @property
    def is_set(self) -> bool:
        """Whether anything is bounded."""
        return any(rule is not None for rule in self.rules)

    @property
    def rules(self) -> tuple[int | None, int | None, int | None]:
        """The three bounds, in the order in which CHARGE numbers them."""
        return self.jobs_per_minute, self.tokens_per_day, self.jobs_at_once


RULES = tuple(Quota.model_fields)
"""What each of a quota's rules is called."""
UNBOUNDED = Quota()


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody whose jobs are counted, as the keys name them, with their quota."""

    name: str
    quota: Quota = UNBOUNDED


def agent(agent_id: str, quota: Quota = UNBOUNDED) -> Owner:
    """An agent as an owner of jobs."""
    return Owner(f"a:{encode_id(agent_id, what='agent_id')}", quota)


def user(user_id: str, quota: Quota = UNBOUNDED) -> Owner:
    """A user as an owner of jobs: by a digest, for these keys are nobody's list of users."""
    digest = blake2b(user_id.encode(errors="replace"), digest_size=16).hexdigest()
    return Owner(f"u:{digest}", quota)


def key(name: str, quota: Quota = UNBOUNDED) -> Owner:
    """Those who have an API key of this name as an owner of jobs: by a digest, as a user."""
    digest = blake2b(name.encode(errors="replace"), digest_size=16).hexdigest()
    return Owner(f"k:{digest}", quota)


def named(user_id: str) -> Owner:
    """A user as usage names them, who has no quota: whoever is billed needs the name."""
    return Owner(f"n:{user_name(user_id)}")


def user_name(user_id: str) -> str:
    """A user as the rows of usage and the records of jobs name them."""
    return encode_id(name_of(user_id), what="user")


def key_quota(kept: Mapping[str, int]) -> Quota:
    """The quota that is kept with an API key. Raises CorruptData."""
    try:
        return Quota.model_validate(kept)
    except ValidationError:
        raise CorruptData("the quota of an API key is none of ours") from None
