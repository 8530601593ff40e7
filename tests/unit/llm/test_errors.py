"""From statuses, texts and exceptions to errors that say what the caller can do."""

import pickle

import aiohttp
import httpx
import orjson
import pytest

from llm import errors
from llm.http.blocking import lost_call
from llm.wire.error_map import lost_connection, refused
from llm.wire.timeouts import Timeouts

URL = "http://ollama:11434"
OVERFLOW = (
    '{"error":{"code":400,"message":"request (5000 tokens) exceeds the available context size '
    '(4096 tokens), try increasing it","type":"exceed_context_size_error",'
    '"n_prompt_tokens":5000,"n_ctx":4096}}'
)


def lost(exc: Exception, *, replying: bool, base_url: str, timeouts: Timeouts) -> errors.LLMError:
    """By the client whose exception it is."""
    ours = lost_call if isinstance(exc, httpx.HTTPError) else lost_connection
    return ours(exc, replying=replying, base_url=base_url, timeouts=timeouts)


def error_for(status: int, text: str) -> errors.LLMError:
    return refused(status, orjson.dumps({"error": text}), model="qwen", base_url=URL)


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "missing request body", errors.RequestRejectedError),
        (400, "library/x:latest does not support tools", errors.UnsupportedError),
        (400, '"x" does not support thinking', errors.UnsupportedError),
        (400, OVERFLOW, errors.ContextOverflowError),
        (400, "the prompt is longer than the context length currently available to the model; x",
         errors.ContextOverflowError),
        (400, "the input length exceeds the context length", errors.ContextOverflowError),
        (401, "unauthorized", errors.AccessDeniedError),
        (402, "payment required", errors.QuotaExceededError),
        (403, "ollama cloud is disabled: remote model is unavailable", errors.AccessDeniedError),
        (404, "model 'qwen' not found", errors.ModelNotFoundError),
        (413, "too large", errors.RequestRejectedError),
        (429, "you (x) have reached your weekly usage limit", errors.QuotaExceededError),
        (499, "request canceled", errors.OllamaFailedError),
        (500, "model runner has unexpectedly stopped, this", errors.OllamaFailedError),
        (500, "llama-server process has terminated: exit status 2: x", errors.OllamaFailedError),
        (500, 'option "temperature" must be of type float32', errors.InvalidRequestError),
        (500, "invalid format: x", errors.InvalidRequestError),
        (502, "dial tcp: x", errors.OllamaFailedError),
        (502, "", errors.OllamaBusyError),
        (503, "server busy, please try again.  maximum pending requests exceeded",
         errors.OllamaBusyError),
        (503, "Server overloaded, please retry shortly (ref: x)", errors.OllamaBusyError),
        (307, "", errors.InvalidReplyError),
        (204, "", errors.InvalidReplyError),
    ],
)  # fmt: skip
def test_each_refusal_of_ollama_has_its_error(
    status: int, text: str, kind: type[errors.LLMError]
) -> None:
    """By its text, and where that says nothing by its status, for Ollama has no codes."""
    assert type(error_for(status, text)) is kind


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"error":7}', b'{"error":null}', b"\xff"]
)
@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
def test_a_body_of_any_shape_is_an_error_of_ours(status: int, body: bytes) -> None:
    """A proxy's page, or nothing at all, as with 403."""
    error = refused(status, body, model="m", base_url=URL)
    assert isinstance(error, errors.RetryableLLMError | errors.PermanentLLMError)


def test_the_counts_of_a_context_overflow_are_read() -> None:
    """From the JSON inside the string."""
    error = error_for(400, OVERFLOW)
    assert isinstance(error, errors.ContextOverflowError)
    assert (error.n_prompt_tokens, error.n_ctx) == (5000, 4096)
    assert "5000 tokens, window 4096" in str(error)


def test_a_nested_error_object_is_read_like_its_string() -> None:
    """In case a later version nests it properly."""
    error = refused(400, OVERFLOW.encode(), model="m", base_url=URL)
    assert isinstance(error, errors.ContextOverflowError)
    assert error.n_ctx == 4096


def test_a_missing_model_comes_with_the_command_that_installs_it() -> None:
    """The message says what to do."""
    error = error_for(404, "model 'qwen' not found")
    assert "ollama pull qwen" in str(error)
    assert isinstance(error, errors.ModelNotFoundError)


def test_a_foreign_404_is_not_a_missing_model() -> None:
    """Something else listens at the address."""
    error = refused(404, b"404 page not found", model="m", base_url=URL)
    assert type(error) is errors.InvalidReplyError


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 499, 500, 502, 503])
def test_text_that_ollama_quotes_is_not_repeated(status: int) -> None:
    """Its messages may hold a prompt or a reply."""
    assert "CANARY" not in str(error_for(status, "not found does not support tools CANARY"))


def test_known_phrases_of_ollama_are_repeated() -> None:
    """So that an operator sees why a model does not load."""
    error = error_for(500, "llama-server process has terminated: exit status 137: CANARY")
    assert "exit status 137" in str(error)


LIMITS = Timeouts(connect_s=1, first_token_s=2, idle_s=3, total_s=4)


