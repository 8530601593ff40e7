"""`griot check`: would a chat job be done here?"""

from collections.abc import Sequence

import click

from tasks import app
from tasks.process.services import producer_services
from worker.cli.console import Table, json_option, show, show_json
from worker.health import (
    Finding,
    Level,
    check_broker,
    check_calls,
    check_ollama,
    check_redis,
    check_results,
    check_settings,
    check_workers,
)


@click.command()
@json_option
def check(as_json: bool) -> None:
    """Check settings, Redis, broker, Ollama and workers.

    Says of each whether it is well, and what to do if not. Exit code 1 if anything fails; a
    warning is no failure.

    \b
    Example:
      griot check
      griot check --json | jq '.[] | select(.level != "ok")'
    """
    findings = all_findings()
    if as_json:
        show_json(findings)
    else:
        show(table_of(findings))
    if any(finding.level is Level.FAIL for finding in findings):
        raise click.exceptions.Exit(1)


def all_findings() -> list[Finding]:
    """What every check found. Takes a second or two, more where something does not answer."""
    services = producer_services()
    broker = check_broker(app)
    findings = [check_settings(services.settings), *check_redis(services.memory), broker]
    findings += [check_results(app), *check_ollama(services.settings)]
    findings.append(check_calls(services.settings))
    if broker.level is Level.OK:
        findings.append(check_workers(app))
    return findings


def table_of(findings: Sequence[Finding]) -> Table:
    """The findings as a table."""
    rows = [(f.level.value, f.check, f.found, f.advice) for f in findings]
    return Table("Would a chat job be done here?", ("Level", "Check", "Found", "What to do"), rows)
