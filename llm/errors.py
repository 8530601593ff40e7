"""What can go wrong with a model call, as a tree whose leaves say what the caller can do.

    LLMError
    ├── RetryableLLMError          the same request may succeed later or elsewhere
    │   ├── OllamaUnreachableError   nothing listens, or it went away before it answered
    │   ├── OllamaBusyError          it cannot take the request now (429, 502 to 504)
    │   ├── OllamaFailedError        it took the request and failed (500, error line, runner gone)
    │   ├── StreamCutError           the reply began and never came to its end
    │   ├── RepetitionError          the model repeated itself until Ollama ended the reply
    │   ├── FormatMismatchError      the reply is whole, but not of the form that was asked for
    │   └── LLMTimeoutError
    │       ├── FirstTokenTimeoutError   queue, load and prompt evaluation took too long
    │       ├── IdleTimeoutError         silence between two tokens
    │       └── TotalTimeoutError        the reply as a whole took too long
    └── PermanentLLMError          the same request will fail again
        ├── InvalidRequestError      our own fault: found before sending, or options Ollama refuses
        ├── RequestRejectedError     Ollama refuses the request (400, 413, some 500)
        │   ├── ContextOverflowError   the prompt is longer than the window: shorten it
        │   └── UnsupportedError       the model has no tools, no thinking or no vision
        ├── FormatCutShortError      the reply ended, for want of room, before it had its form
        ├── FormatTooDearError       whether the reply has its form takes too long to find out
        ├── ModelNotFoundError       the model is not installed
        ├── AccessDeniedError        401 or 403
        ├── QuotaExceededError       402, and 429 if it says so
        ├── ResponseTooLargeError    the reply is over the limit in bytes
        └── InvalidReplyError        the reply is not Ollama's protocol

Beside the tree, `is_outage` says that the request cannot be the cause.

No message ever holds text of a prompt or of a reply. Every error can be made from its message
alone, so that it survives pickling and Celery's JSON.
"""


class LLMError(Exception):
    """Root of everything that this package raises; never an httpx or aiohttp error.

    `is_outage` is true where no request can have caused the failure, so that it says nothing of
    this one: nothing listens, the server (or what it passes the request on to) is too busy, it does
    not answer a look at its health either, or it has no memory to load the model.
    """

    # The default of the class; where only the circumstances tell, it is set on the error, and
    # pickle keeps it.
    is_outage: bool = False

    retry_after_s: float | None = None
    """How long the server asks us to wait; None where it does not say."""


class RetryableLLMError(LLMError):
    """The same request may succeed later or elsewhere."""


class OllamaUnreachableError(RetryableLLMError):
    """No connection, or it was lost before the first byte of an answer."""

    is_outage = True


class OllamaBusyError(RetryableLLMError):
    """Ollama, or what it passes the request on to, cannot take it now: back off."""

    is_outage = True


class OllamaFailedError(RetryableLLMError):
    """Ollama took the request and failed; parts of a reply may have been read before."""


class StreamCutError(RetryableLLMError):
    """The reply ended without `done: true`; what was read before is not a whole answer."""


class RepetitionError(RetryableLLMError):
    """The reply ended without `done: true` because the model said one thing over and over.

    Ollama ends such a reply without a word. That is the doing of the request and the model, not of
    the server.
    """


class FormatMismatchError(RetryableLLMError):
    """The reply is not JSON, or does not fit the schema, that the request's `format` asks for."""


class LLMTimeoutError(RetryableLLMError):
    """One of our own limits passed; the connection is closed, which stops the model."""


class FirstTokenTimeoutError(LLMTimeoutError):
    """Not one byte within the limit: queue, model load and prompt evaluation pass in silence."""


class IdleTimeoutError(LLMTimeoutError):
    """The stream began and then fell silent for longer than the limit."""


class TotalTimeoutError(LLMTimeoutError):
    """The whole reply took longer than the limit, though it may have been flowing."""


class PermanentLLMError(LLMError):
    """The same request will fail again: change it, or Ollama's installation, first."""


class InvalidRequestError(PermanentLLMError, ValueError):
    """The request is wrong in itself: nothing was sent, or Ollama refused one of its options."""


class RequestRejectedError(PermanentLLMError):
    """Ollama refuses this request by its status (4xx) or by what it says (some 500)."""


class ContextOverflowError(RequestRejectedError):
    """The prompt does not fit the model's window; shorten it and send it again.

    `n_prompt_tokens` and `n_ctx` are Ollama's own counts, None where it does not send them.
    """

    # Pickle makes the error from its message alone and sets the attributes after: so both have a
    # default.
    def __init__(
        self,
        message: str,
        *,
        n_prompt_tokens: int | None = None,
        n_ctx: int | None = None,
    ) -> None:
        super().__init__(message)
        self.n_prompt_tokens = n_prompt_tokens
        self.n_ctx = n_ctx


class UnsupportedError(RequestRejectedError):
    """The model cannot do what the request wants of it: choose another, or ask for less.

    `ability` is what it lacks, empty where that is not known.
    """

    ability: str = ""


class FormatCutShortError(PermanentLLMError):
    """The reply ran into `max_tokens` or the window before it had the form of `format`."""


class FormatTooDearError(PermanentLLMError):
    """Checking the reply against `format` takes too long, or the reply is too long for it."""


class ModelNotFoundError(PermanentLLMError):
    """The model is not installed on this Ollama; pull it there."""


class AccessDeniedError(PermanentLLMError):
    """Ollama answers 401 or 403: not signed in, or not the host name it allows."""


class QuotaExceededError(PermanentLLMError):
    """A quota of the account that Ollama uses is exhausted (402, 429)."""


class ResponseTooLargeError(PermanentLLMError):
    """The reply is longer than the limit; the connection is closed."""


class InvalidReplyError(PermanentLLMError):
    """What came back is not what Ollama sends: is it something else that listens there?"""
