"""Ollama's error answers, word for word (docs/ollama.md, Errors). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from sandbox.ollama import gojson
from sandbox.ollama.errors import Refused
from sandbox.ollama.request.names import parse

CRASH_LINE = "an error was encountered while running the model: unexpected EOF"
"""The text of the error line when the runner dies in mid-stream."""


class Stage(Enum):
    """How far a request comes before it is refused; each passes what stands before it."""

    BODY = auto()
    """It is what a chat says that is refused: a request that only loads the model passes."""
    MODEL = auto()
    """The model is looked up, here or in the cloud."""
    QUEUE = auto()
    LOAD = auto()
    RUN = auto()
    """The model is loaded and has a free slot; a request that only loads it has its answer."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer of a scenario that refuses."""

    status: int
    text: str
    stage: Stage

    def refused(self) -> Refused:
        """To be raised."""
        signin = "https://ollama.com/connect?name=stand-in" if self.status == 401 else None
        late = self.stage is Stage.RUN
        return Refused(self.status, self.text, late=late, signin_url=signin)


_NO_PARSER = "Unable to generate parser for this template. Automatic parser generation failed: "


def _nested(code: int, message: str, kind: str, **more: int) -> str:
    """llama-server's own error, which Ollama hands on as the text of its own."""
    return gojson.encode({"error": {"code": code, "message": message, "type": kind, **more}})


