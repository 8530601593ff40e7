"""`griot jobs`: the jobs of a state, an agent, a session, a user or a tag."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Unpack

import click

from tasks.overview.found_jobs import (
    MOST_OF_A_PAGE,
    STATES,
    FoundJob,
    FoundJobs,
    JobSearch,
    find_jobs,
)
from tasks.process.services import producer_services
from worker.cli.console import (
    Table,
    duration,
    json_option,
    limit_option,
    moment,
    note,
    show,
    show_json,
)
from worker.cli.moments import since_option, until_option


@click.command(name="jobs")
@click.option("--state", type=click.Choice(STATES), help="Only jobs in this state.")
@click.option("--agent", "agent_id", help="Only an agent's.")
@click.option("--session", "session_id", help="Only a session's.")
@click.option("--user", help="Only those whose metadata name this user_id.")
@click.option("--tag", help="Only those that were sent with this tag.")
@since_option
@until_option
@limit_option
@click.option("--cursor", default="", help="Go on where an earlier list ended.")
@json_option
def jobs_command(*, limit: int, cursor: str, as_json: bool, **search: Unpack[JobSearch]) -> None:
    """List jobs, the one that was sent last first.

    All that wait or run are found, and those that have ended for a day (CHAT_JOBS_KEPT_SECONDS), at
    most the last 20 000 (CHAT_MAX_JOBS_KEPT). Several options narrow the list down. Where there are
    more, the cursor says where to go on: in the JSON it is `next`, null at the end.

    \b
    Example:
      griot jobs --state failed --since 2h
      griot jobs --tag import-7 --state failed --json | jq -r '.jobs[].job_id'
    """
    found: list[FoundJob] = []
    place: str | None = cursor
    while place is not None and len(found) < limit:
        most = min(MOST_OF_A_PAGE, limit - len(found))
        page: FoundJobs = find_jobs(cursor=place, limit=most, **search)
        found += page.jobs
        place = page.next
    if as_json:
        show_json({"jobs": [*map(_as_json, found)], "next": place})
        return
    columns = ("Job", "State", "Agent", "Session", "User", "Tags", "Sent", "Took")
    if not found:
        kept = duration(producer_services().settings.queue.jobs_kept_s)
        note(f"griot: no such job; those that have ended are listed for {kept}")
    show(Table("Jobs", columns, [tuple(_cells(job)) for job in found]))
    if place is not None:
        note(f"griot: there are more: --cursor '{place}'")


def _cells(job: FoundJob) -> Iterator[object]:
    yield from (job.job_id, job.state, job.agent_id, job.session_id, job.user)
    yield from (" ".join(job.tags), moment(job.taken_at))
    took = None if job.ended_at is None else (job.ended_at - job.taken_at).total_seconds()
    yield None if took is None else duration(max(0.0, took))


def _as_json(job: FoundJob) -> dict[str, object]:
    ended = None if job.ended_at is None else moment(job.ended_at)
    return {**asdict(job), "taken_at": moment(job.taken_at), "ended_at": ended}
