"""Durations as Go writes them: `90s`, `1h30m`, `300ms`. Pure."""

import re
from functools import lru_cache

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")
DURATION_PATTERN = r"^-?(\d+(\.\d+)?(ns|us|ms|s|m|h))+$"


@lru_cache(maxsize=64)
def seconds_of(duration: str | float) -> float:
    """The seconds of a duration with its units, or of a number; negative if it is."""
    if not isinstance(duration, str):
        return float(duration)
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(duration))
    return -seconds if duration.startswith("-") else seconds
