"""By when a job must have begun, and how long its turn may run: how a sender may say it. Pure."""

from collections.abc import Collection, Mapping

from tasks.errors import InvalidJob
from tasks.job.due_time import MAX_DELAY_S, finite, unix_time

WAYS = "seconds from now (over 0), a datetime with a time zone, or ISO 8601 with a time zone"
MAX_TIMEOUT_S = 86_400
"""A turn that needs more than a day is no turn of a conversation."""
_LIMITS = ("time_limit", "soft_time_limit")


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


def celery_timeout(options: Mapping[str, object]) -> object:
    """What Celery's `time_limit` and `soft_time_limit` ask for; None: neither is given.

    A turn is stopped only once, so the shorter of the two counts. What is no number is given back
    as it is, to be refused.
    """
    given = [options[name] for name in _LIMITS if options.get(name) is not None]
    numbers = [one for one in given if isinstance(one, int | float)]
    return min(numbers) if len(numbers) == len(given) > 0 else next(iter(given), None)


def timeout_of_message(limits: object) -> object:
    """The same of a message's header `timelimit`, in which 0 is none, as Celery reads it."""
    if not isinstance(limits, list | tuple) or len(limits) != len(_LIMITS):
        return None
    return celery_timeout(dict(zip(_LIMITS, (one or None for one in limits), strict=True)))


def _is_moment(given: object) -> bool:
    return not isinstance(given, int | float)


def _in(given: object, now_s: float) -> float:
    wait_s = finite(given)
    if wait_s is None or wait_s <= 0:
        raise ValueError(f"expires must be {WAYS}")
    return now_s + wait_s
