"""The choice among servers: pure, so that every property can be asked for."""

import math
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from llm.servers.choice import SHARE, Candidate, Readiness, best_of, one_to_warm

urls = st.lists(
    st.integers(1, 65535).map(lambda port: f"http://10.0.0.1:{port}"),
    min_size=1, max_size=8, unique=True,
)  # fmt: skip
fleets = st.builds(
    lambda names, kinds, loads: [
        Candidate(name, kind, load) for name, kind, load in zip(names, kinds, loads, strict=False)
    ],
    urls,
    st.lists(st.sampled_from(Readiness), min_size=8, max_size=8),
    st.lists(st.integers(0, 30), min_size=8, max_size=8),
)
WARM = [Candidate(f"http://10.0.0.{n}:11434", Readiness.WARM) for n in range(1, 5)]


@given(fleets, st.text(max_size=10))
def test_the_readiest_are_chosen(fleet: list[Candidate], session: str) -> None:
    """Whatever their load, and the same ones in whatever order they are listed."""
    best = best_of(fleet, session)
    assert best is not None
    assert best.readiness == min(candidate.readiness for candidate in fleet)
    assert best_of(fleet[::-1], session) == best


@given(fleets, st.text(max_size=10))
def test_nobody_carries_more_than_a_share(fleet: list[Candidate], session: str) -> None:
    """A quarter over the average at most, once the call is counted in."""
    best = best_of(fleet, session)
    assert best is not None
    equals = [one for one in fleet if one.readiness == best.readiness]
    total = sum(one.in_flight for one in equals) + 1
    assert best.in_flight + 1 <= max(1, math.ceil(SHARE * total / len(equals)))


@given(st.text(min_size=1, max_size=10), st.integers(0, 3))
def test_a_server_that_goes_moves_its_own_sessions_only(session: str, gone: int) -> None:
    """So a session keeps its prefix cache when another server fails."""
    before = best_of(WARM, session)
    left = [one for one in WARM if one is not WARM[gone]]
    assert before is WARM[gone] or best_of(left, session) == before


def test_sessions_are_spread_evenly() -> None:
    """Of many sessions each of four servers has about a quarter."""
    found = Counter(best_of(WARM, f"energy:session-{n}") for n in range(2000))
    assert all(400 < count < 600 for count in found.values())


def test_a_session_stays_until_its_server_is_overloaded() -> None:
    """Then it goes to the next, and comes back afterwards."""
    pair = WARM[:2]
    own = best_of(pair, "s")
    assert own is not None
    (other,) = (one for one in pair if one is not own)
    assert best_of([replace(own, in_flight=1), other], "s").url == own.url  # type: ignore[union-attr]  # there is one
    assert best_of([replace(own, in_flight=2), other], "s") == other
    busy_too = replace(other, in_flight=2)
    assert best_of([replace(own, in_flight=2), busy_too], "s").url == own.url  # type: ignore[union-attr]  # there is one


def test_without_a_session_the_least_loaded_is_chosen() -> None:
    """There is no prefix to keep."""
    idle, busy = WARM[0], replace(WARM[1], in_flight=1)
    assert best_of([busy, idle], "") == idle
    assert best_of([], "") is None


def test_a_cold_server_is_warmed_when_all_warm_ones_are_at_work() -> None:
    """Not earlier, and only one that has the model."""
    warm, cold = WARM[0], replace(WARM[1], readiness=Readiness.COLD)
    absent = replace(WARM[2], readiness=Readiness.ABSENT)
    at_work = replace(warm, in_flight=1)
    assert one_to_warm([warm, cold, absent], "s") is None
    assert one_to_warm([at_work, cold, absent], "s") == cold
    assert one_to_warm([at_work, absent], "s") is None
    assert one_to_warm([cold, absent], "s") is None
