"""A whole conversation as a file: Markdown to read, JSON to go on with. Pure."""

import re
from collections.abc import Mapping, Sequence

import orjson
from pydantic import JsonValue

from gateway.pages.chat.transcript import Turn, turns_of

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def as_json(agent_id: str, conversation: str, messages: Sequence[Mapping[str, JsonValue]]) -> bytes:
    """All messages as the history has them."""
    whole = {"agent_id": agent_id, "conversation": conversation, "messages": [*messages]}
    return orjson.dumps(whole, option=orjson.OPT_INDENT_2) + b"\n"


def as_markdown(
    agent_id: str, conversation: str, messages: Sequence[Mapping[str, JsonValue]]
) -> bytes:
    """What was said, in order; of tools their names and results, of images how many."""
    head = f"# {conversation}\n\nWith the agent {agent_id}.\n"
    turns = (part for turn in turns_of(messages) for part in _turn(agent_id, turn))
    return "\n".join((head, *turns)).encode(errors="replace")


def file_name(conversation: str, suffix: str) -> str:
    """A name for the file that any system takes."""
    return f"{_UNSAFE.sub('-', conversation)[:80].strip('-.') or 'conversation'}.{suffix}"


def _turn(agent_id: str, turn: Turn) -> list[str]:
    when = f" ({turn.at})" if turn.at else ""
    parts: list[str] = []
    if turn.question is not None:
        who = "You" if turn.role == "user" else "System"
        parts.append(f"## {who}{when}\n\n{turn.question}\n")
        if turn.images:
            parts.append(f"*Images: {len(turn.images)}*\n")
    for call in turn.tools:
        arguments = orjson.dumps(call["arguments"]).decode()
        fence = "`" * (
            3 + max(map(len, re.findall("`+", f"{arguments}{call['result']}")), default=0)
        )
        parts.append(
            f"### Tool {call['name']}\n\n{fence}\n{arguments}\n{call['result']}\n{fence}\n"
        )
    if turn.answer is not None:
        stopped = ", stopped" if turn.cancelled else ""
        parts.append(f"## {agent_id}{stopped}\n\n{turn.answer}\n")
    return parts
