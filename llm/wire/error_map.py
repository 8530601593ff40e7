"""Where foreign errors become our own: HTTP statuses, error lines, exceptions of the transport.

What the words of a refusal mean is in refusals.py; here they become an error with a message, and
statuses whose text says nothing get theirs.
"""

from enum import Enum, auto

import aiohttp
import orjson

from llm.errors import (
    AccessDeniedError,
    ContextOverflowError,
    FirstTokenTimeoutError,
    IdleTimeoutError,
    InvalidReplyError,
    LLMError,
    ModelNotFoundError,
    OllamaBusyError,
    OllamaFailedError,
    OllamaUnreachableError,
    QuotaExceededError,
    RequestRejectedError,
    StreamCutError,
    TotalTimeoutError,
    UnsupportedError,
)
from llm.wire.address import looks_like_openai, named
from llm.wire.refusals import (
    LINE,
    is_overflow,
    missing_ability,
    opened,
    overflow_counts,
    reason_of,
)
from llm.wire.timeouts import Timeouts

MAX_ERROR_BODY_BYTES = 64 * 1024
"""As much of an error's body as is read; Ollama's longest are under 1 KiB."""

TRANSPORT_ERRORS = (aiohttp.ClientError, OSError)
"""What a call by aiohttp can raise; `lost_connection` turns each into an LLMError."""

KILLED = "signal: killed"
"""In the message of a runner's death: the kernel did it, or somebody by hand."""

MAX_RETRY_AFTER_S = 3600.0
"""A longer Retry-After counts as this."""


class Loss(Enum):
    """How a connection failed."""

    NO_PLACE = auto()
    """All that we keep are in use."""
    NOT_ACCEPTED = auto()
    REFUSED = auto()
    SILENCE = auto()
    NONSENSE = auto()
    CUT = auto()


def refused(
    status: int, body: bytes, *, model: str, base_url: str, retry_after: str | None = None
) -> LLMError:
    """The error that a reply with a status other than 200 means. Pure.

    `retry_after` is the header of that name, in seconds as a rule.
    """
    if status < 400:
        return InvalidReplyError(
            f"{base_url} answers HTTP {status} instead of 200 (redirects are not followed): "
            "is it Ollama?"
        )
    text = _error_text(body)
    error = _meant(status, text, model, base_url) or _of_status(status, text, model, base_url)
    error.retry_after_s = _seconds(retry_after)
    return error


def error_line(error: object, *, model: str, base_url: str) -> LLMError:
    """The error that a line `{"error": ...}` within a stream of status 200 means. Pure."""
    # The stream has begun, so there is no status (docs/ollama.md, Errors): what its text does not
    # show to be the request's fault may pass, and is tried again.
    text = opened(error)
    return _meant(LINE, text, model, base_url) or _error(
        OllamaFailedError, LINE, _unknown(text), "see its log", base_url
    )


def lost_connection(
    exc: Exception, *, replying: bool, base_url: str, timeouts: Timeouts
) -> LLMError:
    """The error that an exception of TRANSPORT_ERRORS means; raise it `from exc`. Pure.

    `replying` says whether the head of the reply had been read.
    """
    loss = next((loss for kind, loss in _LOSSES if isinstance(exc, kind)), Loss.CUT)
    return error_of(loss, replying=replying, base_url=base_url, timeouts=timeouts)


_LOSSES = (
    (aiohttp.ClientResponseError, Loss.NONSENSE),
    (aiohttp.ServerTimeoutError, Loss.NOT_ACCEPTED),
    (aiohttp.ClientConnectorError, Loss.REFUSED),
)


def error_of(loss: Loss, *, replying: bool, base_url: str, timeouts: Timeouts) -> LLMError:
    """The error for a connection that failed so. Pure."""
    if loss is Loss.NO_PLACE:
        return OllamaBusyError(f"all our connections to {named(base_url)} are in use")
    if loss is Loss.NONSENSE:
        return InvalidReplyError(f"what listens at {base_url} does not answer like Ollama")
    if loss is Loss.SILENCE:
        return idle_timeout(timeouts) if replying else first_token_timeout(timeouts)
    if replying:
        return StreamCutError(
            f"the reply of {named(base_url)} was cut off: the server stopped, or the network failed"
        )
    return _no_connection(loss, base_url, timeouts)


def first_token_timeout(timeouts: Timeouts) -> FirstTokenTimeoutError:
    """What to raise when not one byte came in time."""
    return FirstTokenTimeoutError(
        f"Ollama sent nothing for {timeouts.first_token_s:g} s and did not respond otherwise: "
        "is it overloaded or loading a large model? LLM_FIRST_TOKEN_TIMEOUT covers queue, "
        "load and prompt evaluation"
    )


def idle_timeout(timeouts: Timeouts) -> IdleTimeoutError:
    """What to raise when a stream has fallen silent."""
    return IdleTimeoutError(
        f"Ollama fell silent in mid-reply for {timeouts.idle_s:g} s (LLM_TIMEOUT) and showed no "
        "other sign of life"
    )


def total_timeout(timeouts: Timeouts) -> TotalTimeoutError:
    """What to raise when the whole reply took too long."""
    return TotalTimeoutError(
        f"the whole reply took over {timeouts.total_s:g} s (LLM_TOTAL_TIMEOUT)"
    )


