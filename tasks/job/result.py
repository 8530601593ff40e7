"""The result of a chat job, and the two history messages that it is remembered by. Pure."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NotRequired, TypedDict, cast

import orjson
from pydantic import JsonValue

from llm import Final, ModelReply
from tasks.job.job import ChatJob, MergedJob
from tasks.job.reply_format import parsed_reply
from tasks.turn.fitted_call import Exchange


class Usage(TypedDict):
    """Tokens as the model's server counted them."""

    prompt_tokens: int
    completion_tokens: int


class Timings(TypedDict):
    """Where the time went, milliseconds; None where the model's server does not tell.

    From sending to the model's call, from that to its first token, the whole call; then what the
    server says: loading the model and waiting for it, waiting for a free slot, reading the prompt,
    writing the reply.
    """

    queue_wait_ms: float
    first_token_ms: float | None
    model_ms: float
    load_ms: float | None
    slot_wait_ms: float | None
    prompt_eval_ms: float | None
    eval_ms: float | None
    tokens_per_s: float | None


class Receipt(TypedDict):
    """What the model was shown for a reply, and what was kept from it.

    `messages_sent` counts all messages of the prompt, `messages_left_out` those of the stored
    history that are not among them; with `summary` a summary of earlier turns was shown in their
    place. `window_tokens` is None where it is only assumed,
    `prompt_tokens` (as counted by the model's server) where it does not tell. `truncated`: the
    server cut the prompt, so the model has seen less than was sent.
    """

    messages_sent: int
    messages_left_out: int
    summary: bool
    window_tokens: int | None
    estimated_prompt_tokens: int
    prompt_tokens: int | None
    done_reason: str
    truncated: bool


class ChatResult(TypedDict):
    """What `chat_task.delay(...).get()` gives; `parsed` is the value of a reply with a `format`."""

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
    merged_into: NotRequired[str]


