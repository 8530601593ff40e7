"""What the bodies of several requests have in common."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints, model_validator

_Name = Annotated[str, StringConstraints(max_length=64)]
_Value = Annotated[str, StringConstraints(max_length=512)]
Metadata = Annotated[dict[_Name, _Value], Field(max_length=16)]
"""A client's own notes, as OpenAI bounds them."""


class Nullable(BaseModel):
    """An object in which null says the same as leaving a field out: OpenAI's clients send both."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None}
