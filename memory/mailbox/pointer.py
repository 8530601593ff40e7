"""The pointer from a job's id to its mailbox."""

from memory.keys import Keyspace, SessionKeys
from memory.lifetimes import DEAD_MS
from memory.redis.command import Command
from memory.redis.replies import nothing, optional


def locate(keyspace: Keyspace, job_id: str) -> Command[SessionKeys | None]:
    """The keys of the session whose mailbox has, or had, the job; None where it is unknown."""

    def read(pointer: bytes) -> SessionKeys:
        return keyspace.parse_history(pointer.decode(errors="replace").partition(" ")[2])

    return Command(optional(read), ("GET", keyspace.job(job_id)))


def is_claimed(keyspace: Keyspace, job_id: str, identity: str) -> Command[bool]:
    """Whether an id stands for this request in this session (`Intake.identity`) by now."""
    return Command(lambda reply: reply == identity.encode(), ("GET", keyspace.job(job_id)))


def digest_of(keyspace: Keyspace, job_id: str) -> Command[str | None]:
    """The digest of the request that an id stands for; None for an unknown one."""

    def read(pointer: bytes) -> str:
        return pointer.decode(errors="replace").partition(" ")[0]

    return Command(optional(read), ("GET", keyspace.job(job_id)))


def unclaim(keyspace: Keyspace, job_id: str) -> Command[None]:
    """Give up the claim of a job that was not taken in, on a cluster. Safe to repeat."""
    return Command(nothing, ("DEL", keyspace.job(job_id)))


def keep_pointer(keyspace: Keyspace, job_id: str) -> Command[None]:
    """Let a dead letter be found by its job's id for as long as it is kept."""
    return Command(nothing, ("PEXPIRE", keyspace.job(job_id), DEAD_MS))
