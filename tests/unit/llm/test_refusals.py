"""What each refusal of Ollama becomes: its class, permanent or not, and the cause it names."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from llm import errors
from llm.wire.error_map import error_line, refused

URL = "http://ollama:11434"
LONGEST = 400
"""What a message may have at most, in characters: it goes into logs, events and dead letters."""

# Not seen, but read in its source (v0.32.15, and v0.13.5 where it says "runner").
READ = [
    (400, "registry.ollama.ai/library/x:1b does not support tools", errors.UnsupportedError,
     "tools"),
    (400, '{"error":{"code":400,"message":"Failed to load image or audio file","type":"x"}}',
     errors.RequestRejectedError, "an image of the request"),
    (500, "decode WebP image: riff: CANARY", errors.RequestRejectedError, "an image"),
    (500, '{"error":{"code":500,"message":"Jinja Exception: After the optional system message, '
     'conversation roles must alternate user and assistant roles","type":"server_error"}}',
     errors.RequestRejectedError, "chat template"),
    (500, 'template: :3:12: executing "" at <.Messages>: CANARY', errors.RequestRejectedError,
     "chat template"),
    (500, "Failed to parse tools: Unsupported tool type: CANARY", errors.InvalidRequestError,
     "a tool of the request"),
    (500, "invalid JSON schema in format", errors.InvalidRequestError, "JSON Schema"),
    (500, "'llama3.2-vision' is no longer compatible with your version of Ollama and has been",
     errors.RequestRejectedError, "cannot run the model"),
    (400, "this server cannot run this remote model", errors.RequestRejectedError,
     "cannot run the model"),
    (500, "input length (5000 tokens) exceeds the model's maximum context length (4096 tokens)",
     errors.ContextOverflowError, "5000 tokens, window 4096"),
    (400, "the input length exceeds the context length", errors.ContextOverflowError, "longer"),
    (500, "llama-server reported out-of-memory during startup: cudaMalloc failed: CANARY",
     errors.OllamaFailedError, "too little memory"),
    (500, "llama-server process has terminated: exit status 1: x\nout of memory",
     errors.OllamaFailedError, "too little memory"),
    (500, "model requires more system memory (9.1 GiB) than is available (2.0 GiB)",
     errors.OllamaFailedError, "too little memory"),
    (500, "unable to load full model on GPU", errors.OllamaFailedError, "too little memory"),
    (500, "timed out waiting for llama runner to start - progress 0.42 - CANARY",
     errors.OllamaFailedError, "cannot be loaded"),
    (500, "error starting llama-server: llama-server binary not found (checked: CANARY)",
     errors.OllamaFailedError, "cannot be loaded"),
    (500, "llama runner process has terminated: exit status 2", errors.OllamaFailedError,
     "runner died"),
    (500, "llama-server process no longer running: exit status 2 CANARY",
     errors.OllamaFailedError, "runner died"),
    (500, "model runner has unexpectedly stopped, this may be due to resource limitations",
     errors.OllamaFailedError, "runner died"),
    (500, "llama-server chat error: map[code:500 message:Compute error. type:server_error]",
     errors.OllamaFailedError, "is broken"),
    (500, "llama-server chat error: map[code:500 message:The model produced output that does not "
     "match the expected peg-native format CANARY type:server_error]", errors.OllamaFailedError,
     "unreadable tool call"),
    (500, 'llama-server returned invalid tool call arguments for "CANARY": unexpected end',
     errors.OllamaFailedError, "unreadable tool call"),
    (500, "server not responding", errors.OllamaFailedError, "is broken"),
    (503, "server busy, please try again.  maximum pending requests exceeded",
     errors.OllamaBusyError, "queue is full"),
    (503, "Server overloaded, please retry shortly (ref: CANARY)", errors.OllamaBusyError,
     "cloud that runs this model"),
    (429, "timed out waiting for a concurrent request slot", errors.OllamaBusyError,
     "no more calls at once"),
    (429, "you (CANARY) have reached your session usage limit, please wait or upgrade",
     errors.QuotaExceededError, "quota"),
    (402, "CANARY", errors.QuotaExceededError, "must pay"),
    (429, "CANARY", errors.OllamaBusyError, "fewer at a time"),
    (401, "unauthorized", errors.AccessDeniedError, "ollama signin"),
    (403, "", errors.AccessDeniedError, "OLLAMA_BASE_URL"),
    (502, "CANARY", errors.OllamaBusyError, "see its log"),
    (502, 'Post "https://ollama.com:443/api/chat": dial tcp: lookup ollama.com: no such host',
     errors.OllamaFailedError, "cannot reach ollama.com"),
    (418, "CANARY", errors.RequestRejectedError, "6 characters that are not repeated here"),
    (500, "CANARY", errors.OllamaFailedError, "6 characters that are not repeated here"),
]  # fmt: skip


def seen() -> Iterator[tuple[int, bytes, type[errors.LLMError], str]]:
    for line in (Path(__file__).parent / "refusals_seen.txt").read_text().splitlines():
        if not line.startswith("#"):
            expected, _, body = line.partition(" | ")
            status, kind, cause = expected.split(" ", 2)
            yield int(status), body.encode(), getattr(errors, kind), cause


CASES = [
    *seen(),
    *((status, orjson.dumps({"error": text}), kind, cause) for status, text, kind, cause in READ),
]


def ids(value: object) -> str | None:
    return value.decode()[:60] if isinstance(value, bytes) else None


@pytest.mark.parametrize(("status", "body", "kind", "cause"), CASES, ids=ids)
def test_each_refusal_has_its_class_and_names_its_cause(
    status: int, body: bytes, kind: type[errors.LLMError], cause: str
) -> None:
    """The class says whether the same request may succeed later, the message what to do."""
    error = refused(status, body, model="qwen", base_url=URL)
    assert (type(error), cause in str(error)) == (kind, True), str(error)


@pytest.mark.parametrize(("status", "body", "kind", "cause"), CASES, ids=ids)
def test_no_message_repeats_what_a_user_or_a_schema_said(
    status: int, body: bytes, kind: type[errors.LLMError], cause: str
) -> None:
    """Ollama quotes values, schemas and names; and a message has a bound."""
    said = str(refused(status, body, model="qwen", base_url=URL))
    assert not [word for word in ("CANARY", "SECRET", "frob", "http://x") if word in said]
    assert len(said) <= LONGEST


@pytest.mark.parametrize(("status", "body", "kind", "cause"), CASES, ids=ids)
def test_an_error_line_means_what_its_words_mean(
    status: int, body: bytes, kind: type[errors.LLMError], cause: str
) -> None:
    """In mid-stream there is no status: known words keep their class, others may pass."""
    error = error_line(orjson.loads(body)["error"], model="qwen", base_url=URL)
    assert type(error) in (kind, errors.OllamaFailedError)


def test_what_nested_json_says_is_read_at_any_depth() -> None:
    """Ollama passes llama-server's body on as a string, gateways wrap it once more."""
    error: object = {"code": 500, "message": "image input is not supported", "type": "x"}
    for _ in range(2):
        body = orjson.dumps({"error": error})
        assert type(refused(500, body, model="m", base_url=URL)) is errors.UnsupportedError
        error = body.decode()


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [(429, "7", 7.0), (503, " 30 ", 30.0), (503, "999999", 3600.0), (503, "soon", None),
     (503, "Wed, 21 Oct 2026 07:28:00 GMT", None), (503, None, None)],
)  # fmt: skip
def test_how_long_a_server_asks_us_to_wait_is_read(
    status: int, header: str | None, seconds: float | None
) -> None:
    """Seconds, with a bound; a date names a clock that is not ours."""
    error = refused(status, b"", model="m", base_url=URL, retry_after=header)
    assert error.retry_after_s == seconds


def test_what_only_looks_like_an_outage_is_none() -> None:
    """A cloud without a way out, a login, a missing model, a quota: time alone mends none."""
    for status, text in (
        (502, "dial tcp: lookup ollama.com: no such host"),
        (401, "unauthorized"),
        (404, "model 'x' not found"),
        (429, "you (x) have reached your weekly usage limit"),
        (429, "timed out waiting for a concurrent request slot"),
        (429, "words that nobody has seen yet"),
    ):
        error = refused(status, orjson.dumps({"error": text}), model="x", base_url=URL)
        assert not error.is_outage, text
