"""A clock that only the test moves."""


class Clock:
    """Called, it gives the time in seconds, as `time.monotonic` does."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s
