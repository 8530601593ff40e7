"""How full a model is, and how long one waits for a slot of it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memory.priority import Priority, Shares


@dataclass(frozen=True, slots=True)
class SlotWait:
    """How many sessions get a slot before this one, and about how long that takes (`wait_ms`; None
    where no call has ended yet)."""

    ahead: int
    wait_ms: int | None


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How full a model is: slots taken or reserved per server, waiters by class, mean length of a
    call."""

    taken: tuple[int, ...]
    waiting: Mapping[Priority, int]
    call_ms: float | None

    def wait_ms(
        self,
        limits: Sequence[int],
        *,
        shares: Shares | None = None,
        priority: Priority = Priority.NORMAL,
    ) -> float | None:
        """About how long a new waiter waits, with so many slots at the servers; None where no call
        has ended yet."""
        free = (taken < limit for taken, limit in zip(self.taken, limits, strict=True))
        if not any(self.waiting.values()) and any(free):
            return 0.0
        if self.call_ms is None:
            return None
        ahead = (shares or Shares()).ahead(priority, self.waiting)
        return (ahead + 1) * self.call_ms / sum(limits)
