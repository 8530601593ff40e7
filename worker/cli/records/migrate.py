"""`griot migrate`: the versions of what lies in Redis, and what must be written again."""

import time
from collections.abc import Iterator
from dataclasses import asdict

import click

from memory import audit
from memory.upkeep.migration import Migration
from memory.upkeep.rewriting import Rewriting
from tasks.process.services import producer_services
from worker.cli.console import Table, json_option, note, say, show, show_json

TOLD_EVERY_S = 2.0


@click.command(name="migrate")
@click.option("--dry-run", is_flag=True, help="Only count: nothing is written.")
@json_option
def migrate(dry_run: bool, as_json: bool) -> None:
    """Show which versions the records in Redis have, and bring the too old ones to the next.

    Jobs, schedules, events, dead letters, messages, agents' states and session data. Workers go on
    meanwhile, and a run that is stopped may be repeated: it does the rest. CHANGELOG.md says which
    release needs it; before you go back to the release before, --dry-run shows what that one leaves
    to newer workers. Exit code 1 where records could not be read: they stay as they are.

    \b
    Example:
      griot migrate --dry-run
      griot migrate
    """
    services = producer_services()
    memory, keyspace = services.memory, services.keyspace
    migration = Migration(is_dry=dry_run)
    if dry_run:
        progress = told(migration.run(memory, keyspace))
    else:
        with audit.recorded(memory, keyspace, audit.Deed.MIGRATE) as entry:
            progress = told(migration.run(memory, keyspace))
            entry.outcome = f"migrated: {progress.written} records"
    if as_json:
        counted = [
            {"kind": kind, "version": version, "records": count}
            for (kind, version), count in sorted(migration.versions.items())
        ]
        show_json({**asdict(progress), "old": migration.old, "versions": counted})
    else:
        _say(migration, progress)
    if progress.unreadable:
        raise click.exceptions.Exit(1)


def told(run: Iterator[Rewriting]) -> Rewriting:
    """The end of a run, which tells on the way how far it is."""
    progress, told_s = Rewriting(0), time.monotonic()
    for progress in run:
        if time.monotonic() - told_s >= TOLD_EVERY_S:
            told_s = time.monotonic()
            note(f"{progress.seen} of about {progress.total} keys, {progress.written} records")
    return progress


def _say(migration: Migration, progress: Rewriting) -> None:
    for reason in progress.reasons:
        note(f"not read: {reason}")
    rows = [(kind, version, count) for (kind, version), count in sorted(migration.versions.items())]
    show(Table("Records", ("Kind", "Version", "Records"), rows))
    if progress.unreadable:
        say(f"{progress.unreadable} records cannot be read here and stay as they are")
    if progress.busy:
        say(f"{progress.busy} records changed during the run: run it again")
    if migration.is_dry and migration.old:
        say(f"{migration.old} records are to be written again: run griot migrate")
    elif progress.written:
        say(f"{progress.written} records written again")
    elif progress.is_done:
        say("nothing is to be written again: this Griot reads all of it")
