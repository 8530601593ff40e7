"""A job on its way into its mailbox, and what the answers mean to its sender. Pure."""

from dataclasses import dataclass

from memory import (
    Backpressure,
    Claim,
    Command,
    Enqueued,
    EnqueueOutcome,
    Intake,
    MemoryUnavailable,
    OnBusy,
    SessionKeys,
)
from memory.ids import shown_id
from tasks.errors import JobConflict, NotAccepted, SessionBusy
from tasks.job.envelope import Envelope
from tasks.job.job import ChatJob


# Not frozen, as `Command` is not.
@dataclass(slots=True)
class Submission:
    """A job on its way into its mailbox. `commands` go to Redis; the last one answers."""

    job: ChatJob
    job_id: str
    envelope: Envelope
    keys: SessionKeys
    intake: Intake
    commands: tuple[*tuple[Command[object], ...], Command[Enqueued]]
    claim: Command[Claim] | None = None
    """On a cluster: to be sent before, in a trip of its own."""

    def not_confirmed(self, error: MemoryUnavailable) -> NotAccepted:
        """The error for a job of which it is not known whether it is in."""
        return NotAccepted(
            f"Redis did not confirm job {shown_id(self.job_id)}, which may have been stored "
            f"({error}); send it again with the same task_id, duplicates are ignored"
        )

    def check(self, enqueued: Enqueued) -> None:
        """Raise why the job was not taken in: JobConflict, SessionBusy, memory.Backpressure."""
        if enqueued.outcome is EnqueueOutcome.CONFLICT:
            raise self._conflict()
        if enqueued.outcome is EnqueueOutcome.FULL:
            agent_id, session_id = self.job.agent_id, self.job.session_id
            if self.job.on_busy is OnBusy.REJECT:
                raise SessionBusy.with_job(agent_id, session_id, enqueued.first)
            raise Backpressure(agent_id, session_id, enqueued.pending)

    def is_new_claim(self, claimed: Claim) -> bool:
        """Whether the id was free; to be given up where the job is not taken in.

        Raises JobConflict where it is another request's.
        """
        if claimed is Claim.CONFLICT:
            raise self._conflict()
        return claimed is Claim.CLAIMED

    def _conflict(self) -> JobConflict:
        name = "task_id" if self.job.idempotency_key is None else "idempotency_key"
        job = shown_id(self.job_id)
        return JobConflict(f"this {name} was used for another request (job {job}): use a new one")
