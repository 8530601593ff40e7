"""`griot dead-letters`: jobs that ended without an answer."""

from itertools import islice

import click
from pydantic import JsonValue

from tasks import app
from tasks.submit.dead_letters import Letter, all_letters, drop, letter_of, requeue
from worker.cli.console import Table, json_option, limit_option, moment_of, say, show, show_json


@click.group(name="dead-letters")
def dead_letters() -> None:
    """List, show, send again or drop jobs that ended without an answer.

    A job becomes a dead letter when the model refuses it, or when its attempts are used up. It is
    kept for 30 days. The session goes on without it.

    \b
    Example:
      griot dead-letters list
      griot dead-letters requeue 4d10cdb2-681c-4eba-810c-bd649f2ffa50
    """


@dead_letters.command(name="list")
@limit_option
@json_option
def list_letters(limit: int, as_json: bool) -> None:
    """List dead letters, the latest session first; without what was said."""
    found = [_facts(letter) for letter in islice(all_letters(), limit)]
    columns = ("Since", "Agent", "Session", "Job", "Attempts", "Reason")
    names = ("died_at", "agent_id", "session_id", "job_id", "attempts", "reason")
    rows = [[facts[name] for name in names] for facts in found]
    show_json(found) if as_json else show(Table("Dead letters", columns, rows))


@dead_letters.command(name="show")
@click.argument("job_id")
@json_option
def show_letter(job_id: str, as_json: bool) -> None:
    """Show one dead letter: what each attempt came to, its message and options."""
    found = letter_of(job_id)
    job: dict[str, JsonValue] = {}
    if found.job is not None:
        job = found.job.model_dump(mode="json", exclude_none=True)
    if as_json:
        show_json({**_facts(found), "failures": _failures(found), "job": job})
    else:
        rows: list[tuple[str, object]] = list(_facts(found).items())
        rows += [
            (f"attempt {one['attempt']}", f"{one['failed_at']}: {one['error']}")
            for one in _failures(found)
        ]
        rows += job.items()
        show(Table(f"Dead letter {job_id}", ("What", "Value"), rows), is_to_read=True)


@dead_letters.command(name="requeue")
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...")
def requeue_letters(job_ids: tuple[str, ...]) -> None:
    """Send dead jobs again, each at the end of its session and under a new id."""
    for job_id in job_ids:
        say(f"{job_id} is sent again as {requeue(app, job_id)}")


@dead_letters.command(name="drop")
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...")
def drop_letters(job_ids: tuple[str, ...]) -> None:
    """Delete dead letters for good."""
    for job_id in job_ids:
        drop(job_id)
        say(f"{job_id} is dropped")


def _facts(found: Letter) -> dict[str, object]:
    letter = found.letter
    return {
        "agent_id": found.agent_id,
        "session_id": found.session_id,
        "job_id": letter.job_id,
        "attempts": letter.attempts,
        "reason": letter.reason,
        "died_at": moment_of(letter.died_at_ms),
    }


def _failures(found: Letter) -> list[dict[str, object]]:
    """What each attempt came to."""
    return [
        {
            "attempt": one.attempt,
            "failed_at": moment_of(one.failed_at_ms),
            "error": one.error,
        }
        for one in found.letter.failures
    ]
