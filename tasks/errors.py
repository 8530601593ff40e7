"""What a service that sends chat jobs can meet, by what it can do about it.

ChatError
├── InvalidJob          the job is wrong: fix it; nothing was sent
│   └── JobConflict     its task_id or idempotency_key is another request's: take a new one
├── SessionBusy         the session has a job and the new one was not to wait: not taken in
├── LimitReached        as much is kept as a setting allows, which is named: not taken in; wait
├── QuotaExceeded       the user or the agent has used up a quota: not taken in; `retry_after_s`
├── NotAccepted         it is not known whether the job is in: send it again under the same id
├── JobFailed           the job ended without an answer; it lies in the dead letters
│   ├── JobExpired      it was not begun by the time that its `expires` says; no letter is kept
│   └── JobTimeout      its turn ran for as long as its `timeout_s` allows; no letter is kept
├── JobErased           the job's session was erased, with all that was said
└── ConfigurationError  a setting is wrong: the process cannot start

A cancelled job raises Celery's TaskRevokedError, a full mailbox `memory.Backpressure`. Every error
can be made from its message alone, so it survives the way through Celery's result backend.
"""

from typing import Self

from memory.ids import read_id, shown_id


class ChatError(Exception):
    """Any failure of a chat job."""


class InvalidJob(ChatError, ValueError):
    """The job's arguments are not acceptable. Nothing was sent."""


class JobConflict(InvalidJob):
    """The `task_id` or `idempotency_key` is that of another request, sent within a week.

    That one stays as it is; nothing was sent.
    """


class SessionBusy(ChatError):
    """The session has a job that runs or waits, and the new one said `on_busy="reject"`.

    It is not in. `job_id` is the job that runs, or is the first to run.
    """

    _BEFORE_ID = "; it answers job "

    @classmethod
    def with_job(cls, agent_id: str, session_id: str, job_id: str) -> Self:
        """The error that names the session and its job."""
        named = f"session {session_id!r} of agent {agent_id!r}"
        return cls(f"{named} is busy{cls._BEFORE_ID}{shown_id(job_id)}")

    @property
    def job_id(self) -> str:
        """From the message, which is all that the way through a result backend leaves."""
        return read_id(str(self).rpartition(self._BEFORE_ID)[2])


class LimitReached(ChatError):
    """As many jobs are pending, or as many sessions kept, as the setting allows that the message
    names. The job is not in."""


class QuotaExceeded(ChatError):
    """The job's user, or its agent, has used up a quota, which the message names. It is not in."""

    _BEFORE_WAIT = "; try again in "

    @classmethod
    def after(cls, used_up: str, retry_after_s: float) -> Self:
        """The error that says what is used up, and for how long."""
        return cls(f"{used_up}{cls._BEFORE_WAIT}{retry_after_s:.3f} s")

    @property
    def retry_after_s(self) -> float:
        """When the quota has room again, seconds from when it was asked; of jobs at once, where
        nobody knows that, one second.

        From the message, which is all that the way through a result backend leaves.
        """
        return float(str(self).rpartition(self._BEFORE_WAIT)[2].removesuffix(" s"))


class NotAccepted(ChatError, ConnectionError):
    """Redis did not confirm the job in time.

    Whether it is in is not known; sending it again with the same `task_id` cannot double it.
    """


class JobFailed(ChatError):
    """The job is over without an answer: refused by the model, out of attempts, or too late."""


class JobExpired(JobFailed):
    """The job had not begun by the time that its `expires` says. No model was called, and there is
    no dead letter: what comes too late is not to be sent again."""


class JobTimeout(JobFailed):
    """The job's turn ran for as long as its `timeout_s`, or its agent's, allows, and was stopped.

    What was said until then is in the history, or not, as CHAT_CANCEL_POLICY has it. There is no
    dead letter, and no other attempt: it would take as long.
    """

    @classmethod
    def after(cls, timeout_s: float) -> Self:
        """The error that names the bound."""
        return cls(f"the turn was stopped after {timeout_s:g} s, which its timeout_s allows")


class JobErased(ChatError):
    """The job's session was erased, and the job's result with it."""


class ConfigurationError(ChatError, ValueError):
    """A setting is wrong. The message is one line: name, value, what is allowed."""
