"""The records of /api/chat and /api/generate, in Go's order of keys (docs/ollama.md, Records)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from sandbox.ollama import gojson
from sandbox.ollama.gojson import JsonObject, JsonValue
from sandbox.ollama.reply.plans import Fragment

Shape = Literal["chat", "generate"]
Profile = Literal["0.33", "0.40"]
"""Which release's shapes are spoken: 0.40 adds `prompt_eval_cached_count`, among others."""

ZERO_TIME = "0001-01-01T00:00:00Z"
"""Go's zero time, in the object Ollama answers when a reply held nothing at all."""


NO_METRICS: Mapping[str, int | None] = MappingProxyType({})


class RecordWriter:
    """Writes the records of one reply. What does not change within it is encoded once."""

    def __init__(self, shape: Shape, model: str) -> None:
        self._shape = shape
        self._model = model
        self._start = '{"model":' + gojson.encode(model) + ',"created_at":"'
        self._plain = (
            '","message":{"role":"assistant","content":' if shape == "chat" else '","response":'
        )
        self._end = '},"done":false}\n' if shape == "chat" else ',"done":false}\n'

    def line(self, created_at: str, fragment: Fragment) -> bytes:
        """One record of a stream before the final one, with its line end."""
        if not fragment.thinking and not fragment.tool_calls:
            content = gojson.quote(fragment.content)
            return f"{self._start}{created_at}{self._plain}{content}{self._end}".encode()
        return self.record(created_at, fragment, {"done": False}) + b"\n"

    def record(self, created_at: str, fragment: Fragment, rest: JsonObject) -> bytes:
        """One record without line end; `rest` holds `done` and what follows it."""
        record: JsonObject = {"model": self._model, "created_at": created_at}
        return gojson.encode({**record, **_body(self._shape, fragment), **rest}).encode()

    def zero_object(self) -> bytes:
        """What a reply without any record becomes when it was not to be streamed."""
        record: JsonObject = {"model": "", "created_at": ZERO_TIME}
        empty: JsonObject = {"message": {"role": "", "content": ""}}
        if self._shape == "generate":
            empty = {"response": ""}
        return gojson.encode({**record, **empty, "done": False}).encode()


def done(reason: str, metrics: Mapping[str, int | None] = NO_METRICS) -> JsonObject:
    """The tail of a final record; without metrics that of a load or an unload.

    Those are counts and nanoseconds in Go's order. Zero and None are left out, as by `omitempty`.
    """
    stated = {name: value for name, value in metrics.items() if value}
    return {"done": True, "done_reason": reason, **stated}


def error(text: str, **beside: str) -> bytes:
    """An error body, without line end."""
    members: JsonObject = {"error": text, **beside}
    return gojson.encode(members).encode()


def _body(shape: Shape, fragment: Fragment) -> JsonObject:
    extra: dict[str, JsonValue] = {}
    if fragment.thinking:
        extra["thinking"] = fragment.thinking
    if fragment.tool_calls:
        extra["tool_calls"] = list(fragment.tool_calls)
    if shape == "generate":
        return {"response": fragment.content, **extra}
    return {"message": {"role": "assistant", "content": fragment.content, **extra}}
