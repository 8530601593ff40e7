"""What an attempt means for the promises to its agent's users, counted twice: as metrics, and in
Redis for `griot status` (memory/records/slo_counts.py)."""

from collections import Counter
from collections.abc import Mapping

from agents.profiles import Profile
from agents.slo import FIRST_TOKEN, QUEUE_WAIT
from memory.records import slo_counts
from tasks.attempt.verdict import Ended, Verdict
from tasks.process.turns_now import TurnNow
from telemetry.labels import AGENTS
from telemetry.metrics import SLO_ALLOWED, SLO_MEASURED, SLO_MISSED


def judged(profile: Profile, turn: TurnNow, verdict: Verdict) -> Mapping[str, int]:
    """What to add to the counts of all turns. A job that ends without a token has missed it."""
    if profile.slo is None:
        return {}
    counts = Counter[str]()
    agent = AGENTS.label(turn.agent_id)
    waits = {QUEUE_WAIT: turn.queue_wait_s, FIRST_TOKEN: turn.first_token_s}
    if isinstance(verdict, Ended) and turn.first_token_s is None:
        waits[FIRST_TOKEN] = float("inf")
    for name, bound_s in profile.slo.bounds_s.items():
        if (waited_s := waits[name]) is None:
            continue
        is_missed = waited_s > bound_s
        SLO_ALLOWED.labels(agent, name).set(profile.slo.allowed)
        SLO_MEASURED.labels(agent, name).inc()
        SLO_MISSED.labels(agent, name).inc(is_missed)
        counts[slo_counts.measured(agent, name)] += 1
        counts[slo_counts.missed(agent, name)] += is_missed
    return +counts
