"""Which of several servers a call goes to. Pure: what is known of them goes in, an order comes out.

Sessions are spread by rendezvous hashing (Thaler and Ravishankar, 1998), so all workers choose the
same server without talking and a server that comes or goes moves only its own sessions. Loads are
kept even by a bound on it (Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded
Loads", 2016): a server that carries more than its share passes a session on to the next.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b

SHARE = 1.25
"""How much more than the average a server may carry before sessions leave it for another."""


class Readiness(IntEnum):
    """How soon a server can answer with a model: the smaller the better."""

    WARM = 0
    COLD = 1
    """The model is installed, and has to be loaded."""
    UNKNOWN = 2
    """The server does not say what it has."""
    ABSENT = 3
    """It did not have the model when it was last asked."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server that may be asked; `in_flight` counts the calls that this process has with it."""

    url: str
    readiness: Readiness
    in_flight: int = 0


def best_of(candidates: Sequence[Candidate], session: str) -> Candidate | None:
    """The server for a call of `session`; None if there is no candidate.

    The readiest come first, and among these the session's own unless it is overloaded. Without a
    session: the least loaded.
    """
    readiest = min((candidate.readiness for candidate in candidates), default=None)
    equals = [candidate for candidate in candidates if candidate.readiness == readiest]
    if len(equals) < 2:
        return equals[0] if equals else None
    if not session:
        return min(equals, key=lambda candidate: (candidate.in_flight, candidate.url))
    under_way = sum(candidate.in_flight for candidate in equals)
    # Above the average, so that at least one server is below it.
    bound = math.ceil(SHARE * (under_way + 1) / len(equals))
    light = [candidate for candidate in equals if candidate.in_flight < bound]
    return max(light, key=lambda candidate: (_weight(candidate.url, session), candidate.url))


def one_to_warm(candidates: Sequence[Candidate], session: str) -> Candidate | None:
    """The cold server that is to load the model for calls to come; None if there is no need.

    There is need when each server that has it loaded is at work already.
    """
    # Where no server has it the call itself loads it.
    warm = [candidate for candidate in candidates if candidate.readiness is Readiness.WARM]
    if not warm or not all(candidate.in_flight for candidate in warm):
        return None
    cold = [candidate for candidate in candidates if candidate.readiness is Readiness.COLD]
    return best_of(cold, session)


def _weight(url: str, session: str) -> bytes:
    # Not hash(): Python salts it anew in each process, and all workers must choose alike.
    return blake2b(f"{session}\0{url}".encode(errors="replace"), digest_size=8).digest()
