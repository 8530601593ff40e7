"""What the bodies of several requests have in common."""

from typing import Annotated

from pydantic import Field, StringConstraints

_Name = Annotated[str, StringConstraints(max_length=64)]
_Value = Annotated[str, StringConstraints(max_length=512)]
Metadata = Annotated[dict[_Name, _Value], Field(max_length=16)]
"""A client's own notes, as OpenAI bounds them."""
