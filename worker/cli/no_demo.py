"""`griot demo` where the sandbox is not installed."""

import click

from worker.cli.group import Failed
from worker.extras import needs_sandbox


@click.command(hidden=True)
def demo() -> None:
    """Say what the demo needs."""
    raise Failed(needs_sandbox("griot demo"))
