"""`griot cancel`: stop a job, or keep it from running."""

from typing import Literal

import click

from tasks import CancelOutcome, chat_task
from worker.cli.console import say

SAYS = {
    CancelOutcome.CANCELLED: "is cancelled: it was waiting and will not run",
    CancelOutcome.STOPPING: "is being stopped: its worker is notified",
    CancelOutcome.ALREADY: "had already ended: cancelled or failed",
    CancelOutcome.DONE: "had already been answered",
}


@click.command()
@click.argument("job_id")
@click.option(
    "--policy",
    type=click.Choice(["keep", "discard"]),
    help="Whether the reply so far of a running turn is kept, marked as cancelled, or "
    "discarded. Default: CHAT_CANCEL_POLICY.",
)
def cancel(job_id: str, policy: Literal["keep", "discard"] | None) -> None:
    """Cancel JOB_ID, waiting or running.

    A waiting job never runs; a running one has its model stopped within a second. The session goes
    on with its next message. Cancelling twice is harmless.

    \b
    Example:
      griot cancel 4d10cdb2-681c-4eba-810c-bd649f2ffa50 --policy discard
    """
    say(f"{job_id} {SAYS[chat_task.cancel(job_id, policy)]}")
