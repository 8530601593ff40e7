"""Ollama's error answers, word for word (docs/ollama.md, Errors). Pure."""

from sandbox.ollama import gojson
from sandbox.ollama.errors import Refused

BUSY = "server busy, please try again.  maximum pending requests exceeded"
"""The full queue's text. The two spaces are Ollama's."""

CRASH_LINE = "an error was encountered while running the model: unexpected EOF"
"""The text of the error line when the runner dies in mid-stream."""

_LINES = {
    "bad-call": "llama-server returned invalid tool call arguments for look_up: unexpected end"
}

_GONE = (
    "model runner has unexpectedly stopped, this may be due to resource limitations "
    "or an internal error, check ollama server logs for details"
)
_OUT_OF_MEMORY = (
    "llama-server reported out-of-memory during startup: cudaMalloc failed: out of memory"
)
_INCOMPATIBLE = (
    "error loading model: unknown architecture: this model may be incompatible with your version "
    "of Ollama. If you previously pulled this model, try updating it"
)
_QUOTA = (
    "you (stand-in) have reached your weekly usage limit, upgrade for higher limits: "
    "https://ollama.com/upgrade"
)
_OVERLOADED = "Server overloaded, please retry shortly (ref: 00000000-0000-4000-8000-000000000000)"
_BAD_JSON = (
    "json: cannot unmarshal string into Go struct field ChatRequest.messages of type []api.Message"
)
_UNREACHABLE = "dial tcp 192.0.2.1:443: connect: connection refused"

_ROWS = {
    "bad-400": (400, _BAD_JSON),
    "disabled-403": (403, "ollama cloud is disabled: remote model is unavailable"),
    "quota-429": (429, _QUOTA),
    "gone-500": (500, _GONE),
    "load-500": (500, _OUT_OF_MEMORY),
    "exit-500": (500, "llama-server process has terminated: exit status 2: no such device"),
    "late-500": (500, "timed out waiting for llama-server to start - progress 0.42 - "),
    "gpu-500": (500, "unable to load full model on GPU"),
    "binary-500": (500, "error starting llama-server: llama-server binary not found"),
    "old-500": (500, _INCOMPATIBLE),
    "odd-500": (500, "unexpected server status: llm server not responding"),
    "slots-500": (500, "no slots available after 10 retries"),
    "option-500": (500, 'option "temperature" must be of type float32'),
    "unreachable-502": (502, _UNREACHABLE),
    "busy-503": (503, BUSY),
    "overloaded-503": (503, _OVERLOADED),
}
_LATE = {"gone-500"}


def refusal(key: str, model: str, prompt_tokens: int) -> Refused:
    """The answer of the refusing scenario `key` to a request for `model`."""
    if key == "missing":
        return not_found(model)
    if key == "overflow-400":
        return overflow(prompt_tokens, max(1, prompt_tokens // 2))
    if key == "unsigned-401":
        return Refused(401, "unauthorized", signin_url="https://ollama.com/connect?name=stand-in")
    status, text = _ROWS[key]
    return Refused(status, text, late=key in _LATE)


def line(scenario: str) -> str:
    """The text of the error line that ends a stream of `scenario`."""
    return _LINES.get(scenario, CRASH_LINE)


def not_found(model: str) -> Refused:
    """No such model is installed."""
    return Refused(404, f"model '{model}' not found")


def overflow(prompt_tokens: int, window_tokens: int) -> Refused:
    """The prompt is longer than the window: an error string that holds llama-server's JSON."""
    message = (
        f"request ({prompt_tokens} tokens) exceeds the available context size "
        f"({window_tokens} tokens), try increasing it"
    )
    nested = gojson.encode(
        {
            "error": {
                "code": 400,
                "message": message,
                "type": "exceed_context_size_error",
                "n_prompt_tokens": prompt_tokens,
                "n_ctx": window_tokens,
            }
        }
    )
    return Refused(400, nested, late=True)


def overflow_of_rendered() -> Refused:
    """The same for a model whose prompt Ollama renders itself: no counts."""
    text = (
        "the prompt is longer than the context length currently available to the model; "
        "increase the context length or shorten the prompt"
    )
    return Refused(400, text, late=True)


def no_tools(model: str) -> Refused:
    """Tools were sent to a model that has none."""
    name = model if ":" in model else f"{model}:latest"
    return Refused(400, f"registry.ollama.ai/library/{name} does not support tools")


def no_thinking(model: str) -> Refused:
    """Thinking was asked of a model that cannot."""
    return Refused(400, f'"{model}" does not support thinking')


def no_chat(model: str, verb: str) -> Refused:
    """An embedding model was asked to `chat` or to `generate`."""
    return Refused(400, f'"{model}" does not support {verb}')


def no_model(verb: str) -> Refused:
    """The request names no model: `chat` and `generate` answer differently."""
    return Refused(400, "model is required") if verb == "chat" else not_found("")
