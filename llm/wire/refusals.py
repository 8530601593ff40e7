"""What Ollama's refusals mean: its words, the error they stand for, and what to do. Pure.

Ollama has no error codes: its refusals differ by status and text alone, and a status may stand for
anything (an image that a model cannot see is 400 or 500; docs/ollama.md, Errors). So the words
decide first. Only words that a pattern here knows are repeated in a message of ours, for the rest
of a text may quote a prompt, a reply, or a schema.
"""

import re
from collections.abc import Container
from dataclasses import dataclass

import orjson

from llm.errors import (
    AccessDeniedError,
    InvalidRequestError,
    LLMError,
    OllamaBusyError,
    OllamaFailedError,
    QuotaExceededError,
    RequestRejectedError,
)


@dataclass(frozen=True, slots=True)
class Reason:
    """Words of Ollama, and what they mean. `statuses` are those that the words count for."""

    words: re.Pattern[str]
    kind: type[LLMError]
    advice: str
    statuses: Container[int] | None = None
    is_outage: bool | None = None
    """As in LLMError; None for what is so of all errors of the kind."""


def _reason(
    words: str,
    kind: type[LLMError],
    advice: str,
    *,
    statuses: Container[int] | None = None,
    is_outage: bool | None = None,
) -> Reason:
    return Reason(re.compile(words), kind, advice, statuses, is_outage)


LINE = 0
"""The status of an error line within a stream, which has none."""

# A request that comes back with the same words every time it is made is permanent, whatever its
# status. The first row that fits decides: llama-server wraps one failure into another.
_REASONS = (
    _reason(
        r"JSON schema conversion failed:(\s*Pattern must start with '\^' and end with '\$'"
        r"|\s*Unsupported ref|\s*Unrecognized schema)?"
        r"|invalid JSON schema in format|[Ff]ailed to parse grammar",
        InvalidRequestError,
        "llama.cpp cannot convert the JSON Schema in `format` to a grammar; patterns need ^ "
        "and $ around them, and a $ref must point into the schema itself",
    ),
    _reason(
        r"invalid format",
        InvalidRequestError,
        'the `format` is neither "json" nor a JSON Schema',
    ),
    _reason(
        r"option \"\w{1,40}\" must be (of type [\w\[\]]{1,20}|an array)",
        InvalidRequestError,
        "the option has the wrong type",
    ),
    _reason(
        r"[Ff]ailed to parse tools",
        InvalidRequestError,
        'a tool of the request is invalid: its type must be "function"',
    ),
    _reason(
        r"roles must alternate user/assistant|[Rr]oles must alternate"
        r"|System role (only allowed at the beginning|not supported)"
        r"|Cannot have 2 or more assistant messages at the end of the list",
        RequestRejectedError,
        "the model's chat template refuses the order of the roles",
    ),
    _reason(
        r"Unable to generate parser for this template|Jinja Exception"
        r"|template: \S{0,40} ?executing",
        RequestRejectedError,
        "the model's chat template does not take these messages: it may refuse the order of the "
        "roles, a system message, or tools",
    ),
    _reason(
        r"Failed to load image or audio file|decode WebP image|illegal base64 data at input byte"
        r" \d{1,9}",
        RequestRejectedError,
        "an image of the request cannot be read: it must be the base64 of a PNG or JPEG, without "
        "`data:` before it",
    ),
    _reason(
        r"json: cannot unmarshal (string|number|bool|array|object) into Go struct field"
        r" \w{1,40}(\.\w{1,40}){0,6}"
        r"|Value looks like object, but can't find closing '}' symbol|Unsupported type: '\w{1,10}'"
        r"|missing request body|invalid message role|missing unit in duration"
        r"|invalid think value|think must be a boolean or string|think value .* is not supported"
        r"|top_logprobs must be between 0 and 20|logprobs is not supported with tools"
        r"|invalid model name|model is required|use either :local or :cloud, not both",
        RequestRejectedError,
        "a field of the request has a form that Ollama does not accept",
    ),
    _reason(
        r"is no longer compatible with your version of Ollama"
        r"|this server cannot run this remote model",
        RequestRejectedError,
        "this Ollama cannot run the model: pull it again, or choose another",
    ),
    _reason(
        r"ollama cloud is disabled",
        AccessDeniedError,
        "cloud models are switched off on that host (OLLAMA_NO_CLOUD): choose a local model",
    ),
    _reason(
        r"reached your \w{0,20} ?usage limit|exceeded your current quota|insufficient_quota"
        r"|quota[ _]exceeded",
        QuotaExceededError,
        "the quota of the account behind it is used up",
        statuses=(402, 429),
    ),
    _reason(
        r"timed out waiting for a concurrent request slot|[Tt]oo many (concurrent )?requests"
        r"|[Rr]ate limit",
        OllamaBusyError,
        "the account behind it may make no more calls at once; send fewer at a time",
        statuses=(429, 503),
        is_outage=False,  # nothing is away, and the next call may have a slot
    ),
    # The proxy of cloud models passes Go's words on when it cannot reach them (cloud_proxy.go).
    _reason(
        r"(proxyconnect|dial) tcp|no such host|TLS handshake|failed to verify certificate",
        OllamaFailedError,
        "its host cannot reach ollama.com, which runs this cloud model: check DNS, firewall "
        "and HTTPS_PROXY, or choose a local model",
        statuses=(502,),
    ),
    _reason(
        r"server busy, please try again",
        OllamaBusyError,
        "its queue is full; send fewer at a time, or raise its OLLAMA_MAX_QUEUE or "
        "OLLAMA_NUM_PARALLEL",
    ),
    _reason(
        r"Server overloaded",
        OllamaBusyError,
        "the cloud that runs this model is overloaded; wait, or choose another model",
    ),
    # "killed" is left out: a long prompt may be what the kernel kills a runner for.
    _reason(
        r"(?i)reported out-of-memory during startup|requires more system memory"
        r"|unable to load full model on GPU"
        r"|(process has terminated: )(?s:.{0,9000})(out of memory|unable to allocate)",
        OllamaFailedError,
        "there is too little memory for the model; free some, or choose a smaller model or "
        "LLM_NUM_CTX",
        is_outage=True,
    ),
    _reason(
        r"timed out waiting for (llama-server|llama runner) to start|error starting llama-server"
        r"|this model may be incompatible with your version of Ollama|failed to load model",
        OllamaFailedError,
        "the model cannot be loaded; see its log",
    ),
    _reason(
        r"does not match the expected \S{0,40} ?format|returned invalid tool call arguments",
        OllamaFailedError,
        "the model wrote an unreadable tool call; LLM_MAX_TOKENS may have cut it off",
    ),
    _reason(
        r"model runner has unexpectedly stopped"
        r"|an error was encountered while running the model(: unexpected EOF)?"
        r"|(llama-server|llama runner) process has terminated(: (exit status -?\d{1,5}"
        r"|signal: \w{1,20}))?|(llama-server|llama runner) process no longer running",
        OllamaFailedError,
        "the model's runner died, perhaps out of memory; see its log",
    ),
    _reason(
        r"llama-server chat error|Compute error|unexpected server status|server not responding"
        r"|no slots available after \d{1,5} retries",
        OllamaFailedError,
        "the model's runner is broken, perhaps its GPU; see its log",
    ),
)

