"""What a service that sends chat jobs can meet, by what it can do about it.

ChatError
├── InvalidJob          the job is wrong: fix it; nothing was sent
├── NotAccepted         it is not known whether the job is in: send it again under the same id
├── JobFailed           the job ended without an answer; it lies in the dead letters
├── JobCancelled        the job was withdrawn
└── ConfigurationError  a setting is wrong: the process cannot start

A full mailbox raises `memory.Backpressure`. Every error can be made from its message alone, so it
survives the way through Celery's result backend.
"""


class ChatError(Exception):
    """Any failure of a chat job."""


class InvalidJob(ChatError, ValueError):
    """The job's arguments are not acceptable. Nothing was sent."""


class NotAccepted(ChatError, ConnectionError):
    """Redis did not confirm the job in time.

    Whether it is in is not known; sending it again with the same `task_id` cannot double it.
    """


class JobFailed(ChatError):
    """The job is over without an answer: refused by the model, or out of attempts."""


class JobCancelled(ChatError):
    """The job was withdrawn before its turn was committed."""


class ConfigurationError(ChatError, ValueError):
    """A setting is wrong. The message is one line: name, value, what is allowed."""
