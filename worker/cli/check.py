"""`griot check`: can Griot answer right now?"""

import click

from tasks import app
from tasks.process.services import producer_services
from worker.checks.deployment import all_findings
from worker.checks.findings import Level
from worker.cli.console import Table, json_option, show, show_json


@click.command()
@json_option
def check(as_json: bool) -> None:
    """Check settings, Redis, broker, Ollama and workers.

    Shows what is wrong and what to do about it. Exit code 1 if a check fails; warnings do not
    count as failures.

    \b
    Example:
      griot check
      griot check --json | jq '.[] | select(.level != "ok")'
    """
    services = producer_services()
    findings = all_findings(app, services.memory, services.settings)
    rows = [(one.level.value, one.check, one.found, one.advice) for one in findings]
    columns = ("Level", "Check", "Found", "What to do")
    title = "Can Griot answer right now?"
    show_json(findings) if as_json else show(Table(title, columns, rows))
    if any(finding.level is Level.FAIL for finding in findings):
        raise click.exceptions.Exit(1)
