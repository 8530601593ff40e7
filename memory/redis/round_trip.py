"""A round trip to the memory's Redis, as metrics."""

import time
from types import TracebackType

from telemetry.metrics import CONNECTIONS, ROUND_TRIP


class RoundTrip:
    """Counts the block as one, and a connection as lent out meanwhile."""

    __slots__ = ("_began_s",)

    def __enter__(self) -> None:
        CONNECTIONS.inc()
        self._began_s = time.monotonic()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ROUND_TRIP.observe(time.monotonic() - self._began_s)
        CONNECTIONS.dec()
