"""A schedule: a message that is sent to a session again and again. Pure."""

import uuid
from typing import Annotated, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from memory import CorruptData, NewerFormat
from tasks.errors import InvalidJob
from tasks.job.rhythm import LATEST_S, Rhythm
from tasks.job.versions import FIRST, VERSION, version_of

TICK_NAMESPACE = uuid.UUID("0d0b7a0c-6a5e-5b8e-8f0e-6772696f7435")


def new_schedule_id() -> str:
    """An id that no other schedule has."""
    return uuid.uuid4().hex[:12]


class Schedule(BaseModel):
    """What is sent when, and how far it is. Times are Unix time in seconds.

    `after_s`: the ticks up to then are done with, `last_s`: the last one that was sent, `skipped`:
    how many were not, `skipped_s`: when that was last, and `why` then.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    schedule_id: str
    agent_id: str
    session_id: str
    message: str = Field(repr=False)
    options: dict[str, JsonValue] = Field(default={}, repr=False)
    rhythm: Rhythm
    after_s: Annotated[float, Field(ge=0, le=LATEST_S)]
    is_paused: bool = False
    last_s: float | None = None
    skipped: int = 0
    skipped_s: float | None = None
    why: str = ""
    v: int | None = Field(default=None, exclude=True)

    def pack(self) -> bytes:
        """Its bytes."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        if (version := version_of(self.options.keys())) > FIRST:
            said["v"] = version
        return orjson.dumps(said)

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """`pack` the other way round. Raises CorruptData, and NewerFormat."""
        try:
            found = cls.model_validate_json(packed)
            NewerFormat.check("a schedule", found.v, VERSION)
            found.rhythm.check()
        except InvalidJob as exc:
            raise CorruptData(f"not a schedule of Griot's: {exc}") from None
        except ValidationError:
            raise CorruptData("not a schedule of Griot's") from None
        return found

    @property
    def next_s(self) -> int | None:
        """The tick that is to come; None while it is paused, or where there is none."""
        return None if self.is_paused else next(self.rhythm.after(self.after_s), None)

    def moved(self, agent_id: str, session_id: str) -> Self:
        """The same for a session. In another one it has an id of its own: the two go on beside each
        other, and each sends jobs of its own."""
        if (agent_id, session_id) == (self.agent_id, self.session_id):
            return self
        place = {"agent_id": agent_id, "session_id": session_id}
        return self.model_copy(update={"schedule_id": new_schedule_id(), **place})

    def job_id(self, tick_s: int) -> str:
        """The id of the job of a tick: whoever sends it, it is one job."""
        return str(uuid.uuid5(TICK_NAMESPACE, " ".join((self.schedule_id, str(tick_s)))))
