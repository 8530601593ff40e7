"""Who bounds the calls to each server: a call that is bounded needs a place there."""

from collections.abc import Sequence
from typing import Protocol


class HeldSlot(Protocol):
    """The place that one caller has. The fleet asks no server at which it has none."""

    @property
    def server(self) -> str:
        """The base URL of the server of the place; empty where nothing bounds the calls."""

    async def move(self, servers: Sequence[str]) -> bool:
        """Leave that place for one at one of `servers`, the best first. False: none was free, and
        the caller has no place any more."""