@pytest.mark.parametrize(
    ("exc", "replying", "kind"),
    [
        (httpx.ConnectError("x"), False, errors.OllamaUnreachableError),
        (httpx.ConnectTimeout("x"), False, errors.OllamaUnreachableError),
        (httpx.WriteTimeout("x"), False, errors.OllamaUnreachableError),
        (httpx.RemoteProtocolError("x"), False, errors.OllamaUnreachableError),
        (ConnectionResetError(), False, errors.OllamaUnreachableError),
        (httpx.PoolTimeout("x"), False, errors.OllamaBusyError),
        (httpx.ReadTimeout("x"), False, errors.FirstTokenTimeoutError),
        (httpx.ReadTimeout("x"), True, errors.IdleTimeoutError),
        (httpx.ReadError("x"), True, errors.StreamCutError),
        (httpx.RemoteProtocolError("x"), True, errors.StreamCutError),
        (httpx.ConnectTimeout("x"), True, errors.StreamCutError),
        (aiohttp.ServerDisconnectedError(), True, errors.StreamCutError),
        (aiohttp.ConnectionTimeoutError(), False, errors.OllamaUnreachableError),
        (aiohttp.ClientPayloadError(), True, errors.StreamCutError),
        (httpx.DecodingError("x"), False, errors.InvalidReplyError),
    ],
)
def test_each_failure_of_the_transport_has_its_error(
    exc: Exception, replying: bool, kind: type[errors.LLMError]
) -> None:
    """What it means depends on whether the reply had begun."""
    error = lost(exc, replying=replying, base_url=URL, timeouts=LIMITS)
    assert type(error) is kind


def test_a_refused_connection_is_an_error_of_its_own() -> None:
    """Nothing listens there: httpx and aiohttp say so, each in its own way."""
    refusal = aiohttp.ClientConnectorError(None, OSError(111, "refused"))  # type: ignore[arg-type]  # no key needed
    for exc in (httpx.ConnectError("x"), refusal):
        error = lost(exc, replying=False, base_url=URL, timeouts=LIMITS)
        assert "does not answer: is it running" in str(error)


def test_a_lost_connection_is_another_error_than_one_never_made() -> None:
    """The one brings the question whether the server is away, the other answers it."""
    cut, never = aiohttp.ServerDisconnectedError(), aiohttp.ConnectionTimeoutError()
    texts = [str(lost(exc, replying=False, base_url=URL, timeouts=LIMITS)) for exc in (cut, never)]
    assert "closed the connection" in texts[0]
    assert "within 1 s" in texts[1]


def leaves(kind: type[errors.LLMError]) -> list[type[errors.LLMError]]:
    below = kind.__subclasses__()
    return [kind, *(leaf for child in below for leaf in leaves(child))]


@pytest.mark.parametrize("kind", leaves(errors.LLMError))
def test_every_error_survives_pickling_and_is_made_from_its_message(
    kind: type[errors.LLMError],
) -> None:
    """Results cross processes."""
    error = pickle.loads(pickle.dumps(kind("what to do")))  # noqa: S301  # our own bytes
    assert (type(error), str(error)) == (kind, "what to do")


@pytest.mark.parametrize(
    ("status", "text", "is_outage"),
    [
        (503, "server busy, please try again.  maximum pending requests exceeded", True),
        (504, "", True),
        (500, "llama-server reported out-of-memory during startup: cudaMalloc failed", True),
        (500, "llama-server process has terminated: signal: killed", False),
        (500, "llama-server process has terminated: exit status 1: a\nout of memory", True),
        (500, "llama runner process has terminated: cudaMalloc failed: out of memory", True),
        (500, "model requires more system memory (9.1 GiB) than is available (2 GiB)", True),
        (500, "llama-server process has terminated: exit status 2: unknown model", False),
        (500, "model runner has unexpectedly stopped, this may be due to", False),
        (404, "model 'x' not found", False),
        (401, "unauthorized", False),
        (400, "missing request body", False),
    ],
)
def test_what_no_request_can_have_caused_is_an_outage(
    status: int, text: str, is_outage: bool
) -> None:
    """Too busy, or without memory for the model. A runner that dies may have died of the job."""
    assert error_for(status, text).is_outage is is_outage


def test_a_server_that_is_not_there_is_an_outage_and_a_cut_reply_alone_is_none() -> None:
    """What has begun may have ended by the request's own fault: its server's health decides."""
    gone, cut = (
        lost(httpx.ConnectError("x"), replying=replying, base_url=URL, timeouts=LIMITS)
        for replying in (False, True)
    )
    assert (gone.is_outage, cut.is_outage) == (True, False)


def test_a_mark_of_the_circumstances_survives_pickling() -> None:
    """It is set on the error, not on its class."""
    error = errors.StreamCutError("x")
    error.is_outage = True
    assert pickle.loads(pickle.dumps(error)).is_outage  # noqa: S301  # our own bytes
    assert not errors.StreamCutError("x").is_outage


def test_attributes_survive_pickling_too() -> None:
    """A retry that shortens the prompt needs the counts."""
    error = errors.ContextOverflowError("x", n_prompt_tokens=9, n_ctx=8)
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert (copied.n_prompt_tokens, copied.n_ctx) == (9, 8)


def test_every_error_is_either_retryable_or_permanent() -> None:
    """The retry table of the layers above is built on these two."""
    for kind in set(leaves(errors.LLMError)) - {errors.LLMError}:
        retryable = issubclass(kind, errors.RetryableLLMError)
        assert retryable != issubclass(kind, errors.PermanentLLMError)
