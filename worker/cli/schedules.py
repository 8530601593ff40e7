"""`griot schedules`: messages that are sent to a session again and again."""

from datetime import datetime
from zoneinfo import ZoneInfo

import click

from tasks import ChatOptions
from tasks.job.options import OnBusyName
from tasks.job.schedule import Schedule
from tasks.submit import schedules as kept
from worker.cli.console import Table, json_option, moment_of, say, show, show_json
from worker.cli.group import Group

ON_BUSY = ("enqueue", "reject", "interrupt", "rollback", "replace_pending", "merge")
SHOWN_CHARS = 40


@click.group(cls=Group)
def schedules() -> None:
    """Send a message to a session again and again.

    A schedule has a cron expression (minute hour day-of-month month day-of-week) in a time zone, or
    an interval. Each tick is a job of its own, sent once, however many workers run. Any worker of
    chat jobs sends it, within about a second; beat is not needed. Of ticks that were missed, for no
    worker was there, only the last is sent; "list" says how many were skipped, and why. A time that
    the clocks leap over in spring is an hour later that day; one that comes twice in autumn is
    taken once.

    \b
    Example:
      griot schedules create energy news-1 "What is new?" --cron "0 9 * * 1-5" --zone Africa/Dakar
      griot schedules create energy watch-1 "Any outage?" --every 900 --on-busy reject
      griot schedules list
      griot schedules next 3f9c1ab27d10
      griot schedules pause 3f9c1ab27d10
    """


@schedules.command(name="create")
@click.argument("agent_id")
@click.argument("session_id")
@click.argument("message")
@click.option("--cron", help="Minute, hour, day of month, month, day of week: '0 9 * * 1-5'.")
@click.option("--every", "every_s", type=int, help="Seconds between two messages, 10 at least.")
@click.option("--zone", default="UTC", show_default=True, help="Time zone of --cron.")
@click.option(
    "--on-busy",
    type=click.Choice(ON_BUSY),
    default="enqueue",
    show_default=True,
    help="What a message does to the session's other jobs; reject skips the tick.",
)
@click.option("--model", help="The model that answers. Default: the agent's.")
@click.option("--user", help="Whose messages they are: metadata.user_id of each job.")
def create_schedule(  # noqa: PLR0917 - click passes them by name
    agent_id: str,
    session_id: str,
    message: str,
    cron: str | None,
    every_s: int | None,
    zone: str,
    on_busy: OnBusyName,
    model: str | None,
    user: str | None,
) -> None:
    """Make a schedule, and print its id and its next times."""
    options = ChatOptions(on_busy=on_busy, model=model)
    if user is not None:
        options["metadata"] = {"user_id": user}
    rhythm = {"cron": cron, "zone": zone}
    made = kept.create(agent_id, session_id, message, every_s=every_s, **rhythm, **options)  # type: ignore[arg-type]  # no option is called so
    say(made.schedule_id)
    _show_next(made, 3)


@schedules.command(name="list")
@json_option
def list_schedules(as_json: bool) -> None:
    """List the schedules, with the ticks that were skipped."""
    facts = [_facts(one) for one in kept.every()]
    columns = (
        "Id",
        "Agent",
        "Session",
        "When",
        "State",
        "Next",
        "Last",
        "Skipped",
        "Why",
        "Message",
    )
    rows = [list(one.values()) for one in facts]
    show_json(facts) if as_json else show(Table("Schedules", columns, rows))


@schedules.command(name="delete")
@click.argument("schedule_id")
def delete_schedule(schedule_id: str) -> None:
    """Remove a schedule. A job that it has sent already goes on."""
    kept.delete(schedule_id)
    say(f"{schedule_id} is deleted")


@schedules.command(name="pause")
@click.argument("schedule_id")
def pause_schedule(schedule_id: str) -> None:
    """Send nothing more until it is resumed."""
    kept.pause(schedule_id)
    say(f"{schedule_id} is paused")


@schedules.command(name="resume")
@click.argument("schedule_id")
def resume_schedule(schedule_id: str) -> None:
    """Go on with the next tick; those of the pause are not made up for."""
    kept.resume(schedule_id)
    say(f"{schedule_id} goes on")


@schedules.command(name="next")
@click.argument("schedule_id")
@click.option("-n", "number", type=click.IntRange(1, 100), default=5, show_default=True)
def show_next(schedule_id: str, number: int) -> None:
    """Show when the next messages are sent, in the schedule's time zone."""
    _show_next(kept.find(schedule_id), number)


def _show_next(schedule: Schedule, number: int) -> None:
    zone = ZoneInfo(schedule.rhythm.zone)
    for tick_s in kept.next_ticks(schedule.schedule_id, number):
        say(datetime.fromtimestamp(tick_s, zone).strftime("%a %Y-%m-%d %H:%M:%S %Z"))


def _facts(schedule: Schedule) -> dict[str, object]:
    def moment(at_s: float | None) -> str:
        return "" if at_s is None else moment_of(round(at_s * 1000))

    return {
        "schedule_id": schedule.schedule_id,
        "agent_id": schedule.agent_id,
        "session_id": schedule.session_id,
        "when": str(schedule.rhythm),
        "state": "paused" if schedule.is_paused else "active",
        "next": moment(schedule.next_s),
        "last": moment(schedule.last_s),
        "skipped": schedule.skipped,
        "why": f"{moment(schedule.skipped_s)}: {schedule.why}" if schedule.skipped else "",
        "message": schedule.message[:SHOWN_CHARS],
    }
