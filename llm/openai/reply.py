"""Reading one reply of `POST /v1/chat/completions`: bytes in, deltas out, its end or the error.

The stream is server-sent events: lines `data: {…}`, the last one `data: [DONE]`. No I/O.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from llm.errors import LLMError, StreamCutError
from llm.wire.address import label_of
from llm.wire.error_map import error_line
from llm.wire.models import count_of
from llm.wire.ndjson import Lines, decoded
from llm.wire.records import Delta, Final, ToolCall, read_arguments
from llm.wire.requests import ChatRequest

_REASONS = {"tool_calls": "stop", "function_call": "stop"}
"""OpenAI's finish reasons that Ollama has another word for."""


@dataclass(slots=True)
class _PartOfCall:
    """A call of a tool, which comes in pieces."""

    call_id: str | None = None
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def whole(self) -> ToolCall:
        """The call, once all pieces of it are here."""
        read = read_arguments("".join(self.arguments))
        return ToolCall(self.name, read or {}, self.call_id, is_readable=read is not None)


class OpenAIReply:
    """As `llm.wire.reply.ReplyReader`, for the reply of an OpenAI-compatible server."""

    def __init__(self, request: ChatRequest, base_url: str, max_bytes: int) -> None:
        self._base_url = base_url
        self._lines = Lines(max_bytes=max_bytes)
        self._calls: dict[int, _PartOfCall] = {}
        self._final = Final(model=request.model, server=label_of(base_url))
        self._has_reason = False
        self._is_done = False
        self._error: LLMError | None = None

    @property
    def is_done(self) -> bool:
        """True once `[DONE]` or an error has been read: nothing that follows matters."""
        return self._is_done

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas of a chunk. What an error in it means is raised by `final`."""
        return self._read(self._lines.feed(chunk))

    def finish(self) -> list[Delta]:
        """The same for what follows the last newline, at a clean end of the bytes."""
        return self._read(self._lines.finish())

    def final(self) -> Final:
        """The end of the reply; raises what an error means, and StreamCutError if the bytes ended
        without a reason for it."""
        if self._error is not None:
            raise self._error
        # Some servers leave [DONE] out, and some the counts; a whole reply has its reason.
        if not self._has_reason:
            raise StreamCutError(
                f"the reply of {self._base_url} ended without a finish_reason: it is incomplete"
            )
        return self._final

    def _read(self, lines: list[bytes]) -> list[Delta]:
        deltas: list[Delta] = []
        for line in lines:
            if self._is_done:
                break
            kind, _, data = line.partition(b":")
            # Comments (`: keep-alive`) and the names of events say nothing here.
            if kind != b"data":
                continue
            if data.strip() == b"[DONE]":
                self._is_done = True
            else:
                deltas += self._take(decoded(data))
        return deltas

    def _take(self, record: Mapping[str, object]) -> Iterator[Delta]:
        # vLLM before 0.10 sends the error itself as the object.
        error = record if record.get("object") == "error" else record.get("error")
        if error is not None:
            said = error.get("message") if isinstance(error, Mapping) else error
            # Not raised here: what stands before it in the chunk was said.
            self._error = error_line(said, model=self._final.model, base_url=self._base_url)
            self._is_done = True
            return
        self._count(record)
        choices = record.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, Mapping):
            return
        if delta := self._delta(choice.get("delta")):
            yield delta
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._has_reason = True
            self._final = replace(self._final, done_reason=_REASONS.get(reason, reason))
            if self._calls:
                calls = tuple(self._calls.pop(at).whole() for at in sorted(self._calls))
                yield Delta(tool_calls=calls)

    def _delta(self, given: object) -> Delta:
        if not isinstance(given, Mapping):
            return Delta()
        calls = given.get("tool_calls")
        for at, call in enumerate(calls if isinstance(calls, list) else ()):
            self._keep_call(call, at)
        # llama.cpp, vLLM and SGLang say reasoning_content; OpenRouter and newer vLLM reasoning.
        thinking = given.get("reasoning_content") or given.get("reasoning")
        return Delta(text=_text(given.get("content")), thinking=_text(thinking))

    def _keep_call(self, call: object, at: int) -> None:
        if not isinstance(call, Mapping):
            return
        index = call.get("index")
        part = self._calls.setdefault(index if isinstance(index, int) else at, _PartOfCall())
        part.call_id = part.call_id or _text(call.get("id")) or None
        function = call.get("function")
        if isinstance(function, Mapping):
            part.name = part.name or _text(function.get("name"))
            part.arguments.append(_text(function.get("arguments")))

    def _count(self, record: Mapping[str, object]) -> None:
        model = _text(record.get("model")) or self._final.model
        self._final = replace(self._final, model=model)
        if isinstance(usage := record.get("usage"), Mapping):
            self._final = replace(
                self._final,
                prompt_tokens=count_of(usage.get("prompt_tokens")),
                completion_tokens=count_of(usage.get("completion_tokens")),
            )
        # llama.cpp's own; it counts there what it has not found in its cache.
        if isinstance(timings := record.get("timings"), Mapping):
            self._final = replace(
                self._final,
                prompt_eval_ms=_ms(timings.get("prompt_ms")),
                eval_ms=_ms(timings.get("predicted_ms")),
            )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _ms(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value >= 0 else None
