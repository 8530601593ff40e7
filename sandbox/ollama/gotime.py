"""Go's times and durations as Ollama reads and writes them. Pure."""

import re
from datetime import UTC, datetime
from functools import lru_cache

from sandbox.ollama.errors import BadDuration

FOR_EVER_S = 9_223_372_036.0
"""Go's largest duration in seconds (some 292 years): what a negative keep_alive means."""

_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)([^\d.]*)")


@lru_cache(maxsize=8)
def _to_the_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def timestamp(time_ns: int) -> str:
    """RFC 3339 in UTC with up to nine fractional digits, trailing zeros dropped."""
    second, fraction_ns = divmod(time_ns, 1_000_000_000)
    fraction = f".{fraction_ns:09d}".rstrip("0").rstrip(".")
    return f"{_to_the_second(second)}{fraction}Z"


def duration_s(text: str) -> float:
    """Seconds of a Go duration such as `1h30m` or `-5s`. Raises BadDuration with Go's words."""
    unsigned = text[1:] if text[:1] in {"-", "+"} else text
    if unsigned == "0":
        return 0.0
    parts = _PART.findall(unsigned)
    if not parts or "".join(number + unit for number, unit in parts) != unsigned:
        raise BadDuration(f'time: invalid duration "{text}"')
    total_s = sum(_part_s(number, unit, text) for number, unit in parts)
    return -total_s if text.startswith("-") else total_s


def _part_s(number: str, unit: str, text: str) -> float:
    if not unit:
        raise BadDuration(f'time: missing unit in duration "{text}"')
    if unit not in _UNIT_S:
        raise BadDuration(f'time: unknown unit "{unit}" in duration "{text}"')
    return float(number) * _UNIT_S[unit]
