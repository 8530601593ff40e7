"""A mapping that keeps what was written last: a job may name any model, and memory is bounded."""

from collections import OrderedDict
from typing import TypeVar

T = TypeVar("T")

MOST = 256


class RecentlyUsed(OrderedDict[str, T]):
    """At most `MOST` entries by name; the one written longest ago goes first."""

    def __setitem__(self, name: str, value: T) -> None:
        super().__setitem__(name, value)
        self.move_to_end(name)
        if len(self) > MOST:
            self.popitem(last=False)
