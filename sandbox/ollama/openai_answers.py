"""Answers in OpenAI's format: records of /api/* rewritten, as Ollama does. Pure.

A line that it cannot rewrite is lost, as it is with Ollama: an error line in mid-stream has none of
a record's members and becomes an empty delta (docs/ollama.md, OpenAI's routes).
"""

import json
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sandbox.ollama import gojson
from sandbox.ollama.gojson import JsonObject, JsonValue
from sandbox.ollama.openai_requests import read_completion
from sandbox.ollama.request.bodies import ModelRequest

_ERROR_TYPES = {400: "invalid_request_error", 404: "not_found_error"}
_FINGERPRINT = "fp_ollama"
_END = b"data: [DONE]\n\n"


def _made_up_id() -> str:
    """As few as Ollama's: they are not unique."""
    return f"chatcmpl-{random.randrange(999)}"


@dataclass(slots=True)
class Translation:
    """One call of /v1/chat/completions. `read` its body first."""

    id: str = field(default_factory=_made_up_id)
    created_s: int = field(default_factory=lambda: int(time.time()))
    states_usage: bool = False
    has_called: bool = False
    """Whether a tool was called: the stream's end then says so as its reason."""

    def read(self, body: bytes) -> ModelRequest:
        """The chat that is asked for. Raises Refused."""
        asked, self.states_usage = read_completion(body)
        return asked

    def events(self, lines: bytes) -> bytes:
        """Server-sent events for whole lines of a stream of /api/chat."""
        return b"".join(self._of_record(json.loads(line)) for line in lines.split(b"\n") if line)

    def answer(self, status: int, body: bytes) -> bytes:
        """The body for one of /api/chat that was not to be streamed, or is a refusal."""
        record = json.loads(body)
        return _body(self._completion(record)) if status == 200 else error(status, record)

    def _of_record(self, record: JsonObject) -> bytes:
        message = _message(record)
        self.has_called = self.has_called or "tool_calls" in message
        if not record.get("done"):
            return _event(self._chunk(record, [_choice(message)]))
        spoken = [_choice(message)] if message["content"] or len(message) > 2 else []
        silence: JsonObject = {"role": "assistant", "content": ""}
        reason = _finish_reason(record, has_called=self.has_called)
        chunks = [self._chunk(record, [choice]) for choice in (*spoken, _choice(silence, reason))]
        if self.states_usage:
            chunks.append({**self._chunk(record, []), "usage": _usage(record)})
        return b"".join(_event(chunk) for chunk in chunks) + _END

    def _chunk(self, record: JsonObject, choices: list[JsonValue]) -> JsonObject:
        return {**self._head(record, "chat.completion.chunk"), "choices": choices}

    def _completion(self, record: JsonObject) -> JsonObject:
        message = _message(record)
        reason = _finish_reason(record, has_called="tool_calls" in message)
        choice: JsonObject = {"index": 0, "message": message, "finish_reason": reason}
        head = self._head(record, "chat.completion")
        return {**head, "choices": [choice], "usage": _usage(record)}

    def _head(self, record: JsonObject, kind: str) -> JsonObject:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created_s,
            "model": record.get("model", ""),
            "system_fingerprint": _FINGERPRINT,
        }


def error(status: int, refusal: JsonObject) -> bytes:
    """The envelope of an error, for the body of /api/*."""
    kind = _ERROR_TYPES.get(status, "api_error")
    text = refusal.get("error", "")
    return _body({"error": {"message": text, "type": kind, "param": None, "code": None}})


def models(names: Iterable[str], created_s: int) -> JsonObject:
    """GET /v1/models."""
    return {"object": "list", "data": [model(name, created_s) for name in names]}


def model(name: str, created_s: int) -> JsonObject:
    """GET /v1/models/NAME."""
    return {"id": name, "object": "model", "created": created_s, "owned_by": "library"}


def _message(record: JsonObject) -> JsonObject:
    said = record.get("message")
    said = said if isinstance(said, dict) else {}
    message: JsonObject = {
        # A chunk always says so; only the zero object has no role.
        "role": said.get("role", "assistant"),
        "content": said.get("content", ""),
    }
    if said.get("thinking"):
        message["reasoning"] = said["thinking"]
    if isinstance(calls := said.get("tool_calls"), list) and calls:
        message["tool_calls"] = list(_calls(calls))
    return message


def _calls(calls: list[JsonValue]) -> Iterator[JsonValue]:
    for call in calls:
        if isinstance(call, dict) and isinstance(function := call.get("function"), dict):
            arguments = gojson.encode(function.get("arguments"))
            yield {
                "id": call.get("id"),
                "index": function.get("index", 0),
                "type": "function",
                "function": {"name": function.get("name"), "arguments": arguments},
            }


def _choice(delta: JsonObject, reason: JsonValue = None) -> JsonValue:
    return {"index": 0, "delta": delta, "finish_reason": reason}


def _finish_reason(record: JsonObject, *, has_called: bool) -> JsonValue:
    return "tool_calls" if has_called else record.get("done_reason")


def _usage(record: JsonObject) -> JsonObject:
    prompt, said = _count(record, "prompt_eval_count"), _count(record, "eval_count")
    usage: JsonObject = {
        "prompt_tokens": prompt,
        "completion_tokens": said,
        "total_tokens": prompt + said,
    }
    if cached := _count(record, "prompt_eval_cached_count"):
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    return usage


def _count(record: JsonObject, name: str) -> int:
    count = record.get(name)
    return count if isinstance(count, int) else 0


def _event(chunk: JsonObject) -> bytes:
    return b"data: " + gojson.encode(chunk).encode() + b"\n\n"


def _body(value: JsonObject) -> bytes:
    return gojson.encode(value).encode() + b"\n"
