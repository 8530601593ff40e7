"""How urgent jobs are: three classes, and the share that each has of what is scarce. Pure."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from math import prod
from typing import Self

MOST_OF_A_SHARE = 100


class Priority(StrEnum):
    """How urgent a job is. A session is as urgent as the most urgent job that waits in it."""

    INTERACTIVE = "interactive"
    """Somebody waits for the answer."""
    NORMAL = "normal"
    BATCH = "batch"
    """It has time."""

    @property
    def rank(self) -> int:
        """0 for the most urgent."""
        return RANKS.index(self)


RANKS = tuple(Priority)
"""The classes, the most urgent first."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Of how many slots, or places in a worker, each class gets how many while all of them wait.

    What a class leaves is the others'. None is 0: each class moves.
    """

    interactive: int = 80
    normal: int = 15
    batch: int = 5

    @classmethod
    def parse(cls, text: str) -> Self:
        """Shares that are written as `80/15/5`. Raises ValueError."""
        if not re.fullmatch(r"\s*\d{1,3}(\s*/\s*\d{1,3}){2}\s*", text):
            raise ValueError("must be three numbers, as 80/15/5: interactive/normal/batch")
        shares = [int(one) for one in text.split("/")]
        if not all(1 <= one <= MOST_OF_A_SHARE for one in shares):
            raise ValueError(f"each share must be 1 to {MOST_OF_A_SHARE}: each class must move")
        return cls(*shares)

    def __str__(self) -> str:
        return "/".join(str(getattr(self, field.name)) for field in fields(self))

    @property
    def strides(self) -> tuple[int, int, int]:
        """How far one turn takes each class: the smaller its share, the further. By rank."""
        each = (self.interactive, self.normal, self.batch)
        whole = prod(each)
        interactive, normal, batch = (whole // one for one in each)
        return interactive, normal, batch

    def ahead(self, priority: Priority, waiting: Mapping[Priority, int]) -> int:
        """How many are served before one of this class that begins to wait now, behind all of its
        class that wait."""
        strides = dict(zip(RANKS, self.strides, strict=True))
        tag = (waiting.get(priority, 0) + 1) * strides[priority]
        before = waiting.get(priority, 0)
        for other in RANKS:
            if other is not priority:
                # As class_turns.lua has it: of equal tags the more urgent class is the first.
                due = tag if other.rank < priority.rank else tag - 1
                before += min(waiting.get(other, 0), due // strides[other])
        return before


class ClassTurns:
    """Which class is the next, where several wait: each gets its share, and none waits for ever.

    As class_turns.lua does it for the slots of a model: each class has a tag, the turn at which its
    next one is due, and the smallest tag is the first. A class that nobody waits in has none.
    """

    def __init__(self, shares: Shares) -> None:
        self._strides = dict(zip(RANKS, shares.strides, strict=True))
        self._now = 0
        self._tags: dict[Priority, int] = {}

    def order(self) -> list[Priority]:
        """All classes, the one whose turn it is first."""
        return sorted(RANKS, key=self._tag)  # the sort is stable

    def served(
        self,
        priority: Priority,
        amount: int = 1,
        *,
        waiting: Collection[Priority] | None = None,
    ) -> None:
        """So many of a class were served, while somebody waited in the classes `waiting`; None: in
        none of those before it in `order`."""
        if waiting is None:
            order = self.order()
            waiting = order[order.index(priority) :]
        tags = {one: self._tag(one) for one in waiting}
        self._now = tags[priority] + (amount - 1) * self._strides[priority]
        tags[priority] = self._now + self._strides[priority]
        self._tags = tags

    def nobody_waits(self) -> None:
        """What was owed to anybody is forgotten."""
        self._now, self._tags = 0, {}

    def _tag(self, priority: Priority) -> int:
        return self._tags.get(priority, self._now + self._strides[priority])
