"""The records of a chat stream as typed values. No I/O; lenient, for Ollama's versions differ.

Field names and units are Ollama's (api/types.go): durations on the wire are nanoseconds. Unknown
fields and unknown `done_reason` values pass; missing counts are 0, missing durations None. What a
model said is in no repr: text of conversations stays out of logs and tracebacks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from llm.errors import StreamCutError
from llm.wire.models import count_of

NS_PER_MS = 1_000_000
MAX_CALLS = 128
"""Of one record; no caller runs more of them."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called.

    `is_readable` is False where its arguments are no JSON object: they are empty then, and must not
    be taken for none.
    """

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict, repr=False)
    id: str | None = None
    is_readable: bool = True


# Not frozen, as there is one for each token: that would take ten times as long.
@dataclass(slots=True)
class Delta:
    """A piece of the reply: usually about one token of `text` or of `thinking`. A value: nobody
    changes it."""

    text: str = field(default="", repr=False)
    thinking: str = field(default="", repr=False)
    tool_calls: tuple[ToolCall, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.text or self.thinking or self.tool_calls)


@dataclass(frozen=True, slots=True)
class Final:
    """The end of a reply and its counts. Times in milliseconds, None where Ollama sends none.

    `done_reason` is "stop", or "length" when the reply ran into `max_tokens` or the window.
    `load_ms` includes waiting in Ollama's scheduler; `completion_tokens` includes thinking.
    `server` is host and port of the Ollama that answered. `is_second_run`: the model thought in a
    run of its own, which only `total_ms` and `completion_tokens` include.
    """

    model: str = ""
    done_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_ms: float | None = None
    load_ms: float | None = None
    prompt_eval_ms: float | None = None
    eval_ms: float | None = None
    server: str = ""
    is_second_run: bool = False

    @property
    def tokens_per_s(self) -> float | None:
        """How fast the reply was generated; None if not known."""
        if not self.eval_ms or self.is_second_run:
            return None
        return round(self.completion_tokens / self.eval_ms * 1000, 1)

    @property
    def slot_wait_ms(self) -> float | None:
        """Time spent waiting for a free slot of the loaded model; None if not known."""
        # Only the total has this wait; load_duration has that in the scheduler
        # (docs/ollama.md, Records). After two runs the total has the first one's work as well.
        if self.is_second_run:
            return None
        parts = (self.total_ms, self.load_ms, self.prompt_eval_ms, self.eval_ms)
        known = [part for part in parts if part is not None]
        return max(0.0, known[0] - sum(known[1:])) if len(known) == len(parts) else None


@dataclass(frozen=True, slots=True)
class ModelReply:
    """A whole reply: all deltas joined, and the final counts."""

    text: str = field(repr=False)
    final: Final
    thinking: str = field(default="", repr=False)
    tool_calls: tuple[ToolCall, ...] = ()


def joined(records: Sequence[Delta | Final]) -> ModelReply:
    """The whole reply of a stream that was read; without its Final a StreamCutError."""
    final = next((record for record in records if isinstance(record, Final)), None)
    if final is None:
        raise StreamCutError("the reply ended before it was complete")
    deltas = [record for record in records if isinstance(record, Delta)]
    return ModelReply(
        text="".join([delta.text for delta in deltas]),
        final=final,
        thinking="".join([delta.thinking for delta in deltas]),
        tool_calls=tuple(call for delta in deltas for call in delta.tool_calls),
    )


def merged(deltas: Sequence[Delta]) -> Delta:
    """The deltas that have come together as one: a reply of thousands is not kept in pieces."""
    if len(deltas) == 1:
        return deltas[0]
    return Delta(
        "".join([delta.text for delta in deltas]),
        "".join([delta.thinking for delta in deltas]),
        tuple([call for delta in deltas for call in delta.tool_calls]),
    )


def delta_of(record: Mapping[str, object]) -> Delta:
    """The message part of a record; falsy if it brings nothing. A final record may bring some."""
    message = record.get("message")
    if not isinstance(message, dict):
        return Delta()
    content, calls = message.get("content"), message.get("tool_calls")
    if calls is None and isinstance(content, str) and not message.get("thinking"):
        return Delta(content)  # nearly all
    return Delta(
        text=_text(content),
        thinking=_text(message.get("thinking")),
        tool_calls=tuple(map(_tool_call, calls[:MAX_CALLS])) if isinstance(calls, list) else (),
    )


def final_of(record: Mapping[str, object], *, server: str = "") -> Final | None:
    """The end of the reply if this record is it (`done: true`), else None; `server` sent it."""
    # Nothing else is an end: some failures end a stream tidily (docs/ollama.md, Records).
    if record.get("done") is not True:
        return None
    return Final(
        model=_text(record.get("model")),
        done_reason=_text(record.get("done_reason")),
        prompt_tokens=count_of(record.get("prompt_eval_count")),
        completion_tokens=count_of(record.get("eval_count")),
        total_ms=_ms(record.get("total_duration")),
        load_ms=_ms(record.get("load_duration")),
        prompt_eval_ms=_ms(record.get("prompt_eval_duration")),
        eval_ms=_ms(record.get("eval_duration")),
        server=server,
    )


def _tool_call(call: object) -> ToolCall:
    call = call if isinstance(call, dict) else {}
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    arguments = read_arguments(function.get("arguments"))
    return ToolCall(
        name=_text(function.get("name")),
        arguments=arguments or {},
        id=_text(call.get("id")) or None,
        is_readable=arguments is not None,
    )


def read_arguments(arguments: object) -> dict[str, object] | None:
    """The arguments of a call: an object or none, or its JSON as OpenAI's protocol has it. None
    where they are anything else."""
    # Ollama sends an object (docs/ollama.md, Records); what is between us may not.
    if isinstance(arguments, str):
        try:
            arguments = orjson.loads(arguments) if arguments.strip() else {}
        except orjson.JSONDecodeError:
            return None
    if arguments is None:
        return {}
    return arguments if isinstance(arguments, dict) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _ms(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value / NS_PER_MS
