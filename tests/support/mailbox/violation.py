"""What a simulation ends with where it finds a fault."""

from collections.abc import Callable


class Violation(AssertionError):
    """An invariant does not hold."""


def first_violation(run: Callable[[int], object], seeds: int, *, known: int = 0) -> str:
    """How the first of the seeds ends that ends badly. `known` is tried before all: it found the
    fault when the test was written, and spares the runs that do not."""
    for seed in dict.fromkeys((known, *range(seeds))):
        try:
            run(seed)
        except Violation as violation:
            return str(violation)
    return f"no violation in {seeds} seeds"
