"""By which rules a job's model chooses its words. Pure."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_STOPS = 4
MAX_STOP_CHARS = 256
Penalty = Annotated[float, Field(ge=-2, le=2, strict=True)]
Stop = Annotated[str, StringConstraints(min_length=1, max_length=MAX_STOP_CHARS, strict=True)]


class Sampling(BaseModel):
    """Options of Ollama's, under its names; what is None is as the model has it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    top_p: Annotated[float, Field(gt=0, le=1, strict=True)] | None = None
    seed: Annotated[int, Field(ge=-(2**31), lt=2**31, strict=True)] | None = None
    stop: Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None

    @property
    def options(self) -> dict[str, object]:
        """What goes into a request."""
        return self.model_dump(exclude_none=True)
