"""The state of a circuit breaker by its usual name."""

from enum import StrEnum

from llm.servers.breaker import Breaker


class State(StrEnum):
    """What a breaker does with a call."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


def state_of(breaker: Breaker) -> State:
    """Closed, open until a pause is over, or half-open: one trial may be made, or is under way."""
    return State(breaker.state)
