"""What an agent's users are promised: how long a job waits, and how many may wait longer."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

QUEUE_WAIT, FIRST_TOKEN = "queue_wait", "first_token"
USUAL_TARGET = 0.99
MOST_S = 86_400.0

Bound = Annotated[float, Field(gt=0, le=MOST_S, allow_inf_nan=False)] | None


class Slo(BaseModel):
    """The service level objectives of an agent; None: no promise.

    `queue_wait_s`: from sending to the first attempt; `first_token_s`: from sending to the first
    token. Both hold for this part of the jobs, `target`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    queue_wait_s: Bound = None
    first_token_s: Bound = None
    # Below it the first alarm could never be raised: 14.4 times what may be missed is all there is.
    target: Annotated[float, Field(ge=0.9, le=0.9999)] = USUAL_TARGET

    @model_validator(mode="after")
    def _promises_something(self) -> "Slo":
        if not self.bounds_s:
            raise ValueError("must have first_token_s or queue_wait_s")
        return self

    @property
    def bounds_s(self) -> dict[str, float]:
        """The promised times by name."""
        both = {QUEUE_WAIT: self.queue_wait_s, FIRST_TOKEN: self.first_token_s}
        return {name: bound_s for name, bound_s in both.items() if bound_s is not None}

    @property
    def allowed(self) -> float:
        """The part of the jobs that may take longer."""
        return round(1 - self.target, 6)
