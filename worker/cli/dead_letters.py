"""`griot dead-letters`: jobs that ended without an answer."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import chain, islice
from types import FrameType

import click
from pydantic import JsonValue

from tasks import app
from tasks.submit.dead_letters import (
    Letter,
    all_letters,
    drop,
    letter_of,
    requeue,
    requeue_all,
)
from tasks.submit.webhook_letters import WebhookLetter, requeue_webhook, webhook_letters
from worker.cli.console import (
    Table,
    json_option,
    limit_option,
    moment_of,
    note,
    say,
    show,
    show_json,
)
from worker.cli.group import INTERRUPTED, Group
from worker.cli.moments import since_option

reason_option = click.option(
    "--reason", metavar="TEXT", help="Only those whose reason contains this text, in any case."
)
kind_option = click.option(
    "--kind", type=click.Choice(["job", "webhook"]), help="Only jobs, or only webhooks."
)


@click.group(cls=Group, name="dead-letters", invoke_without_command=True)
@click.pass_context
def dead_letters(context: click.Context) -> None:
    """List, show, send again or drop jobs that ended without an answer, and webhooks that no
    receiver took.

    A job becomes a dead letter when the model refuses it, or when its attempts are used up; a
    webhook when its attempts are, or its receiver wants no more. Both are kept for 30 days. The
    session goes on without it. Without a command, they are listed.

    \b
    Example:
      griot dead-letters
      griot dead-letters requeue 4d10cdb2-681c-4eba-810c-bd649f2ffa50
      griot dead-letters requeue --reason "out of memory" --since 2h
    """
    if context.invoked_subcommand is None:
        context.invoke(list_letters)


@dead_letters.command(name="list")
@limit_option
@kind_option
@reason_option
@since_option
@json_option
def list_letters(
    limit: int, kind: str | None, reason: str | None, since: datetime | None, as_json: bool
) -> None:
    """List dead letters, jobs of the latest session first, then webhooks; without what was said.

    \b
    Example:
      griot dead-letters list --since 1d
      griot dead-letters list --reason "out of memory" --json | jq -r '.[].job_id'
    """
    facts = map(_facts, filter(_filter(reason, since), all_letters() if _is(kind, "job") else ()))
    hooks = (one for one in webhook_letters() if _is(kind, "webhook"))
    of_hooks = map(_webhook_facts, filter(_webhook_filter(reason, since), hooks))
    found = list(islice(chain(facts, of_hooks), limit))
    columns = ("Since", "Kind", "Agent", "Session", "Id", "Attempts", "Reason")
    names = ("died_at", "kind", "agent_id", "session_id", "id", "attempts", "reason")
    rows = [[{"id": one["job_id"], **one}[name] for name in names] for one in found]
    show_json(found) if as_json else show(Table("Dead letters", columns, rows))


@dead_letters.command(name="show")
@click.argument("job_id")
@json_option
def show_letter(job_id: str, as_json: bool) -> None:
    """Show one dead letter: the error of each attempt, its message and its options.

    \b
    Example:
      griot dead-letters show 4d10cdb2-681c-4eba-810c-bd649f2ffa50
    """
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
@click.argument("job_ids", nargs=-1, metavar="[JOB_ID]...")
@click.option("--all", "is_all", is_flag=True, help="All dead letters.")
@kind_option
@reason_option
@since_option
def requeue_letters(
    job_ids: tuple[str, ...],
    is_all: bool,
    kind: str | None,
    reason: str | None,
    since: datetime | None,
) -> None:
    """Send dead jobs and webhooks again: these, or all that --kind, --reason and --since choose.

    Each goes to the end of its session under a new id, in the old order. Whoever follows the old
    id, or waits for its result, is led to the new one. A webhook keeps its id. Ctrl-C stops after
    the job under way; run the command again for the rest. Exit code 1 where a job was refused: its
    dead letter stays.

    \b
    Example:
      griot dead-letters requeue 4d10cdb2-681c-4eba-810c-bd649f2ffa50
      griot dead-letters requeue --reason "out of memory" --since 2h
      griot dead-letters requeue --all
    """
    is_filtered = is_all or not (kind is None and reason is None and since is None)
    if bool(job_ids) == is_filtered:
        raise click.UsageError("give either job ids or some of --all, --kind, --reason and --since")
    if job_ids:
        for job_id in job_ids:
            say(f"{job_id} is sent again as {requeue(app, job_id)}")
        return
    if _is(kind, "webhook"):
        for letter in filter(_webhook_filter(reason, since), webhook_letters()):
            requeue_webhook(letter)
            say(f"{letter.webhook.event_id} is sent again")
    if _is(kind, "job"):
        _requeue_all(_filter(reason, since))


def _requeue_all(is_chosen: Callable[[Letter], bool]) -> None:
    sent = refused = 0
    with _stops_between() as is_stopped:
        for one in requeue_all(app, is_chosen):
            sent, refused = sent + bool(one.new_id), refused + bool(one.refusal)
            if one.new_id:
                say(f"{one.job_id} is sent again as {one.new_id}")
            else:
                note(f"{one.job_id} is not sent again: {one.refusal}")
            if is_stopped():
                break
        note(f"{sent} sent again" + (f", {refused} refused" if refused else ""))
        if is_stopped():
            note("stopped; run the command again for the rest")
            raise click.exceptions.Exit(INTERRUPTED)
    if refused:
        raise click.exceptions.Exit(1)


@contextmanager
def _stops_between() -> Iterator[Callable[[], bool]]:
    """Ctrl-C does not interrupt the step under way: it sets what this yields. A second one does."""
    stop = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop.is_set
    finally:
        signal.signal(signal.SIGINT, before)


@dead_letters.command(name="drop")
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...")
def drop_letters(job_ids: tuple[str, ...]) -> None:
    """Delete dead letters. This cannot be undone.

    \b
    Example:
      griot dead-letters drop 4d10cdb2-681c-4eba-810c-bd649f2ffa50
    """
    for job_id in job_ids:
        drop(job_id)
        say(f"{job_id} is dropped")


def _filter(reason: str | None, since: datetime | None) -> Callable[[Letter], bool]:
    named = (reason or "").casefold()
    since_ms = 0.0 if since is None else since.timestamp() * 1000
    return lambda one: one.letter.died_at_ms >= since_ms and named in one.letter.reason.casefold()


def _webhook_filter(reason: str | None, since: datetime | None) -> Callable[[WebhookLetter], bool]:
    named = (reason or "").casefold()
    since_ms = 0.0 if since is None else since.timestamp() * 1000
    return lambda one: one.died_at_ms >= since_ms and named in one.reason.casefold()


def _is(kind: str | None, wanted: str) -> bool:
    return kind in (None, wanted)


def _webhook_facts(found: WebhookLetter) -> dict[str, object]:
    return {
        "kind": "webhook",
        "id": found.webhook.event_id,
        "agent_id": found.agent_id,
        "session_id": found.session_id,
        "job_id": found.webhook.job_id,
        "attempts": found.webhook.attempts,
        "reason": found.reason,
        "died_at": moment_of(found.died_at_ms),
    }


def _facts(found: Letter) -> dict[str, object]:
    letter = found.letter
    size = letter.too_large_bytes
    return {
        "kind": "job",
        "agent_id": found.agent_id,
        "session_id": found.session_id,
        "job_id": letter.job_id,
        "attempts": letter.attempts,
        "reason": letter.reason,
        "died_at": moment_of(letter.died_at_ms),
        **({"too_large_bytes": size} if size else {}),
    }


def _failures(found: Letter) -> list[dict[str, object]]:
    """The error of each attempt."""
    return [
        {
            "attempt": one.attempt,
            "failed_at": moment_of(one.failed_at_ms),
            "error": one.error,
        }
        for one in found.letter.failures
    ]
