"""What the stand-in raises.

StandInError (a SandboxError)
├── UnknownScenario   a name that no scenario has, or a tag that no setting fits: correct the test
├── BadDuration       text that Go's time.ParseDuration refuses: becomes a 400 to the client
├── NotServing        the server could not be started or is stopped: look at the cause
└── Refused           an answer other than 200: the status and the exact text the client is to get
"""

from sandbox.errors import SandboxError


class StandInError(SandboxError):
    """The root of this package's errors."""


class UnknownScenario(StandInError):
    """No scenario has this name, or no setting looks like this tag."""


class BadDuration(StandInError):
    """The text is no Go duration."""


class NotServing(StandInError):
    """The stand-in is not listening."""


class Refused(StandInError):
    """Ollama would answer this request with `status` and `{"error": text}`.

    `late`: the refusal takes the place of a stream's first record; its content type then lacks
    the charset (docs/ollama.md, Transport).
    """

    def __init__(
        self, status: int, text: str, *, late: bool = False, signin_url: str | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.late = late
        self.signin_url = signin_url
