"""`griot reencrypt`: what lies in Redis, as GRIOT_ENCRYPTION_KEYS says it now."""

from collections.abc import Iterator
from dataclasses import asdict

import click

from memory import audit, prove_keys
from memory.archive.reencryption import reencrypt_archive
from memory.upkeep.key_check import forget_other_keys
from memory.upkeep.reencryption import reencrypt
from memory.upkeep.rewriting import Rewriting
from tasks.process.services import ProducerServices, producer_services
from worker.cli.console import json_option, note, say, show_json
from worker.cli.group import CommandFailed
from worker.cli.records.migrate import told


@click.command(name="reencrypt")
@json_option
def reencrypt_command(as_json: bool) -> None:
    """Re-encrypt all records with the first key of GRIOT_ENCRYPTION_KEYS, while workers run.

    Messages, jobs, events, dead letters, summaries, agents' states and session data, in Redis and
    the archive (ARCHIVE_URL). What is plain is encrypted, what another key has encrypted gets the
    first one; with `plain` as the first, all
    of it becomes plain. A run that is stopped may be repeated. Exit code 1 where records could not
    be decrypted: they stay as they are.

    Once it says "all done", you may remove the other keys from the setting.

    \b
    Example:
      GRIOT_ENCRYPTION_KEYS=new:...,old:... griot reencrypt
    """
    services = producer_services()
    memory, keyspace = services.memory, services.keyspace
    if not keyspace.keyring.keys:
        raise CommandFailed(
            "GRIOT_ENCRYPTION_KEYS is not set, so nothing can be encrypted or decrypted; set it as "
            "the workers have it"
        )
    if any(one.is_known for one in prove_keys(memory, keyspace)):
        raise CommandFailed("other processes use a different key under this id; run: griot check")
    with audit.recorded(memory, keyspace, audit.Deed.REENCRYPT) as entry:
        progress = told(_all(services))
        entry.outcome = f"reencrypted: {progress.written} records"
    if progress.is_done:
        forget_other_keys(memory, keyspace)
    if as_json:
        show_json(asdict(progress))
    else:
        _say(progress, has_keys=bool(services.settings.memory.encryption_keys))
    if progress.unreadable:
        raise click.exceptions.Exit(1)


def _all(services: ProducerServices) -> Iterator[Rewriting]:
    """Redis first, so that what goes to the archive meanwhile is as it is to be."""
    progress = Rewriting(0)
    for progress in reencrypt(services.memory, services.keyspace):
        yield progress
    if services.archive is not None:
        yield from reencrypt_archive(services.archive, services.keyspace, progress)


def _say(progress: Rewriting, *, has_keys: bool) -> None:
    for reason in progress.reasons:
        note(f"not re-encrypted: {reason}")
    say(f"{progress.written} records re-encrypted, of {progress.seen} keys")
    if progress.unreadable:
        say(f"{progress.unreadable} records cannot be decrypted here and stay as they are")
    if progress.busy:
        say(f"{progress.busy} records changed during the run: run it again")
    if progress.is_done and has_keys:
        say("all done: you may remove all keys but the first from GRIOT_ENCRYPTION_KEYS")
    elif progress.is_done:
        say("all is plain: GRIOT_ENCRYPTION_KEYS is not set")
