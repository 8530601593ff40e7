"""What attempts took and what they came to, as metrics (docs/metrics.md)."""

import time
from collections.abc import Coroutine
from typing import Any

from tasks.attempt.verdict import Answered, Cancelled, Ended, Later, NotNow, Refused, Verdict
from telemetry.labels import AGENTS
from telemetry.metrics import ATTEMPTS, TURN, TURNS_RUNNING

OUTCOMES = {
    Answered: "answered",
    Later: "retried",
    Ended: "failed",
    Refused: "refused",
    Cancelled: "cancelled",
    NotNow: "waiting",
}
BROKEN = "broken"
"""What an attempt came to that Redis or a stop has ended before there was a verdict."""


async def measured(agent_id: str, attempt: Coroutine[Any, Any, Verdict]) -> Verdict:
    """Make this attempt and count it."""
    agent, began_s, outcome = AGENTS.label(agent_id), time.monotonic(), BROKEN
    TURNS_RUNNING.inc()
    try:
        verdict = await attempt
        outcome = _outcome_of(verdict)
        return verdict
    finally:
        TURNS_RUNNING.dec()
        ATTEMPTS.labels(agent, outcome).inc()
        if outcome not in ("waiting", "refused"):
            error = "" if outcome == "answered" else outcome
            TURN.labels(agent, error).observe(time.monotonic() - began_s)


def _outcome_of(verdict: Verdict) -> str:
    is_over = isinstance(verdict, NotNow) and verdict.is_over
    return "over" if is_over else OUTCOMES[type(verdict)]
