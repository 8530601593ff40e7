"""A chat request as the body of `POST /v1/chat/completions`. No I/O.

Requests and messages are made in Ollama's form everywhere else, and are written anew here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from llm.errors import InvalidRequestError
from llm.wire.grammar import grammar_format
from llm.wire.requests import ChatRequest, Message

_OPTIONS = {
    "num_predict": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    # Not OpenAI's own: vLLM, SGLang and llama.cpp read them, others ignore them.
    "top_k": "top_k",
    "min_p": "min_p",
}
"""Ollama's names of options, and OpenAI's. The others concern the loading of a model, which is not
the client's to decide here."""

# The first bytes of the formats that the models read, in base64.
_IMAGE_TYPES = {"iVBOR": "png", "/9j/": "jpeg", "R0lGOD": "gif", "UklGR": "webp"}


def chat_body(request: ChatRequest) -> bytes:
    """The JSON body, always a stream with its counts. Raises InvalidRequestError."""
    options = {**request.options}
    if request.temperature is not None:
        options["temperature"] = request.temperature
    if request.max_tokens is not None:
        options["num_predict"] = request.max_tokens
    body: dict[str, object] = {
        "model": request.model,
        "messages": list(_messages(request.messages)),
        "stream": True,
        "stream_options": {"include_usage": True},
        **{_OPTIONS[name]: value for name, value in options.items() if name in _OPTIONS},
        **_thinking(request.think),
    }
    if request.format is not None:
        body["response_format"] = _format(request.format)
    if request.tools:
        body["tools"] = list(request.tools)
    try:
        return orjson.dumps(body, default=_plain)
    except TypeError:
        raise InvalidRequestError(
            "the request cannot be written as JSON: text must be valid Unicode "
            "(no lone surrogates) and values plain JSON values"
        ) from None


def _thinking(think: bool | str | None) -> dict[str, object]:
    if think is None:
        return {}
    if isinstance(think, str):
        return {"reasoning_effort": think}
    # OpenAI has no word for it; the templates of thinking models do (vLLM, SGLang, llama.cpp).
    return {"chat_template_kwargs": {"enable_thinking": think}}


def _format(wanted: str | Mapping[str, object]) -> dict[str, object]:
    if isinstance(wanted, str):
        return {"type": "json_object"}
    schema = {"name": "reply", "schema": grammar_format(wanted), "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def _messages(messages: Iterable[Message]) -> Iterable[dict[str, object]]:
    # OpenAI joins a tool's answer to its call by an id, which Ollama may leave out.
    calls: list[tuple[str, str]] = []
    for number, message in enumerate(messages):
        given = orjson.loads(message) if isinstance(message, bytes) else message
        made: dict[str, object] = {"role": given.get("role"), "content": given.get("content") or ""}
        if isinstance(images := given.get("images"), Sequence) and images:
            made["content"] = _with_images(made["content"], images)
        if isinstance(asked := given.get("tool_calls"), Sequence) and asked:
            made_calls = [_call(call, f"call_{number}_{at}") for at, call in enumerate(asked)]
            made["tool_calls"] = [call.as_json() for call in made_calls]
            calls = [(call.call_id, call.name) for call in made_calls]
        if made["role"] == "tool":
            made["tool_call_id"] = _id_of(given, calls)
        yield made


@dataclass(frozen=True, slots=True)
class _Call:
    call_id: str
    name: str
    arguments: str

    def as_json(self) -> dict[str, object]:
        """The call as it stands in a message."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.call_id, "type": "function", "function": function}


def _call(call: Mapping[str, object], made_id: str) -> _Call:
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    arguments = function.get("arguments") or {}
    if not isinstance(arguments, str):
        arguments = orjson.dumps(arguments, default=_plain).decode()
    return _Call(str(call.get("id") or made_id), str(function.get("name") or ""), arguments)


def _id_of(answer: Mapping[str, object], calls: list[tuple[str, str]]) -> object:
    """The id of the call that this message of a tool answers: its own, else by the tool's name."""
    if answer.get("tool_call_id"):
        return answer["tool_call_id"]
    for call in calls:
        if call[1] == answer.get("tool_name"):
            calls.remove(call)
            return call[0]
    return calls.pop(0)[0] if calls else "call"


def _with_images(text: object, images: Iterable[object]) -> list[dict[str, object]]:
    parts: list[dict[str, object]] = [{"type": "text", "text": text}]
    for image in map(str, images):
        kinds = (kind for start, kind in _IMAGE_TYPES.items() if image.startswith(start))
        url = f"data:image/{next(kinds, 'png')};base64,{image}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return parts


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"not a JSON value: {type(value).__name__}")
