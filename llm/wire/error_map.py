"""Where foreign errors become our own: HTTP statuses, error lines, httpx and aiohttp exceptions.

Ollama has no error codes: its refusals differ by status and text only (server/routes.go,
sched.go and llm/llama_server.go as of v0.33). Of its text only phrases known here are repeated in
our messages, for the rest of it may quote a prompt or a reply.
"""

import re

import aiohttp
import httpx
import orjson

from llm.errors import (
    AccessDeniedError,
    ContextOverflowError,
    FirstTokenTimeoutError,
    IdleTimeoutError,
    InvalidReplyError,
    InvalidRequestError,
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
from llm.wire.timeouts import Timeouts

MAX_ERROR_BODY_BYTES = 64 * 1024
"""As much of an error's body as is read; Ollama's longest are under 1 KiB."""

TRANSPORT_ERRORS = (httpx.HTTPError, httpx.StreamError, aiohttp.ClientError, OSError)
"""What an HTTP call can raise; `lost_connection` turns each into an LLMError.

The transport httpx-aiohttp 0.2 passes some of aiohttp's errors on as they are.
"""

# Only what a message repeats (docs/ollama.md, Errors); the patterns below tell errors apart.
_KNOWN_PHRASES = re.compile(
    r"server busy, please try again"
    r"|Server overloaded"
    r"|llama-server process has terminated(: exit status -?\d+)?"
    r"|timed out waiting for llama-server to start"
    r"|llama-server reported out-of-memory during startup"
    r"|unable to load full model on GPU"
    r"|error starting llama-server"
    r"|this model may be incompatible with your version of Ollama"
    r"|unexpected server status"
    r"|no slots available after \d+ retries"
    r"|model runner has unexpectedly stopped"
    r"|an error was encountered while running the model"
    r"|llama-server returned invalid tool call arguments"
    r"|does not support (tools|thinking|chat|generate)"
    r"|invalid model name|model is required|missing request body"
    r"|invalid think value|missing unit in duration|invalid message role"
    r"|option \"\w{1,40}\" must be of type [\w\[\]]{1,20}"
    r"|invalid format|ollama cloud is disabled|unauthorized"
)
_OVERFLOW = re.compile(
    r"exceed_context_size_error|exceeds the (available )?context (size|length)"
    r"|prompt is longer than the context length"
)
_UNSUPPORTED = re.compile(r"does not support (tools|thinking|chat|generate)")
# A load that fails for want of memory; "killed" is what the kernel does to a runner then. A runner
# that dies later may have died of its request.
_NO_MEMORY = re.compile(
    r"reported out-of-memory during startup|requires more system memory"
    r"|unable to load full model on GPU"
    r"|runner process has terminated: .*(out of memory|unable to allocate)"
    r"|server process has terminated: (signal: killed|.*(out of memory|unable to allocate))",
    re.IGNORECASE | re.DOTALL,
)
_OWN_FAULT = re.compile(r"option \"\w+\" must be|invalid format")


def refused(status: int, body: bytes, *, model: str, base_url: str) -> LLMError:
    """The error that a reply with a status other than 200 means. Pure."""
    text = _error_text(body)
    if status >= 500:
        return _server_error(status, text, base_url)
    if status == 404:
        return _not_found(text, model, base_url)
    if 400 <= status < 500:
        return _client_error(status, text, model, base_url)
    return InvalidReplyError(
        f"{base_url} answers HTTP {status} where 200 is due (redirects are not followed): "
        "is it Ollama that listens there?"
    )


def error_line(error: object, *, base_url: str) -> LLMError:
    """The error that a line `{"error": ...}` within a stream of status 200 means. Pure."""
    # The stream has begun, so there is no status (docs/ollama.md, Errors): what its text does not
    # show to be an overflow may pass, and is tried again.
    text = error if isinstance(error, str) else ""
    if _OVERFLOW.search(text):
        return _overflow(text)
    return OllamaFailedError(f"Ollama at {base_url} failed in mid-reply{_said(text)}")


def lost_connection(
    exc: Exception, *, replying: bool, base_url: str, timeouts: Timeouts
) -> LLMError:
    """The error that an exception of the transport means; raise it `from exc`. Pure.

    `replying` says whether the head of the reply had been read.
    """
    if isinstance(exc, httpx.PoolTimeout):
        return OllamaBusyError(f"all our connections to Ollama at {base_url} are in use")
    if isinstance(exc, httpx.DecodingError | aiohttp.ClientResponseError):
        return InvalidReplyError(f"what listens at {base_url} does not speak HTTP as Ollama does")
    if isinstance(exc, httpx.ReadTimeout):
        return idle_timeout(timeouts) if replying else first_token_timeout(timeouts)
    if replying:
        return StreamCutError(
            f"the reply of Ollama at {base_url} was cut: it was stopped, or the network failed"
        )
    return _no_connection(exc, base_url, timeouts)


def first_token_timeout(timeouts: Timeouts) -> FirstTokenTimeoutError:
    """What to raise when not one byte came in time."""
    return FirstTokenTimeoutError(
        f"Ollama sent nothing for {timeouts.first_token_s:g} s: is it overloaded or loading a large"
        " model? LLM_FIRST_TOKEN_TIMEOUT covers queue, load and prompt evaluation"
    )


def idle_timeout(timeouts: Timeouts) -> IdleTimeoutError:
    """What to raise when a stream has fallen silent."""
    return IdleTimeoutError(
        f"Ollama fell silent in mid-reply for {timeouts.idle_s:g} s (LLM_TIMEOUT)"
    )


def total_timeout(timeouts: Timeouts) -> TotalTimeoutError:
    """What to raise when the whole reply took too long."""
    return TotalTimeoutError(
        f"the whole reply took over {timeouts.total_s:g} s (LLM_TOTAL_TIMEOUT)"
    )


def cannot(model: str, ability: str) -> UnsupportedError:
    """What to raise when a model lacks an ability (tools, thinking, vision, chat)."""
    return UnsupportedError(
        f"model '{model}' does not support {ability}: choose one that does "
        f"(`ollama show {model}` lists what it can do), or ask without"
    )


def _no_connection(exc: Exception, base_url: str, timeouts: Timeouts) -> LLMError:
    # httpx-aiohttp 0.2 reports most failures as httpx.ConnectTimeout: look underneath.
    cause = exc.__cause__ if isinstance(exc.__cause__, aiohttp.ClientError) else exc
    if isinstance(cause, httpx.ConnectTimeout | aiohttp.ServerTimeoutError):
        return OllamaUnreachableError(
            f"Ollama at {base_url} does not accept a connection within "
            f"{timeouts.connect_s:g} s: is it running, and is OLLAMA_BASE_URL right?"
        )
    if isinstance(cause, httpx.ConnectError | aiohttp.ClientConnectorError):
        return OllamaUnreachableError(
            f"Ollama at {base_url} does not answer: is it running (`ollama serve`), "
            "and is OLLAMA_BASE_URL right?"
        )
    closed = OllamaUnreachableError(
        f"Ollama at {base_url} closed the connection without an answer: was it stopped?"
    )
    # A request may have brought the server down: a look at its health tells whether it is away.
    closed.is_outage = False
    return closed


def _server_error(status: int, text: str, base_url: str) -> LLMError:
    # Ollama answers 500 for what is our own fault too: tried again, it would fail again.
    if _OWN_FAULT.search(text):
        return InvalidRequestError(f"Ollama refuses an option of the request{_said(text)}")
    if status in (502, 503, 504):
        return OllamaBusyError(
            f"Ollama at {base_url} cannot take the request now (HTTP {status}){_said(text)}: "
            "send fewer at a time, or raise its OLLAMA_MAX_QUEUE or OLLAMA_NUM_PARALLEL"
        )
    error = OllamaFailedError(
        f"Ollama at {base_url} failed (HTTP {status}){_said(text)}: see its log"
    )
    error.is_outage = _NO_MEMORY.search(text) is not None
    return error


def _not_found(text: str, model: str, base_url: str) -> LLMError:
    # A server that is no Ollama answers 404 too, without these words.
    if "not found" in text:
        return ModelNotFoundError(
            f"model '{model}' is not installed at {base_url}: run `ollama pull {model}`"
        )
    return InvalidReplyError(f"{base_url} has no /api/chat (HTTP 404): is it Ollama?")


def _client_error(status: int, text: str, model: str, base_url: str) -> LLMError:
    # First: an overflow is a 400 as other refusals are, and only its text differs.
    if _OVERFLOW.search(text):
        return _overflow(text)
    if status == 401:
        return AccessDeniedError(
            f"Ollama at {base_url} is not signed in for this model (HTTP 401): run `ollama signin`"
        )
    if status == 403:
        return AccessDeniedError(
            f"Ollama at {base_url} refuses us (HTTP 403){_said(text)}: if it listens on loopback, "
            "OLLAMA_BASE_URL must name a local host"
        )
    if status in (402, 429):
        return QuotaExceededError(
            f"the quota of the account behind Ollama at {base_url} is used up (HTTP {status})"
        )
    # A request that was given up on the way is not wrong in itself.
    if status in (408, 499):
        return OllamaFailedError(f"Ollama at {base_url} dropped the request (HTTP {status})")
    return _rejected(status, text, model, base_url)


def _rejected(status: int, text: str, model: str, base_url: str) -> LLMError:
    if status == 400 and (unsupported := _UNSUPPORTED.search(text)):
        return cannot(model, unsupported.group(1))
    return RequestRejectedError(
        f"Ollama at {base_url} refuses the request (HTTP {status}){_said(text)}"
    )


def _overflow(text: str) -> ContextOverflowError:
    # llama-server names the counts as fields of its JSON, and in words in its message.
    n_prompt_tokens, n_ctx = (
        _number(pattern, text)
        for pattern in (
            r"\"n_prompt_tokens\":\s*(\d{1,9})|request \((\d{1,9}) tokens\)",
            r"\"n_ctx\":\s*(\d{1,9})|context size \((\d{1,9}) tokens\)",
        )
    )
    counts = f" ({n_prompt_tokens} tokens, window {n_ctx})" if n_prompt_tokens and n_ctx else ""
    return ContextOverflowError(
        f"the prompt is longer than the model's window{counts}: shorten it or raise LLM_NUM_CTX",
        n_prompt_tokens=n_prompt_tokens,
        n_ctx=n_ctx,
    )


def _number(pattern: str, text: str) -> int | None:
    found = re.search(pattern, text)
    return int(next(filter(None, found.groups()))) if found else None


def _error_text(body: bytes) -> str:
    """The text of `{"error": "text"}` or of a nested `{"error": {...}}`; "" of anything else."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict):
        return orjson.dumps(error).decode()
    return error if isinstance(error, str) else ""


def _said(text: str) -> str:
    phrase = _KNOWN_PHRASES.search(text)
    return f', saying "{phrase.group()}"' if phrase else ""
