"""When the ticks of a schedule are: by a cron expression in a time zone, or at an interval."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import islice, takewhile
from typing import Annotated
from zoneinfo import ZoneInfo

from celery.schedules import ParseException, crontab
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memory.quoting import quoted
from tasks.errors import InvalidJob

MIN_EVERY_S, MAX_EVERY_S = 10, 366 * 24 * 3600
MAX_CRON_CHARS, MAX_ZONE_CHARS = 256, 64
LATEST_S = 100_000_000_000
"""The year 5138: a calendar has no days for what another program may write here."""
_USUAL = re.compile(r"[A-Za-z0-9*,/ -]*")
HORIZON_DAYS = 8 * 366 + 2
"""The rarest day, 29 February, is at most eight years away."""
CRON_FORM = (
    "five fields: minute hour day-of-month month day-of-week, such as '0 9 * * 1-5' (weekdays at "
    "9:00) or '*/15 * * * *'"
)


class Rhythm(BaseModel):
    """The ticks of a schedule: `cron` in a time `zone`, or every `every_s` seconds from `begun_s`.

    A time of day that the clocks leap over in spring is taken an hour later. One that comes twice
    in autumn is taken the first time, unless `cron` names each hour. Day of month and day of week
    must both fit, as in Celery.
    """

    model_config = ConfigDict(frozen=True)

    cron: str | None = None
    every_s: int | None = None
    zone: str = "UTC"
    begun_s: Annotated[int, Field(ge=0, le=LATEST_S)] = 0

    @classmethod
    def of(cls, *, cron: str | None, every_s: int | None, zone: str) -> "Rhythm":
        """A rhythm that a caller asks for. Raises InvalidJob, which says what is wrong."""
        try:
            found = cls(cron=cron, every_s=every_s, zone=zone)
        except ValidationError:
            raise InvalidJob(
                "cron and zone must be texts, and an interval a whole number of seconds"
            ) from None
        found.check()
        return found

    def check(self) -> None:
        """Raise InvalidJob for what is no rhythm, which says what is wrong."""
        if (self.cron is None) == (self.every_s is None):
            raise InvalidJob("give either a cron expression or an interval")
        _zone(self.zone)
        if self.every_s is not None:
            if not MIN_EVERY_S <= self.every_s <= MAX_EVERY_S:
                raise InvalidJob(f"an interval has {MIN_EVERY_S} to {MAX_EVERY_S} seconds")
        elif next(self.after(0), None) is None:
            raise InvalidJob(f"{quoted(self.cron or '')} names no day that ever comes")

    def after(self, moment_s: float) -> Iterator[int]:
        """The ticks after a moment, in their order, Unix time in seconds."""
        if self.every_s is not None:
            number = max(0, (int(moment_s) - self.begun_s) // self.every_s) + 1
            while True:
                yield self.begun_s + number * self.every_s
                number += 1
        last_s = int(moment_s)
        for day in self._days(_day(moment_s, self.zone) - timedelta(days=1), 1):
            for tick_s in self._ticks_of(day):
                if tick_s > last_s:
                    yield tick_s
                    last_s = tick_s

    def last_until(self, moment_s: float) -> int | None:
        """The last tick that is not after a moment; None: there is none in eight years."""
        if self.every_s is not None:
            number = (int(moment_s) - self.begun_s) // self.every_s
            return self.begun_s + number * self.every_s if number > 0 else None
        for day in self._days(_day(moment_s, self.zone) + timedelta(days=1), -1):
            ticks = [one for one in self._ticks_of(day) if one <= moment_s]
            if ticks:
                return ticks[-1]
        return None

    def missed(self, after_s: float, until_s: float, *, at_most: int) -> int:
        """How many ticks lie after a moment and not after another; no more than `at_most`."""
        over = takewhile(lambda tick_s: tick_s <= until_s, self.after(after_s))
        return sum(1 for _ in islice(over, at_most))

    def _days(self, first: date, step: int) -> Iterator[date]:
        """The days with ticks from one on, forwards (1) or backwards (-1), up to the horizon.

        Months without any are passed over: for 29 February the days of eight years would take a
        worker's loop as long as a hundred turns do.
        """
        parsed = _parsed(self.cron or "")
        day, last = first, first + timedelta(days=step * HORIZON_DAYS)
        while (last - day).days * step > 0:
            if day.month not in parsed.month_of_year:
                first_of_month = day.replace(day=1)
                day = first_of_month + timedelta(days=32 if step > 0 else -1)
                day = day.replace(day=1) if step > 0 else day
                continue
            if day.day in parsed.day_of_month and day.isoweekday() % 7 in parsed.day_of_week:
                yield day
            day += timedelta(days=step)

    def _ticks_of(self, day: date) -> list[int]:
        """The ticks of a day that has some, in their order."""
        parsed, zone = _parsed(self.cron or ""), _zone(self.zone)
        # Who names each hour means each: the one that comes twice, too.
        folds = (0, 1) if len(parsed.hour) == 24 else (0,)
        minutes = sorted(parsed.minute)
        hours = (_ticks_of_hour(day, h, minutes, zone, f) for h in parsed.hour for f in folds)
        return sorted({tick_s for ticks in hours for tick_s in ticks})

    def __str__(self) -> str:
        """As an operator reads it."""
        return f"every {self.every_s} s" if self.every_s is not None else f"{self.cron} {self.zone}"


def _ticks_of_hour(
    day: date, hour: int, minutes: list[int], zone: ZoneInfo, fold: int
) -> Iterator[int]:
    begins_s, ends_s = (
        int(datetime(day.year, day.month, day.day, hour, m, tzinfo=zone, fold=fold).timestamp())
        for m in (0, 59)
    )
    # No clock is set within it: its minutes need not be looked up one by one.
    if ends_s - begins_s == 59 * 60:
        yield from (begins_s + 60 * m for m in minutes)
        return
    for m in minutes:
        at = datetime(day.year, day.month, day.day, hour, m, tzinfo=zone, fold=fold)
        yield int(at.timestamp())


@lru_cache(maxsize=1024)  # asked for each day that is looked at
def _parsed(cron: str) -> crontab:
    if len(cron) > MAX_CRON_CHARS:
        raise InvalidJob(f"a cron expression has at most {MAX_CRON_CHARS} characters")
    fields = cron.split()
    if len(fields) != 5:
        raise InvalidJob(f"a cron expression has {CRON_FORM}; this one has {len(fields)}")
    try:
        return crontab.from_string(" ".join(fields))
    except (ParseException, ValueError, KeyError) as exc:
        # Celery's reason quotes a field.
        why = f" ({exc})" if _USUAL.fullmatch(cron) else ""
        raise InvalidJob(f"{quoted(cron)} is no cron expression{why}: it has {CRON_FORM}") from None


def _zone(name: str) -> ZoneInfo:
    try:
        if len(name) <= MAX_ZONE_CHARS:
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    raise InvalidJob(f"{quoted(name)} is no time zone; write it as Europe/Berlin or UTC")


def _day(moment_s: float, zone: str) -> date:
    return datetime.fromtimestamp(moment_s, UTC).astimezone(_zone(zone)).date()
