"""`griot drain`: have a worker finish and end."""

import time

import click

from tasks.submit import drain as draining
from worker.cli.console import note, say

LOOK_S = 1.0
SILENT = 3
"""After so many looks without an answer a worker has ended."""


@click.command()
@click.argument("worker")
@click.option(
    "--wait", "waits", is_flag=True, help="Stay until it has ended, and say how far it is."
)
def drain(worker: str, waits: bool) -> None:
    """Have WORKER take nothing new, finish what runs, and end with exit code 0.

    WORKER is a node name, as `griot status` shows it. What it has not begun goes back to the queue
    at once, and the other workers go on. Nothing is stopped, however long it runs: a turn ends by
    LLM_TOTAL_TIMEOUT. SIGTERM does the same for WORKER_DRAIN_SECONDS, then gives the turns back.
    Where something starts ended processes again (compose, systemd), tell it not to.

    \b
    Example:
      griot drain celery@host-1
      griot drain celery@host-1 --wait && apt upgrade
    """
    begun = draining.drain(worker)
    say(
        f"{worker} drains: {begun.running} tasks still run, "
        f"{begun.given_back} messages went back to the queue"
    )
    if waits:
        _wait(worker, begun.running)
        say(f"{worker} has ended")


def _wait(worker: str, running: int) -> None:
    """Until it has ended; each change of what runs is said."""
    silent = 0
    while silent < SILENT:
        found = draining.look(worker)
        if found is None:
            silent += 1
            continue
        silent = 0
        if found.running != running:
            running = found.running
            note(f"{running} tasks still run")
        time.sleep(LOOK_S)
