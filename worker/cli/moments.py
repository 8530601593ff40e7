"""The options --since and --until: a moment, or how long ago."""

import re
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
