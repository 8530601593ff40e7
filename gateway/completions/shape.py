"""The objects of a chat completion: whole, and in chunks. Pure."""

from collections.abc import Iterator, Mapping

from gateway.errors import SERVER, ApiError
from gateway.failures import UNKNOWN, failure_for
from gateway.responses.fold import calls_of
from gateway.responses.shape import ERASED, Known, usage_of
from memory import Event, EventType

GONE = "The answer was given before and is not kept, or its session was erased: use a new key."
INTERRUPTED = "The answer began again, and what was sent of it does not count: ask again."


def completion(known: Known, done: Mapping[str, object]) -> dict[str, object]:
    """A chat completion, of the response that answers it. Raises ApiError for one that failed."""
    status = str(done["status"])
    if status not in ("completed", "incomplete"):
        raise _failure(done)
    text, calls = _text_of(done), _calls_of(done)
    content = text or (None if calls else "")
    message: dict[str, object] = {"role": "assistant", "content": content, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": _reason(is_cut=status != "completed", has_calls=bool(calls)),
        "logprobs": None,
    }
    usage = _usage(done["usage"])
    return {**_head(known, "chat.completion"), "choices": [choice], "usage": usage,
            "griot": done["griot"]}  # fmt: skip


class Chunks:
    """Takes the events of a job in their order, and gives the chunks of its completion."""

    def __init__(self, known: Known, *, has_usage: bool) -> None:
        self._known = known
        self._has_usage = has_usage
        self._said = ""
        self._is_begun = False

    def take(self, event: Event) -> Iterator[dict[str, object]]:
        """The chunks of one event. Raises ApiError where what was sent turns out not to count."""
        if not self._is_begun:
            self._is_begun = True
            yield self._chunk({"role": "assistant", "content": ""})
        match event.type:
            case EventType.STARTED:
                self._check_begun_anew()
            case EventType.TOOL_CALL:
                self._said = ""
            case EventType.THINKING:
                yield self._chunk({"reasoning_content": event.text})
            case EventType.TOKEN:
                self._said += event.text
                yield self._chunk({"content": event.text})
            case EventType.DONE:
                yield from self._done(event)
            case EventType.FAILED | EventType.ERASED | EventType.CANCELLED:
                raise _ended(event)

    def _check_begun_anew(self) -> None:
        if self._said:
            raise ApiError(500, INTERRUPTED, code="interrupted", kind=SERVER)

    def _done(self, event: Event) -> Iterator[dict[str, object]]:
        # Events may have been lost. A reply that was put right cannot be told any more.
        if event.text.startswith(self._said) and (rest := event.text[len(self._said) :]):
            yield self._chunk({"content": rest})
        calls = [tool_call(*call) for call in calls_of(event)]
        for index, call in enumerate(calls):
            yield self._chunk({"tool_calls": [{"index": index, **call}]})
        is_cut = event.data.get("done_reason") == "length"
        yield self._chunk({}, _reason(is_cut=is_cut, has_calls=bool(calls)))
        if self._has_usage:
            usage = _usage(usage_of(event.data))
            yield {**_head(self._known, "chat.completion.chunk"), "choices": [], "usage": usage}

    def _chunk(self, delta: dict[str, object], why: str | None = None) -> dict[str, object]:
        choice = {"index": 0, "delta": delta, "finish_reason": why, "logprobs": None}
        return {**_head(self._known, "chat.completion.chunk"), "choices": [choice]}


def _head(known: Known, kind: str) -> dict[str, object]:
    record = known.record
    return {
        "id": known.response_id,
        "object": kind,
        "created": int(record.created_at),
        "model": record.model,
    }


def tool_call(call_id: str, name: str, arguments: str) -> dict[str, object]:
    """A call of a function that the client runs."""
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _reason(*, is_cut: bool, has_calls: bool) -> str:
    return "tool_calls" if has_calls else ("length" if is_cut else "stop")


def _calls_of(done: Mapping[str, object]) -> list[dict[str, object]]:
    output = done["output"]
    items = output if isinstance(output, list) else []
    return [
        tool_call(item["call_id"], item["name"], item["arguments"])
        for item in items
        if item["type"] == "function_call"
    ]


def _text_of(done: Mapping[str, object]) -> str:
    output = done["output"]
    items = output if isinstance(output, list) else []
    messages = [item for item in items if item["type"] == "message"]
    return "".join(part["text"] for item in messages for part in item["content"])


def _usage(usage: object) -> dict[str, object] | None:
    match usage:
        case {"input_tokens": prompt, "output_tokens": reply, "total_tokens": total}:
            return {"prompt_tokens": prompt, "completion_tokens": reply, "total_tokens": total}
    return None


def _failure(done: Mapping[str, object]) -> ApiError:
    if done["status"] == "cancelled":
        return ApiError(409, "The answer was cancelled.", code="cancelled")
    if done["error"] == ERASED:
        return _erased()
    match done["error"]:
        case {"code": str(code), "message": str(message)}:
            return _failed(code, message)
    return _failed(*UNKNOWN)


def _failed(code: str, message: str) -> ApiError:
    is_theirs = code == UNKNOWN.code
    return (
        ApiError(500, message, code=code, kind=SERVER)
        if is_theirs
        else ApiError(400, message, code=code)
    )


def _ended(event: Event) -> ApiError:
    if event.type is EventType.CANCELLED:
        return ApiError(409, "The answer was cancelled.", code="cancelled")
    if event.type is EventType.ERASED:
        return _erased()
    return _failed(*failure_for(event.data))


def _erased() -> ApiError:
    # No fault of the server: a client that sent it again would only be told the same.
    return ApiError(409, GONE, code="erased")
