"""Looking at a job that waits or runs, from outside."""

from memory.keys import SessionKeys
from memory.mailbox.outcomes import JobToWake
from memory.redis.command import Command
from memory.redis.replies import optional, unexpected_reply


def stored(keys: SessionKeys, job_id: str) -> Command[JobToWake | None]:
    """The job as it lies in its mailbox; None where it is over."""
    read = optional(lambda envelope: JobToWake(job_id, envelope))
    return Command(read, ("HGET", keys.jobs, job_id))


def has_begun(keys: SessionKeys, job_id: str) -> Command[bool]:
    """Whether an attempt at the job is being made, or has counted; False of one that only waits."""

    def read(reply: object) -> bool:
        match reply:
            case [bytes(head), bytes(attempt)]:
                return head.decode(errors="replace") == job_id and attempt != b"0"
            case [_, _]:
                return False
        raise unexpected_reply(reply)

    return Command(read, ("HMGET", keys.lease, "job", "attempt"))
