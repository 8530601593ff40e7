"""The ticks of a schedule: cron expressions in time zones, intervals, and the hours of change."""

import time
from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from tasks.errors import InvalidJob
from tasks.job.rhythm import Rhythm

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    """A moment, written as a clock on the wall shows it."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def walls(rhythm: Rhythm, after: str, number: int) -> list[str]:
    """The next ticks, as a clock on the wall shows them, with the zone's name then."""
    ticks = islice(rhythm.after(at(after)), number)
    return [datetime.fromtimestamp(one, BERLIN).strftime("%m-%d %H:%M %Z") for one in ticks]


def test_a_cron_expression_is_meant_in_its_zone() -> None:
    """Weekdays at nine, by the clock there, in summer and in winter."""
    rhythm = Rhythm(cron="0 9 * * 1-5", zone="Europe/Berlin")
    assert walls(rhythm, "2026-10-22T10:00", 3) == [
        "10-23 09:00 CEST", "10-26 09:00 CET", "10-27 09:00 CET",
    ]  # fmt: skip


def test_a_time_that_the_clocks_leap_over_is_an_hour_later() -> None:
    """And the ticks of the hour after that are there once."""
    daily = Rhythm(cron="30 2 * * *", zone="Europe/Berlin")
    assert walls(daily, "2026-03-28T12:00", 2) == ["03-29 03:30 CEST", "03-30 02:30 CEST"]
    hourly = Rhythm(cron="30 * * * *", zone="Europe/Berlin")
    assert walls(hourly, "2026-03-29T01:00", 3) == [
        "03-29 01:30 CET", "03-29 03:30 CEST", "03-29 04:30 CEST",
    ]  # fmt: skip


def test_a_time_that_comes_twice_is_taken_once_unless_each_hour_is_named() -> None:
    """The first time, in summer time."""
    daily = Rhythm(cron="30 2 * * *", zone="Europe/Berlin")
    assert walls(daily, "2026-10-24T12:00", 2) == ["10-25 02:30 CEST", "10-26 02:30 CET"]
    hourly = Rhythm(cron="30 * * * *", zone="Europe/Berlin")
    assert walls(hourly, "2026-10-25T01:45", 3) == [
        "10-25 02:30 CEST", "10-25 02:30 CET", "10-25 03:30 CET",
    ]  # fmt: skip


def test_an_interval_counts_from_its_beginning() -> None:
    """Whatever clocks on the wall do."""
    rhythm = Rhythm(every_s=900, begun_s=1_000_000)
    assert list(islice(rhythm.after(1_000_000), 2)) == [1_000_900, 1_001_800]
    assert rhythm.last_until(1_001_799) == 1_000_900
    assert rhythm.last_until(1_000_899) is None


def test_missed_ticks_are_counted_and_the_last_of_them_is_found() -> None:
    """However long nobody was there; no more than so many are counted."""
    rhythm = Rhythm(cron="*/10 * * * *")
    after_s, until_s = at("2026-11-01T00:00"), at("2026-11-26T12:03")
    assert rhythm.last_until(until_s) == at("2026-11-26T12:00")
    assert rhythm.missed(until_s - 3600, until_s, at_most=1000) == 6
    assert rhythm.missed(after_s, until_s, at_most=1000) == 1000
    assert rhythm.missed(until_s, until_s, at_most=1000) == 0


def test_the_29th_of_february_comes() -> None:
    """In the years that have it."""
    rhythm = Rhythm(cron="0 0 29 2 *", zone="Europe/Berlin")
    rhythm.check()
    (tick,) = islice(rhythm.after(at("2026-01-01T00:00")), 1)
    assert tick == at("2028-02-29T00:00")


@pytest.mark.parametrize(
    ("rhythm", "says"),
    [
        (Rhythm(), "either"),
        (Rhythm(cron="0 9 * * *", every_s=60), "either"),
        (Rhythm(cron="0 9 * *"), "five fields.*this one has 4"),
        (Rhythm(cron="0 25 * * *"), "no cron expression"),
        (Rhythm(cron="x y * * *"), "no cron expression"),
        (Rhythm(cron="0 0 31 2 *"), "."),
        (Rhythm(cron="* " * 200), "at most 256"),
        (Rhythm(cron="0 9 * * *", zone="Berlin"), "Europe/Berlin"),
        (Rhythm(cron="0 9 * * *", zone="../../etc/passwd"), "no time zone"),
        (Rhythm(every_s=1), "10 to"),
    ],
)
def test_what_is_no_rhythm_is_refused_with_what_is_wrong(rhythm: Rhythm, says: str) -> None:
    """So that whoever wrote it can put it right."""
    with pytest.raises(InvalidJob, match=says):
        rhythm.check()


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize("cron", ["* * 29 2 0", "0 0 29 2 1", "* * * * *", "0 0 1 1 *"])
def test_no_schedule_keeps_the_loop_that_looks_for_its_ticks(cron: str, zone: str) -> None:
    """A Sunday that is a 29 February comes every 28 years; a worker looks on the loop of all
    turns."""
    rhythm, now_s = Rhythm(cron=cron, zone=zone), at("2026-11-26T12:00")
    began_s = time.thread_time()
    next(rhythm.after(now_s), None)
    rhythm.last_until(now_s)
    rhythm.missed(now_s - 86_400, now_s, at_most=1000)
    assert time.thread_time() - began_s < 0.03


@pytest.mark.parametrize("hour", ["1", "2", "3", "*"])
def test_a_change_within_an_hour_is_seen(hour: str) -> None:
    """Lord Howe sets its clocks by half an hour: its hours of change have minutes of their own."""
    zone = ZoneInfo("Australia/Lord_Howe")
    minutes = (0, 29, 30, 59)
    rhythm = Rhythm(cron=f"{','.join(map(str, minutes))} {hour} * * *", zone=zone.key)
    folds = (0, 1) if hour == "*" else (0,)
    hours = range(24) if hour == "*" else [int(hour)]
    for month, day in ((4, 5), (10, 4)):
        walls = [datetime(2026, month, day, h, m, tzinfo=zone, fold=f) for h in hours
                 for m in minutes for f in folds]  # fmt: skip
        expected = sorted({int(one.timestamp()) for one in walls})
        begin_s = at(f"2026-{month:02}-{day:02}T00:00", zone) - 1
        assert list(islice(rhythm.after(begin_s), len(expected))) == expected


def test_a_refusal_quotes_no_odd_characters() -> None:
    """Celery's reason is shown of what has the letters of a cron expression only."""
    with pytest.raises(InvalidJob, match="Invalid weekday literal 'frday'"):
        Rhythm(cron="0 9 * * frday").check()
    with pytest.raises(InvalidJob) as refused:
        Rhythm(cron="0 9 * * \x1b[2Ksecret").check()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "given",
    [{"cron": ["x"]}, {"every_s": "x"}, {"every_s": 1e30}, {"cron": "* * * * *", "zone": 1}],
)
def test_a_rhythm_of_other_types_is_refused_in_our_words(given: dict[str, object]) -> None:
    """As an InvalidJob, which callers expect."""
    known = {"cron": None, "every_s": None, "zone": "UTC", **given}
    with pytest.raises(InvalidJob):
        Rhythm.of(**known)  # type: ignore[arg-type]  # that is the point
