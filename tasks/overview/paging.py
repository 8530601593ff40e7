"""Where a page of a sorted set begins, as a text that whoever asked hands back."""

import re
from dataclasses import dataclass
from math import inf
from typing import Self

from memory.errors import InvalidInput

_PLACE = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,6})?)-([0-9]{1,9})")


def place_in(text: str, form: re.Pattern[str]) -> re.Match[str] | None:
    """The parts of a place of this form; None for "", which is the beginning. Raises
    InvalidInput."""
    found = form.fullmatch(text)
    if text and found is None:
        raise InvalidInput("this is not a place where a page begins")
    return found


@dataclass(frozen=True, slots=True)
class ScoreStart:
    """Behind `skip` members of this score. What comes and goes elsewhere moves nothing."""

    score: float = -inf
    skip: int = 0

    @classmethod
    def parsed(cls, text: str) -> Self:
        """`packed` the other way round; "" is the beginning. Raises InvalidInput."""
        found = place_in(text, _PLACE)
        return cls() if found is None else cls(float(found[1]), int(found[2]))

    @property
    def packed(self) -> str:
        """The place as a text."""
        return f"{self.score:.6f}".rstrip("0").rstrip(".") + f"-{self.skip}"

    def behind(self, score: float) -> Self:
        """The place behind the next member, which has this score."""
        return type(self)(score, self.skip + 1 if score == self.score else 1)
