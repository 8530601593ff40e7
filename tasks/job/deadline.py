"""Until when a job must have begun: the ways in which a sender may say it. Pure."""

import math
from collections.abc import Collection

from tasks.errors import InvalidJob
from tasks.job.due_time import MAX_DELAY_S, unix_time

WAYS = "seconds from now (over 0), a datetime with a time zone, or ISO 8601 with a time zone"


def expires_at(given: object, *, now_s: float) -> float:
    """What `expires` asks for, Unix time in seconds: a number counts from now on.

    Raises InvalidJob.
    """
    try:
        if _is_moment(given):
            at_s = unix_time(given, what="expires", ways=WAYS)
        else:
            at_s = _in(given, now_s)
    except ValueError as exc:
        raise InvalidJob(str(exc)) from None
    if at_s - now_s > MAX_DELAY_S:
        raise InvalidJob("expires lies more than a year ahead")
    return at_s


def latest(deadlines: Collection[float | None]) -> float | None:
    """The deadline of a job that answers several; None: one of them has none."""
    known = [one for one in deadlines if one is not None]
    return max(known) if len(known) == len(deadlines) else None


def _is_moment(given: object) -> bool:
    return not isinstance(given, int | float)


def _in(given: object, now_s: float) -> float:
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or not (math.isfinite(given) and given > 0):  # type: ignore[arg-type, operator]  # it is one
        raise ValueError(f"expires must be {WAYS}")
    return now_s + float(given)  # type: ignore[arg-type]  # it is one
