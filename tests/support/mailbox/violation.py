"""What a simulation ends with where it finds a fault."""


class Violation(AssertionError):
    """An invariant does not hold."""
