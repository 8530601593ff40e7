"""`griot demo` where the sandbox is not installed."""

import click

from worker.cli.group import CommandFailed
from worker.extras import needs_sandbox


@click.command(hidden=True)
def demo() -> None:
    """Say what the demo needs."""
    raise CommandFailed(needs_sandbox("griot demo"))
