"""The result of a chat job. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NotRequired, TypedDict, cast, get_type_hints

from pydantic import JsonValue

from tasks.job.reply_text import value_of


class Usage(TypedDict):
    """Tokens as the model's server counted them."""

    prompt_tokens: int
    completion_tokens: int
    tool_calls: NotRequired[int]
    """How many calls of the agent's tools were run; left out where there was none."""


class Timings(TypedDict):
    """Where the time went, milliseconds; None where the model's server does not say.

    From sending to the model's call, from that to its first token, the whole call; then what the
    server says: loading the model and waiting for it, waiting for a free slot, reading the prompt,
    writing the reply. At last, the whole turn from its first call on, with those of tools.
    """

    queue_wait_ms: float
    first_token_ms: float | None
    model_ms: float
    load_ms: float | None
    slot_wait_ms: float | None
    prompt_eval_ms: float | None
    eval_ms: float | None
    tokens_per_s: float | None
    turn_ms: NotRequired[float]
    """Of results since 2026-11-26."""


class ReceiptRepairs(TypedDict, total=False):
    """What was done to messages, so that a strict template takes the prompt.

    Each is named by its index in the history as it was when the turn began: 0 is the oldest, and
    the new message is the first behind the last. `merged` were joined to the message before them,
    `moved` to the system prompt; `as_text` are calls of tools and results that were shown as text;
    `left_out` were empty. A list names the last 32 at most.
    """

    merged: list[int]
    moved: list[int]
    as_text: list[int]
    left_out: list[int]


class Receipt(TypedDict):
    """What the model was shown for a reply, and what was kept from it.

    `repairs` is there where messages were not sent as the history has them, `plain` where the
    model's server refused the prompt and a plainer one was sent: "texts" (no images, no calls of
    tools, no system message) or "message" (no history). `empty` is what a reply without an answer
    consists of: "blank" or "thinking"; with `asked_again` it is that of a second call. `read_back`
    is there where the session had no history in Redis and the archive was asked: how many messages
    of it are the stored history now; None where the archive could not be read.

    `messages_sent` counts all messages of the prompt, `messages_left_out` those of the stored
    history that are not among them; with `summary` a summary of earlier turns was shown
    instead. `window_tokens` is None where it is only assumed,
    `prompt_tokens` (as counted by the model's server) where it does not say. `truncated`: the
    reply ran past the window, so the model forgot the older half of what it was shown while it
    wrote (only where OLLAMA_SHARED is true). `fallback_for` is the model that should have answered,
    where no server could answer with it; else None.
    """

    messages_sent: int
    messages_left_out: int
    summary: bool
    repairs: NotRequired[ReceiptRepairs]
    plain: NotRequired[str]
    empty: NotRequired[str]
    asked_again: NotRequired[bool]
    read_back: NotRequired[int | None]
    window_tokens: int | None
    estimated_prompt_tokens: int
    prompt_tokens: int | None
    done_reason: str
    truncated: bool
    fallback_for: str | None


_RECEIPT_TYPES = {
    name: kind
    for name, kind in get_type_hints(Receipt).items()
    if name in Receipt.__required_keys__
}


class FunctionCall(TypedDict):
    """A call of a function that the client runs; its result names the `call_id`."""

    call_id: str
    name: str
    arguments: dict[str, JsonValue]


class ChatResult(TypedDict):
    """What `chat_task.delay(...).get()` gives; `parsed` is the value of a reply with a `format`,
    `calls` are those of the job's `functions` with which the turn has ended."""

    job_id: str
    agent_id: str
    session_id: str
    response: str
    model: str
    usage: Usage
    done_reason: str
    attempt: int
    history_messages: int
    receipt: NotRequired[Receipt]
    timings: NotRequired[Timings]
    server: NotRequired[str]
    """Host and port of the Ollama that answered."""
    metadata: NotRequired[dict[str, JsonValue]]
    parsed: NotRequired[JsonValue]
    calls: NotRequired[list[FunctionCall]]
    empty: NotRequired[str]
    """Where the model gave no answer: "blank" (white space only) or "thinking" (thoughts only)."""
    merged_into: NotRequired[str]


class RedactedResult(Mapping[str, object]):
    """A result as a task returns it: its repr holds no text of the conversation
    (docs/decisions.md, "A task returns an object whose repr shows no text").

    Celery writes the repr of what a task returns into its log and its events (5.7.0), and spells
    out a dict; of any other object it asks the repr. kombu encodes it by `__json__`, so who
    fetches the result gets a plain dict.
    """

    def __init__(self, result: ChatResult) -> None:
        self._result = result

    def __json__(self) -> ChatResult:
        return self._result

    def __getitem__(self, name: str) -> object:
        return dict(self._result)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._result)

    def __len__(self) -> int:
        return len(self._result)

    def __repr__(self) -> str:
        return repr({name: self[name] for name in ("agent_id", "session_id", "model", "usage")})


def merged_result(job_id: str, agent_id: str, session_id: str, into: str) -> ChatResult:
    """The result of a job that was merged into another, which has the reply."""
    result = result_from_reply(job_id, agent_id, session_id, ())
    return {**result, "done_reason": "merged", "merged_into": into}


def result_from_reply(
    job_id: str, agent_id: str, session_id: str, found: Sequence[Mapping[str, JsonValue]]
) -> ChatResult:
    """The result of a turn committed earlier, from its reply in the history (or nothing).

    The timings of that attempt are not kept there. A reply that was trimmed or cleared since gives
    an empty response.
    """
    reply = found[0] if found else {}
    result = ChatResult(
        job_id=job_id,
        agent_id=agent_id,
        session_id=session_id,
        response=_text(reply.get("content")),
        model=_text(reply.get("model")),
        usage=_usage(reply.get("usage")),
        done_reason=_text(reply.get("done_reason")),
        attempt=_whole(reply.get("attempt")),
        history_messages=_whole(reply.get("history_messages")),
    )
    if _is_receipt(receipt := reply.get("receipt")):
        result["receipt"] = cast(Receipt, receipt)
        if empty := _text(cast("dict[str, JsonValue]", receipt).get("empty")):
            result["empty"] = empty
    if calls := _calls(reply.get("tool_calls")):
        result["calls"] = calls
    if reply.get("format") == "json":
        result["parsed"] = value_of(result["response"])
    return result


def _calls(found: JsonValue) -> list[FunctionCall]:
    calls = found if isinstance(found, list) else ()
    return [call for call in map(_call, calls) if call is not None]


def _call(found: JsonValue) -> FunctionCall | None:
    match found:
        case {"id": str(call_id), "function": {"name": str(name), "arguments": dict(arguments)}}:
            return FunctionCall(call_id=call_id, name=name, arguments=arguments)
    return None


# Any program may write into a history: what has another type than ours counts as not there.


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: JsonValue) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _usage(value: JsonValue) -> Usage:
    counts = value if isinstance(value, dict) else {}
    return Usage(
        prompt_tokens=_whole(counts.get("prompt_tokens")),
        completion_tokens=_whole(counts.get("completion_tokens")),
    )


def _is_receipt(value: JsonValue) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(name), kind) for name, kind in _RECEIPT_TYPES.items()
    )
