"""How much is measured: enough for a verdict, or a short look."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """The amounts of all measurements. A round is one pass over the systems that are compared; a
    pair is one over two that hardly differ."""

    rounds: int
    throughput_jobs: int
    pairs: int
    pair_jobs: int
    wide_sessions: int
    widest_sessions: int
    idle_pairs: int
    relay_streams: int
    stops: int
    long_history: int
    history_turns: int
    handover_jobs: int
    crowd: int
    backlog: int
    starts: int
    requests: int
    rest_s: float
    micro_calls: int
    million_sessions: int
    archived_sessions: int


FULL = Size(
    rounds=5,
    throughput_jobs=600,
    pairs=12,
    pair_jobs=1200,
    wide_sessions=500,
    widest_sessions=1000,
    idle_pairs=300,
    relay_streams=100,
    stops=50,
    long_history=10_000,
    history_turns=150,
    handover_jobs=200,
    crowd=50,
    backlog=1000,
    starts=5,
    requests=4000,
    rest_s=20.0,
    micro_calls=2000,
    million_sessions=1_000_000,
    archived_sessions=100_000,
)

QUICK = Size(
    rounds=2,
    throughput_jobs=200,
    pairs=3,
    pair_jobs=300,
    wide_sessions=500,
    widest_sessions=1000,
    idle_pairs=50,
    relay_streams=100,
    stops=10,
    long_history=10_000,
    history_turns=30,
    handover_jobs=50,
    crowd=50,
    backlog=300,
    starts=2,
    requests=1000,
    rest_s=5.0,
    micro_calls=300,
    million_sessions=20_000,
    archived_sessions=2000,
)