_BUSY = "server busy, please try again.  maximum pending requests exceeded"  # two spaces
_GONE = (
    "model runner has unexpectedly stopped, this may be due to resource limitations "
    "or an internal error, check ollama server logs for details"
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
_OUT_OF_MEMORY = (
    "llama-server reported out-of-memory during startup: cudaMalloc failed: out of memory"
)
_NO_BINARY = (
    "error starting llama-server: llama-server binary not found (checked: /usr/lib/ollama). "
    "Run 'cmake -B build && cmake --build build' first "
)
_NO_MEMORY = "model requires more system memory (9.1 GiB) than is available (5.6 GiB)"
_OVER_MLX = "input length (9000 tokens) exceeds the model's maximum context length (8192 tokens)"
_COMPUTE = "llama-server chat error: map[code:500 message:Compute error. type:server_error]"

REFUSALS: Mapping[str, Refusal] = {
    name: Refusal(int(name[-3:]), text, stage)
    for name, text, stage in (
        ("bad-400", _BAD_JSON, Stage.BODY),
        ("option-500", 'option "temperature" must be of type float32', Stage.BODY),
        ("unsigned-401", "unauthorized", Stage.MODEL),
        ("disabled-403", "ollama cloud is disabled: remote model is unavailable", Stage.MODEL),
        ("quota-429", _QUOTA, Stage.MODEL),
        ("unreachable-502", "dial tcp 192.0.2.1:443: connect: connection refused", Stage.MODEL),
        ("overloaded-503", _OVERLOADED, Stage.MODEL),
        ("busy-503", _BUSY, Stage.QUEUE),
        ("load-500", _OUT_OF_MEMORY, Stage.LOAD),
        (
            "exit-500",
            "llama-server process has terminated: exit status 2: no such device",
            Stage.LOAD,
        ),
        ("ended-500", "llama-server process no longer running: exit status 1 ", Stage.LOAD),
        ("late-500", "timed out waiting for llama-server to start - ", Stage.LOAD),
        ("binary-500", _NO_BINARY, Stage.LOAD),
        ("gpu-500", "unable to load full model on GPU", Stage.LOAD),
        ("old-500", _INCOMPATIBLE, Stage.LOAD),
        ("memory-500", _NO_MEMORY, Stage.LOAD),
        ("runner-500", "llama runner process has terminated: exit status 2", Stage.LOAD),
        ("gone-500", _GONE, Stage.RUN),
        ("odd-500", "unexpected server status: llm server loading model", Stage.RUN),
        ("silent-500", "server not responding", Stage.RUN),
        ("compute-500", _COMPUTE, Stage.RUN),
        ("slots-500", "no slots available after 10 retries", Stage.RUN),
        ("mlx-overflow-500", _OVER_MLX, Stage.RUN),
    )
}
"""What the scenarios of these names answer."""


def busy() -> Refused:
    """The scheduler's queue is full."""
    return REFUSALS["busy-503"].refused()


def gone() -> Refused:
    """The runner died before it had said anything."""
    return REFUSALS["gone-500"].refused()


def bad_call(tool: str) -> Refused:
    """The model wrote arguments that no parser takes."""
    name = gojson.encode(tool)
    text = f"llama-server returned invalid tool call arguments for {name}: "
    return Refused(500, text + "unexpected end of JSON input", late=True)


def not_found(model: str) -> Refused:
    """No such model is installed."""
    return Refused(404, f"model '{model}' not found")


def overflow(prompt_tokens: int, window_tokens: int) -> Refused:
    """The prompt is longer than the window: an error string that holds llama-server's JSON."""
    message = (
        f"request ({prompt_tokens} tokens) exceeds the available context size "
        f"({window_tokens} tokens), try increasing it"
    )
    counts = {"n_prompt_tokens": prompt_tokens, "n_ctx": window_tokens}
    return Refused(400, _nested(400, message, "exceed_context_size_error", **counts), late=True)


def overflow_of_rendered() -> Refused:
    """The same where the prompt may be cut but the reply may not shift the window: no counts."""
    text = (
        "the prompt is longer than the context length currently available to the model; "
        "shorten the prompt, adjust the context length in settings, or use a model with a longer "
        "context length"
    )
    return Refused(400, text, late=True)


def overflow_of_old() -> Refused:
    """The same in the words of 0.13."""
    return Refused(400, "the input length exceeds the context length", late=True)


def bad_template(exception: str, *, is_specialised: bool, late: bool) -> Refused:
    """The model's own template raises at the order of roles; 500 where llama.cpp has a parser made
    for that template."""
    raised = f"\n------------\nWhile executing CallExpression:\nError: Jinja Exception: {exception}"
    if is_specialised:
        return Refused(500, _nested(500, raised, "server_error"), late=late)
    return Refused(400, _nested(400, _NO_PARSER + raised, "invalid_request_error"), late=late)


def two_answers(*, late: bool) -> Refused:
    """The last two messages are the assistant's, on the native path."""
    message = "Cannot have 2 or more assistant messages at the end of the list."
    return Refused(400, _nested(400, message, "invalid_request_error"), late=late)


def bad_format(quoted: str) -> Refused:
    """`format` is neither "json" nor a schema; `quoted` is its JSON as Go quotes a text."""
    text = f'invalid format: {quoted}; expected "json" or a valid JSON Schema object'
    return Refused(500, text, late=True)


def bad_schema(complaint: str, *, is_native: bool) -> Refused:
    """llama.cpp cannot turn the schema into a grammar."""
    before = _NO_PARSER if is_native else "Field 'json_schema': \"json_schema\": "
    return Refused(400, _nested(400, before + complaint, "invalid_request_error"), late=True)


def no_vision(*, is_native: bool) -> Refused:
    """An image was sent to a model that cannot see."""
    if is_native:
        hint = "hint: if this is unexpected, you may need to provide the mmproj"
        message = f"image input is not supported - {hint}"
        return Refused(500, _nested(500, message, "server_error"), late=True)
    message = "Multimodal data provided, but model does not support multimodal requests."
    return Refused(400, _nested(400, message, "invalid_request_error"), late=True)


def bad_image() -> Refused:
    """The bytes are no picture."""
    return Refused(
        400, _nested(400, "Failed to load image or audio file", "invalid_request_error"), late=True
    )


def bad_tool_kind(kind: str) -> Refused:
    """A tool that is no function, on the native path."""
    message = f"Failed to parse tools: Unsupported tool type: {kind}"
    return Refused(500, _nested(500, message, "server_error"), late=True)


def no_logprobs() -> Refused:
    """logprobs, tools and stream at once, on the native path."""
    message = "logprobs is not supported with tools + stream"
    return Refused(400, _nested(400, message, "invalid_request_error"), late=True)


def no_tools(model: str) -> Refused:
    """Tools were sent to a model that has none."""
    return Refused(400, f"{parse(model).full} does not support tools")


def no_thinking(model: str) -> Refused:
    """Thinking was asked of a model that cannot."""
    return Refused(400, f'"{model}" does not support thinking')


def no_chat(model: str, verb: str) -> Refused:
    """An embedding model was asked to `chat` or to `generate`."""
    return Refused(400, f'"{model}" does not support {verb}')


def no_model(verb: str) -> Refused:
    """The request names no model: `chat` and `generate` answer differently."""
    return Refused(400, "model is required") if verb == "chat" else not_found("")
