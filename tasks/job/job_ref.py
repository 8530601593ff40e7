"""Which job a message is about."""

from dataclasses import dataclass, field

from tasks.job.envelope import Envelope


@dataclass(frozen=True, slots=True)
class JobRef:
    """A job by its id and its session.

    `max_history` is how much history the job wants, None for what its agent's profile says.
    `envelope` comes with a raw `send_task` only: all others lie in the mailbox.
    """

    job_id: str
    agent_id: str
    session_id: str
    max_history: int | None = None
    envelope: Envelope | None = field(default=None, repr=False)

    @property
    def session(self) -> str:
        """The session's name where a model server is chosen for it."""
        return f"{self.agent_id}:{self.session_id}"