class RedactedResult(Mapping[str, object]):
    """A result as a task returns it: its repr holds no text of the conversation.

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
        told = {name: self._result[name] for name in ("agent_id", "session_id", "model", "usage")}
        return repr(told)


def parsed_answer(answer: ModelReply, job: ChatJob) -> JsonValue:
    """The value of an answer whose job asks for a `format`, else None.

    Raises llm.FormatMismatchError.
    """
    if job.format is None:
        return None
    return parsed_reply(answer.text, job.format, done_reason=answer.final.done_reason)


def result_of(
    job_id: str,
    job: ChatJob,
    exchange: Exchange,
    *,
    attempt: int,
    stored_messages: int,
    timings: Timings,
    parsed: JsonValue = None,
    earlier: Sequence[ModelReply] = (),
) -> ChatResult:
    """The result of a turn that was just computed; the session has `stored_messages` before it.

    `earlier` are the answers that called tools: their tokens are in the usage too; receipt and
    timings are those of the last call.
    """
    answer = exchange.answer
    result = ChatResult(
        job_id=job_id,
        agent_id=job.agent_id,
        session_id=job.session_id,
        response=answer.text,
        model=answer.final.model,
        usage=_usage([one.final for one in (*earlier, answer)]),
        done_reason=answer.final.done_reason,
        attempt=attempt,
        history_messages=exchange.prompt.history_messages,
        receipt=_receipt(exchange, stored_messages),
        timings=timings,
    )
    if answer.final.server:
        result["server"] = answer.final.server
    if job.metadata is not None:
        result["metadata"] = job.metadata
    if job.format is not None:
        result["parsed"] = parsed
    return result


def _usage(finals: Sequence[Final]) -> Usage:
    return Usage(
        prompt_tokens=sum(final.prompt_tokens for final in finals),
        completion_tokens=sum(final.completion_tokens for final in finals),
    )


def _receipt(exchange: Exchange, stored_messages: int) -> Receipt:
    prompt, final = exchange.prompt, exchange.answer.final
    return Receipt(
        messages_sent=len(prompt.request.messages),
        messages_left_out=max(0, stored_messages - prompt.history_messages),
        summary=prompt.has_summary,
        window_tokens=exchange.budget.window_tokens if exchange.budget.is_known else None,
        estimated_prompt_tokens=prompt.fit.estimated_tokens,
        prompt_tokens=final.prompt_tokens or None,
        done_reason=final.done_reason,
        truncated=exchange.is_truncated,
    )


def told(result: ChatResult) -> dict[str, JsonValue]:
    """What the `done` event says of a result besides its text."""
    return {n: value for n, value in result.items() if n not in ("response", "parsed")}  # type: ignore[misc]  # all values are JSON


def merged_result(job_id: str, agent_id: str, session_id: str, into: str) -> ChatResult:
    """The result of a job that was merged into another, which has the reply."""
    result = result_from_reply(job_id, agent_id, session_id, ())
    return {**result, "done_reason": "merged", "merged_into": into}


def merged_note(merged: Sequence[MergedJob]) -> dict[str, object]:
    """What a question says of the jobs that were merged into it; nothing where there are none."""
    return {"merged": [one.model_dump(exclude_none=True) for one in merged]} if merged else {}


def messages_of(
    job: ChatJob,
    result: ChatResult,
    steps: Sequence[Mapping[str, object]] = (),
    merged: Sequence[MergedJob] = (),
) -> tuple[dict[str, object], ...]:
    """The turn as the history keeps it: the question, what tools did, and the reply.

    Each message has the job's id; the question names the jobs that were `merged` into this one.
    """
    at = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
    question: dict[str, object] = {
        "role": "user",
        "content": job.message,
        "job_id": result["job_id"],
        "at": at,
        **merged_note(merged),
    }
    if job.metadata is not None:
        question["metadata"] = job.metadata
    if job.images:
        question["images"] = list(job.images)
    kept = ("job_id", "model", "usage", "done_reason", "attempt", "history_messages", "receipt")
    reply = {"role": "assistant", "content": result["response"], "at": at}
    if job.format is not None:
        reply["format"] = "json"
    between = _steps(steps, {"job_id": result["job_id"], "at": at})
    return question, *between, reply | {name: result[name] for name in kept}  # type: ignore[literal-required]  # the names are ChatResult's


def cancelled_messages(
    job_id: str,
    job: ChatJob,
    said: str,
    steps: Sequence[Mapping[str, object]] = (),
    merged: Sequence[MergedJob] = (),
) -> tuple[dict[str, object], ...]:
    """A cancelled turn as the history keeps it: the question, what tools did until then, and the
    answer as far as it came."""
    at = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
    mark: dict[str, object] = {"job_id": job_id, "at": at, "cancelled": True}
    question = {"role": "user", "content": job.message, **mark, **merged_note(merged)}
    if job.images:
        question["images"] = list(job.images)
    between = _steps(steps, mark)
    if not said:
        return question, *between
    return question, *between, {"role": "assistant", "content": said, **mark}


def _steps(
    steps: Sequence[Mapping[str, object]], mark: Mapping[str, object]
) -> list[dict[str, object]]:
    """Calls of tools and their results, marked; what the model thought of them is not kept."""
    return [{**{name: step[name] for name in step if name != "thinking"}, **mark} for step in steps]


def result_from_reply(
    job_id: str, agent_id: str, session_id: str, found: Sequence[Mapping[str, JsonValue]]
) -> ChatResult:
    """The result of a turn committed earlier, from its reply in the history (or nothing).

    The timings of that attempt are not kept there. A reply that was trimmed or cleared since gives
    an empty response.
    """
    reply = found[0] if found else {}
    usage = reply.get("usage")
    result = ChatResult(
        job_id=job_id,
        agent_id=agent_id,
        session_id=session_id,
        response=str(reply.get("content", "")),
        model=str(reply.get("model", "")),
        usage=cast(Usage, usage)
        if isinstance(usage, dict)
        else Usage(prompt_tokens=0, completion_tokens=0),
        done_reason=str(reply.get("done_reason", "")),
        attempt=_whole(reply.get("attempt")),
        history_messages=_whole(reply.get("history_messages")),
    )
    if isinstance(receipt := reply.get("receipt"), dict):
        result["receipt"] = cast(Receipt, receipt)
    if reply.get("format") == "json":
        result["parsed"] = _value(result["response"])
    return result


def _value(text: str) -> JsonValue:
    """What a reply stands for; None where somebody has changed it since."""
    try:
        value: JsonValue = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value


def _whole(value: JsonValue) -> int:
    return value if isinstance(value, int) else 0
