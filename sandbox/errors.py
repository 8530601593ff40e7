"""What can go wrong with a local server.

SandboxError
├── BinaryMissing     no executable found; install one or name it
├── ServerDied        the process ended before it was ready; its last lines are in the message
├── ServerNotReady    the process runs but did not answer in time
└── ReplyError        a server refused a command; the message is the server's own
"""


class SandboxError(Exception):
    """The root of all errors of this package."""


class BinaryMissing(SandboxError):
    """No executable of the wanted server was found."""


class ServerDied(SandboxError):
    """The process ended before it was ready."""


class ServerNotReady(SandboxError):
    """The process runs but did not become ready in time. It has been killed."""


class ReplyError(SandboxError):
    """A server answered a command with an error; the message is the server's own."""
