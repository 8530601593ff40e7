"""Options of time: --since and --until, a moment or how long ago; and for how long."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import click

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _moment(
    context: click.Context, parameter: click.Parameter, given: str | None
) -> datetime | None:
    """A date or time as ISO 8601 has it, in UTC where no zone is named; or how long ago."""
    if given is None:
        return None
    ago = _AGO.fullmatch(given)
    try:
        if ago is not None:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        at = datetime.fromisoformat(given)
    except (ValueError, OverflowError):
        wrong = "give a date, a time or an age: 2026-05-31, 2026-05-31T08:00, 36h, 7d"
        raise click.BadParameter(wrong, context, parameter) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _duration(
    context: click.Context, parameter: click.Parameter, given: str | None
) -> float | None:
    """Seconds, from a number with its unit."""
    if given is None:
        return None
    found = _AGO.fullmatch(given)
    if found is None or not int(found[1]):
        wrong = "give a number and its unit: 90s, 10m, 2h, 1d"
        raise click.BadParameter(wrong, context, parameter)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}).total_seconds()


def duration_option(*names: str, help: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """An option that takes a time such as 10m, and gives seconds."""
    return click.option(*names, callback=_duration, metavar="TIME", help=help)


since_option = click.option(
    "--since",
    callback=_moment,
    metavar="WHEN",
    help="Only since this date or time (UTC), or for so long: 2026-05-31, 36h, 7d.",
)
until_option = click.option(
    "--until",
    callback=_moment,
    metavar="WHEN",
    help="Only before this date or time (UTC), or before so long ago.",
)
