"""What a simulation ends with where it finds a fault."""

from collections.abc import Callable


class Violation(AssertionError):
    """An invariant does not hold."""


def first_violation(run: Callable[[int], object], seeds: int) -> str:
    """How the first of the seeds ends that ends badly."""
    for seed in range(seeds):
        try:
            run(seed)
        except Violation as violation:
            return str(violation)
    return f"no violation in {seeds} seeds"
