"""A conversation as turns: what was asked, what tools did, what was answered. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from gateway.history_items import as_items
from tasks.job.envelope import Envelope

Message = Mapping[str, JsonValue]
State = Literal["waiting", "running", "done"]
ABOUT_REPLY = ("model", "usage", "attempt", "done_reason", "history_messages", "receipt", "format")


@dataclass(slots=True)
class Turn:
    """One question and what became of it.

    `id` is its response's, and None where no job made it; `place` counts the messages before it in
    the history, and `size` its own. Images are data: URLs.
    """

    id: str | None
    state: State = "done"
    place: int = 0
    size: int = 0
    at: str | None = None
    role: str = "user"
    question: str | None = None
    images: list[str] = field(default_factory=list)
    tools: list[dict[str, JsonValue]] = field(default_factory=list)
    answer: str | None = None
    cancelled: bool = False
    merged: list[str] = field(default_factory=list)
    """The jobs whose messages this question carries, too."""
    facts: dict[str, JsonValue] = field(default_factory=dict)
    """What is known of the answer: its model, tokens and receipt."""


def turns_of(messages: Sequence[Message]) -> list[Turn]:
    """The turns of a history. A message that belongs to no job's turn is one of its own, or the
    answer to the one before it."""
    turns: list[Turn] = []
    for place, message in enumerate(messages):
        if not turns or _begins(turns[-1], message):
            turns.append(Turn(_job_of(message), place=place))
        _add(turns[-1], message)
        turns[-1].size += 1
    return turns


def waiting_turn(job_id: str, envelope: Envelope | None, *, is_running: bool) -> Turn:
    """The turn of a job that is not over; one of another program shows no question."""
    turn = Turn(job_id, "running" if is_running else "waiting")
    if envelope is not None:
        question: dict[str, JsonValue] = {"role": "user", "content": envelope.job.message}
        _ask(turn, {**question, "images": [*(envelope.job.images or ())]})
        turn.merged = [one.job_id for one in envelope.merged]
    return turn


def title_of(messages: Iterable[Message]) -> str | None:
    """What a conversation is called: the begin of its first question."""
    questions = (one for one in messages if one.get("role") == "user")
    text = next((str(one.get("content") or "") for one in questions), "")
    return " ".join(text[:400].split())[:80] or None


def _begins(turn: Turn, message: Message) -> bool:
    job_id, role = _job_of(message), message.get("role")
    if job_id is not None or turn.id is not None:
        return job_id != turn.id
    return role in ("user", "system") or turn.answer is not None


def _job_of(message: Message) -> str | None:
    job_id = message.get("job_id")
    return job_id if isinstance(job_id, str) else None


def _add(turn: Turn, message: Message) -> None:
    role = message.get("role")
    turn.cancelled = turn.cancelled or bool(message.get("cancelled"))
    at = message.get("at")
    turn.at = turn.at or (at if isinstance(at, str) else None)
    if role == "tool":
        _add_result(turn, message)
    elif calls := message.get("tool_calls"):
        turn.tools += [_call(one) for one in calls] if isinstance(calls, list) else []
    elif role == "assistant":
        turn.answer = str(message.get("content") or "")
        turn.facts = {name: message[name] for name in ABOUT_REPLY if name in message}
    else:
        _ask(turn, message)


def _ask(turn: Turn, message: Message) -> None:
    parts = next((item["content"] for item in as_items(message, "") if "content" in item), [])
    turn.role = str(message.get("role"))
    turn.question = str(message.get("content") or "")
    others = message.get("merged")
    of_jobs = others if isinstance(others, list) else ()
    turn.merged = [
        str(one["job_id"]) for one in of_jobs if isinstance(one, dict) and "job_id" in one
    ]
    if isinstance(parts, list):
        turn.images = [part["image_url"] for part in parts if part["type"] == "input_image"]


def _call(call: JsonValue) -> dict[str, JsonValue]:
    match call:
        case {"function": {"name": name, "arguments": arguments}}:
            return {"name": str(name), "arguments": arguments, "result": None}
    return {"name": "", "arguments": None, "result": None}


def _add_result(turn: Turn, message: Message) -> None:
    """A result belongs to the first call that has none yet."""
    waiting = next((one for one in turn.tools if one["result"] is None), None)
    if waiting is not None:
        waiting["result"] = str(message.get("content") or "")
