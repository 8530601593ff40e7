"""When a job is due: the ways in which a sender may say it. Pure."""

import math
from collections.abc import Mapping
from datetime import datetime

from tasks.errors import InvalidJob

MAX_DELAY_S = 366 * 24 * 3600
"""So far ahead may a job be sent; what is to come again and again is a schedule."""
WAYS = "a datetime with a time zone, Unix time in seconds, or ISO 8601 with a time zone"


def unix_time(given: object, *, what: str, ways: str = WAYS) -> float:
    """A moment as Unix time, seconds. Raises ValueError, which says what is wrong with it, and in
    which `ways` it may be said."""
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given)
        except ValueError:
            raise ValueError(f"{what} must be {ways}") from None
    if isinstance(given, datetime):
        if given.utcoffset() is None:
            raise ValueError(f"{what} has no time zone: give it one, for example UTC")
        return given.timestamp()
    moment_s = finite(given)
    if moment_s is None or moment_s < 0:
        raise ValueError(f"{what} must be {ways}")
    return moment_s


def finite(given: object) -> float | None:
    """A number of seconds; None of what is no number, not finite, or larger than any float."""
    if not isinstance(given, int | float) or isinstance(given, bool):
        return None
    try:
        number = float(given)
    except OverflowError:  # an int has no largest
        return None
    return number if math.isfinite(number) else None


def not_before_of(options: Mapping[str, object], *, now_s: float) -> float | None:
    """What Celery's `eta` and `countdown` ask for, Unix time in seconds; None: neither is given.

    Raises InvalidJob.
    """
    eta, countdown = options.get("eta"), options.get("countdown")
    if eta is not None and countdown is not None:
        raise InvalidJob("give either eta or countdown, not both")
    if eta is not None:
        try:
            return unix_time(eta, what="eta")
        except ValueError as exc:
            raise InvalidJob(str(exc)) from None
    if countdown is None:
        return None
    if (wait_s := finite(countdown)) is None:
        raise InvalidJob("countdown must be a number of seconds")
    return now_s + max(0.0, wait_s)


def wait_ms(not_before: float, *, now_s: float) -> int:
    """How long a job is to wait that is due then; 0: it is due. Raises InvalidJob for one that is
    due in more than a year."""
    wait_s = not_before - now_s
    if wait_s > MAX_DELAY_S:
        raise InvalidJob("not_before lies more than a year ahead")
    return max(0, math.ceil(wait_s * 1000))