_ABILITIES = (
    (re.compile(r"image input is not supported|does not support multimodal requests"), "vision"),
    (re.compile(r"audio input is not supported"), "audio"),
    (re.compile(r"does not support (?P<ability>tools|thinking|chat|generate|embeddings)"), ""),
)
_OVERFLOW = re.compile(
    r"exceed_context_size_error|exceeds the (available )?context (size|length)"
    r"|exceeds the model's maximum context length|prompt is longer than the context length"
    # OpenAI, vLLM, SGLang, LM Studio, by their sources and reports.
    r"|context_length_exceeded|model's maximum context length is|longer than the model's context"
    r"|when context the overflows"
)


def reason_of(status: int, text: str) -> tuple[Reason, str] | None:
    """What a text of Ollama means, and the words that say so, to be repeated. `LINE` for a line."""
    for reason in _REASONS:
        if reason.statuses is not None and status != LINE and status not in reason.statuses:
            continue
        if found := reason.words.search(text):
            return reason, _repeated(found)
    return None


def missing_ability(text: str) -> str | None:
    """What the model cannot do, in Ollama's words, if the text says that: tools, vision, …"""
    for words, ability in _ABILITIES:
        if found := words.search(text):
            return ability or found.group("ability")
    return None


def is_overflow(text: str) -> bool:
    """Whether the text says that the prompt is longer than the window."""
    return _OVERFLOW.search(text) is not None


def overflow_counts(text: str) -> tuple[int | None, int | None]:
    """The tokens of the prompt and of the window, where the text has them."""
    # As fields of llama-server's JSON, which may be quoted once more, or in words.
    prompt = (
        r"n_prompt_tokens\\?\":\s*(\d{1,9})|(?:request|input|input length) \((\d{1,9}) tokens\)"
        r"|\((\d{1,9}) in the messages|request has (\d{1,9}) input tokens"
        r"|the first (\d{1,9}) tokens"
    )
    window = (
        r"n_ctx\\?\":\s*(\d{1,9})|context (?:size|length) \((\d{1,9}) tokens\)"
        r"|maximum context length is (\d{1,9})|context length of only (\d{1,9}) tokens"
    )
    return _number(prompt, text), _number(window, text)


def opened(error: object) -> str:
    """The text of an error, also where it is llama-server's JSON, as it is or as a string."""
    for _ in range(3):
        if isinstance(error, str) and error.lstrip().startswith("{"):
            try:
                error = orjson.loads(error)
            except orjson.JSONDecodeError:
                break
        if not isinstance(error, dict):
            break
        inner = error.get("error")
        if inner is None:
            # The counts of an overflow are fields beside the message.
            return f"{error.get('message')} {orjson.dumps(error).decode()}"
        error = inner
    return error if isinstance(error, str) else ""


def _repeated(found: re.Match[str]) -> str:
    # Words that stand far apart are repeated without what lies between them.
    far_apart = [part for part in found.groups() if part] if len(found.group()) > 120 else []
    return " ".join(" … ".join(far_apart or [found.group()]).split())


def _number(pattern: str, text: str) -> int | None:
    found = re.search(pattern, text)
    return int(next(filter(None, found.groups()))) if found else None
