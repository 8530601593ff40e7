"""Results that are owed: jobs which are over in their mailbox, until their result is stored.

The end of a job and its result may be on different servers, and a worker may die in between. So a
worker notes a job here before it ends it, and removes the note when the result is stored. A sweeper
stores what is still noted (docs/decisions.md). The scripts are those of the due list, with the id
of a job for a mailbox.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from memory.keys import Keyspace
from memory.mailbox import due_list
from memory.redis.command import Command
from memory.redis.replies import integer

# The backend of results may be away for a while; the mailbox keeps what is needed.
AGAIN_MS = 10 * 60 * 1000
"""How long to wait where a result cannot be stored now."""


@dataclass(frozen=True, slots=True)
class OwedResult:
    """A job whose result should have been stored, and the score under which it was found."""

    job_id: str
    at_ms: float


def owe(keyspace: Keyspace, job_id: str, *, grace_ms: int) -> Command[int]:
    """Note that a job's result is owed; overdue after `grace_ms`. Safe to repeat.

    Send it before the operation that ends the job, in its pipeline.
    """
    return due_list.schedule(keyspace.owed, job_id, delay_ms=grace_ms)


def stored(keyspace: Keyspace, job_ids: Sequence[str]) -> Command[int]:
    """Take the notes on these jobs away; how many there were. Safe to repeat."""
    return Command(integer, ("ZREM", keyspace.owed, *job_ids))


def overdue(keyspace: Keyspace, *, limit: int) -> Command[list[OwedResult]]:
    """The jobs whose result is overdue, the longest first."""
    return due_list.due(keyspace.owed, OwedResult, limit=limit)


def put_off(keyspace: Keyspace, owed: OwedResult) -> Command[bool]:
    """Try again in ten minutes; False where another sweeper has put it off before."""
    return due_list.settle(keyspace.owed, owed.job_id, seen_ms=owed.at_ms, delay_ms=AGAIN_MS)
