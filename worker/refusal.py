"""How a process ends that cannot start with the settings it was given."""

import sys
from typing import NoReturn

import click

BAD_SETTINGS = 78
"""The exit status: EX_CONFIG of BSD's sysexits.h. Whoever restarts processes need not try again
before a setting is changed (docs/operations.md, Processes)."""


def refuse_to_start(reason: Exception) -> NoReturn:
    """End the process with one line on standard error, and BAD_SETTINGS."""
    click.echo(f"griot: {reason}", err=True)
    sys.exit(BAD_SETTINGS)
