"""Replies that say nothing: how they are told apart, and whether asking once more may help. Pure.

docs/decisions.md, "An empty reply is asked for once more".
"""

from enum import StrEnum

from llm import ChatRequest, ModelReply


class Emptiness(StrEnum):
    """What a reply without an answer consists of."""

    BLANK = "blank"
    """Nothing, or white space only."""
    THINKING = "thinking"
    """Thoughts only: the answer they were to lead to never came."""


def emptiness_of(reply: ModelReply) -> Emptiness | None:
    """What an empty reply consists of; None for a reply that answers, or calls tools."""
    if reply.text.strip() or reply.tool_calls:
        return None
    return Emptiness.THINKING if reply.thinking.strip() else Emptiness.BLANK


def again(request: ChatRequest, reply: ModelReply) -> ChatRequest | None:
    """The request by which the same question may get an answer; None where nothing would change.

    A model that has only thought is told not to. A blank reply may be another one the next time,
    unless it is always the same (temperature 0) or had no room (`done_reason` "length"). With a
    format it is a misfit, which is tried again as any other.
    """
    has_format = request.format is not None
    has_room = reply.final.done_reason != "length"
    match emptiness_of(reply):
        case Emptiness.THINKING if request.think is not False:
            # With a format a model is told so at once, unless its job wants it to think.
            return None if has_format and request.think is None else request.without_thinking()
        case Emptiness.BLANK if request.temperature != 0 and has_room and not has_format:
            return request
    return None
