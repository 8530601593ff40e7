"""A producer that remembers what it was promised: the ids that `delay()` returned, in order."""

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from celery.result import AsyncResult

from memory import Backpressure
from tasks import NotAccepted, chat_task
from tests.support.waiting import wait_until

AGENT_ID = "energy"


@dataclass(frozen=True, slots=True)
class SentJob:
    """A job whose `delay()` returned. No two have the same message, so a call tells its job."""

    job_id: str
    message: str


@dataclass
class Sender:
    """Sends jobs and notes them, by session. One thread at a time per session, so order is known.

    `model` is the scenario of the stand-in that answers where a job names none.
    """

    model: str = "instant"
    agent_id: str = AGENT_ID
    jobs: dict[str, list[SentJob]] = field(default_factory=lambda: defaultdict(list))
    refused: int = 0
    """How often an insistent sender had to send again."""

    def sessions(self, count: int) -> list[str]:
        """So many ids of sessions that nobody has used."""
        return [f"s{n}-{uuid.uuid4().hex[:12]}" for n in range(count)]

    def next_message(self, session_id: str) -> str:
        """The text of the next job of a session."""
        return f"{session_id} no. {len(self.jobs[session_id])}"

    def send(self, session_id: str, *, queue: str | None = None, **options: object) -> AsyncResult:
        """Send one job; noted once `delay()` has returned. Raises what that raises."""
        return self._send(session_id, str(uuid.uuid4()), queue, options)

    def send_all(self, session_ids: Iterable[str], count: int) -> None:
        """`count` jobs for each session, session after session."""
        for session_id in session_ids:
            for _ in range(count):
                self.send(session_id)

    def insist(self, session_id: str, *, timeout_s: float = 30.0, **options: object) -> None:
        """Send one job as the documentation advises: again under the same id until it is in."""
        job_id = str(uuid.uuid4())

        def is_accepted() -> bool:
            try:
                self._send(session_id, job_id, None, options)
            except (NotAccepted, Backpressure):
                self.refused += 1
                return False
            return True

        wait_until(is_accepted, timeout_s=timeout_s, what="the job is accepted")

    def counts(self) -> list[tuple[str, int]]:
        """The sessions, and how many jobs each has been sent."""
        return [(session_id, len(sent)) for session_id, sent in self.jobs.items()]

    def note(self, session_id: str, job_id: str, message: str) -> None:
        """Remember a job that was sent by other means."""
        self.jobs[session_id].append(SentJob(job_id, message))

    def _send(
        self, session_id: str, job_id: str, queue: str | None, options: dict[str, object]
    ) -> AsyncResult:
        message = self.next_message(session_id)
        kwargs = {
            "agent_id": self.agent_id,
            "session_id": session_id,
            "message": message,
            "model": self.model,
            **options,
        }
        sent: AsyncResult = chat_task.apply_async(kwargs=kwargs, task_id=job_id, queue=queue)
        self.note(session_id, sent.id, message)
        return sent
