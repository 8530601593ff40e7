"""`griot usage`: what was used each day, or by each user, agent or model."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import date

import click

from memory.quotas.usage import Spent
from tasks.overview.usage import BY, OTHER, UsageBy, UsageRow, usage
from worker.cli.console import Table, duration, json_option, show, show_json, write

ROW_OF_ALL = "other"
"""What people are shown of the row of those that have none of their own."""
COLUMNS = ("Turns", "In", "Out", "On a slot", "Tools", "Unfinished", "Summaries")
"""In, Out, Unfinished and Summaries are tokens."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"[+-][0-9]+")
_NUMBERS = tuple(one.name for one in fields(Spent))


def _day(context: click.Context, parameter: click.Parameter, given: str | None) -> date | None:
    """A day as ISO 8601 has it."""
    try:
        return None if given is None else date.fromisoformat(given)
    except ValueError:
        wrong = "give a day of the calendar: 2026-11-30"
        raise click.BadParameter(wrong, context, parameter) from None


@click.command(name="usage")
@click.option("--by", type=click.Choice(BY), default="day", show_default=True, help="Of what.")
@click.option(
    "--from",
    "since",
    callback=_day,
    metavar="DAY",
    help="The first day, 2026-11-01.  [default: 29 days earlier]",
)
@click.option("--to", "until", callback=_day, metavar="DAY", help="The last day.  [default: today]")
@click.option("--each-day", is_flag=True, help="A row for each day, not one for all of them.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
def usage_command(
    *,
    by: UsageBy,
    since: date | None,
    until: date | None,
    each_day: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show how many tokens, turns and calls of tools were used, and how long slots were held.

    Days are of UTC, by Redis' clock; 400 are kept. Tokens of attempts that came to no reply, and of
    summaries, are counted apart from those of turns. A day has 2000 users, agents and models of its
    own; what further ones use is in one row, whose name is empty, for people `other`. What a job
    without a user_id used is no user's.

    \b
    Example:
      griot usage --by user --from 2026-11-01 --to 2026-11-30 --csv
      griot usage --by model --each-day --json
    """
    if as_csv and as_json:
        raise click.UsageError("give either --csv or --json")
    rows = usage(by, since=since, until=until, each_day=each_day)
    if as_json:
        show_json([_facts(by, row) for row in rows])
        return
    about = [*(["day"] if each_day or by == "day" else []), *([] if by == "day" else [by])]
    if as_csv:
        write(_csv([*about, *_NUMBERS], [_facts(by, row) for row in rows]))
        return
    columns = [*(one.capitalize() for one in about), *COLUMNS]
    show(Table("Usage", columns, [_cells(by, row) for row in rows]))


def _facts(by: UsageBy, row: UsageRow) -> dict[str, object]:
    return {**_head(by, row), **asdict(row.spent)}


def _head(by: UsageBy, row: UsageRow) -> dict[str, object]:
    """What a row is about."""
    day: dict[str, object] = {} if row.day is None else {"day": row.day}
    return day if by == "day" else {**day, str(by): row.name}


def _csv(names: list[str], rows: Sequence[dict[str, object]]) -> str:
    written = io.StringIO()
    lines = csv.DictWriter(written, names, lineterminator="\n")
    lines.writeheader()
    lines.writerows({name: _inert(value) for name, value in row.items()} for row in rows)
    return written.getvalue()


def _inert(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: whoever sends jobs chooses the names. A
    number, such as that of a telephone, is none."""
    is_name = isinstance(value, str) and value.startswith(_FORMULA)
    return f"'{value}" if is_name and not _NUMBER.fullmatch(str(value)) else value


def _cells(by: UsageBy, row: UsageRow) -> list[object]:
    spent = row.spent
    return [
        *(ROW_OF_ALL if one == OTHER else one for one in _head(by, row).values()),
        spent.turns,
        spent.tokens_in,
        spent.tokens_out,
        duration(spent.slot_ms / 1000),
        spent.tool_calls,
        spent.unfinished_tokens_in + spent.unfinished_tokens_out,
        spent.summary_tokens_in + spent.summary_tokens_out,
    ]