def cannot(model: str, ability: str) -> UnsupportedError:
    """What to raise when a model lacks an ability (tools, thinking, vision, chat)."""
    error = UnsupportedError(
        f"model '{model}' does not support {ability}: choose one that does "
        f"(`ollama show {model}` lists what it can do), or ask without"
    )
    error.ability = ability
    return error


def _no_connection(loss: Loss, base_url: str, timeouts: Timeouts) -> LLMError:
    if loss is Loss.NOT_ACCEPTED:
        return OllamaUnreachableError(
            f"{named(base_url)} does not accept a connection within "
            f"{timeouts.connect_s:g} s: is it running, and is OLLAMA_BASE_URL right?"
        )
    if loss is Loss.REFUSED:
        return OllamaUnreachableError(
            f"{named(base_url)} does not answer: is it running (`ollama serve`), "
            "and is OLLAMA_BASE_URL right?"
        )
    closed = OllamaUnreachableError(
        f"{named(base_url)} closed the connection without an answer: was it stopped?"
    )
    # A request may have brought the server down: a look at its health tells whether it is away.
    closed.is_outage = False
    return closed


def _meant(status: int, text: str, model: str, base_url: str) -> LLMError | None:
    """The error that the words of a refusal mean, whatever its status; None if they say nothing."""
    if is_overflow(text):
        return _overflow(text)
    if ability := missing_ability(text):
        return cannot(model, ability)
    found = reason_of(status, text)
    if found is None:
        return None
    reason, words = found
    error = _error(reason.kind, status, f', saying "{words}"', reason.advice, base_url)
    if reason.is_outage is not None:
        error.is_outage = reason.is_outage
    return error


_FAILURES: tuple[tuple[type[LLMError], str], ...] = (
    (OllamaBusyError, "cannot take the request now"),
    (OllamaFailedError, "failed"),
    (LLMError, "refuses the request"),
)
# What a status means whose text says nothing that is known; the first row that has it decides.
_STATUSES: tuple[tuple[range, type[LLMError], str], ...] = (
    (range(401, 402), AccessDeniedError, "it is not signed in; run `ollama signin` on its host"),
    (range(402, 403), QuotaExceededError, "the account behind it must pay"),
    (
        range(403, 404),
        AccessDeniedError,
        "if it listens on loopback, OLLAMA_BASE_URL must name a local host",
    ),
    # A request that was given up on the way is not wrong in itself.
    (range(408, 409), OllamaFailedError, "it dropped the request"),
    (range(429, 430), OllamaBusyError, "send fewer at a time"),
    (range(499, 500), OllamaFailedError, "it dropped the request"),
    (range(502, 505), OllamaBusyError, "see its log, and that of any proxy before it"),
    (range(400, 500), RequestRejectedError, "see its log"),
    (range(500, 1000), OllamaFailedError, "see its log"),
)


def _of_status(status: int, text: str, model: str, base_url: str) -> LLMError:
    """The error of a status whose text says nothing that is known."""
    if status == 404:
        return _not_found(text, model, base_url)
    kind, advice = next((kind, advice) for those, kind, advice in _STATUSES if status in those)
    error = _error(kind, status, _unknown(text), advice, base_url)
    if status == 429:
        # It may be a quota in words that nobody has seen yet: attempts are to be counted.
        error.is_outage = False
    return error


def _error(kind: type[LLMError], status: int, said: str, advice: str, base_url: str) -> LLMError:
    failure = next(words for of, words in _FAILURES if issubclass(kind, of))
    where = "in mid-reply" if status == LINE else f"(HTTP {status})"
    return kind(f"{named(base_url)} {failure} {where}{said}: {advice}")


def _not_found(text: str, model: str, base_url: str) -> LLMError:
    # A server that is no Ollama answers 404 too, without these words.
    if "not found" in text and not looks_like_openai(base_url):
        return ModelNotFoundError(
            f"model '{model}' is not installed at {base_url}: run `ollama pull {model}`"
        )
    if "not found" in text or "does not exist" in text:
        return ModelNotFoundError(
            f"{base_url} does not serve a model '{model}': start it there, or choose one that "
            "it has"
        )
    return InvalidReplyError(f"{base_url} has no /api/chat (HTTP 404): is it Ollama?")


def _overflow(text: str) -> ContextOverflowError:
    n_prompt_tokens, n_ctx = overflow_counts(text)
    counts = f" ({n_prompt_tokens} tokens, window {n_ctx})" if n_prompt_tokens and n_ctx else ""
    return ContextOverflowError(
        f"the prompt is longer than the model's window{counts}: shorten it or raise LLM_NUM_CTX",
        n_prompt_tokens=n_prompt_tokens,
        n_ctx=n_ctx,
    )


def _error_text(body: bytes) -> str:
    """The text of `{"error": …}`; "" of anything else."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(document, dict):
        return ""
    # vLLM before 0.10 has the error itself as the object.
    return opened(document if document.get("object") == "error" else document.get("error"))


def _unknown(text: str) -> str:
    return f", in {len(text)} characters that are not repeated here" if text else ""


def _seconds(retry_after: str | None) -> float | None:
    """The seconds of a Retry-After header; None without one, or if it names a date."""
    if retry_after is None or not retry_after.strip().isdecimal():
        return None
    return min(float(retry_after), MAX_RETRY_AFTER_S)
