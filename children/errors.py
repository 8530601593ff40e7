"""What can go wrong with work in a child process, by what the caller can do about it.

ChildError
├── NoChild       no process can be started now: later one may
└── ChildEnded    the process ended, or was killed, before it answered: so it would again
"""


class ChildError(Exception):
    """No answer came of a child process; the message holds nothing of the request."""


class NoChild(ChildError):
    """The operating system starts no process, or the new one cannot do the work."""


class ChildEnded(ChildError):
    """The process was killed at one of its limits, or died of the request."""
