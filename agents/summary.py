"""A summary of what a conversation no longer shows: how it is asked for and shown. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm import ChatRequest, History, LLMSettings, TokenBudget, estimated, turn_starts

SUMMARY_TOKENS = 512
"""The longest summary: it is in every prompt of the session."""
MAX_SUMMARY_CHARS = 8192
MIN_CHARS = 256

_INSTRUCTION = (
    "You keep the notes of a conversation between a user and an assistant. Write a summary of it "
    "that the assistant can go on from: facts, names, numbers, decisions, wishes of the user and "
    "open questions. Take over what the notes so far say and is still true. Write in the language "
    "of the conversation, at most 250 words, nothing but the summary."
)
_HEADING = "Summary of the earlier conversation, which is not shown:"
_SPEAKERS = {"user": "User", "assistant": "Assistant", "tool": "Tool", "system": "Note"}


@dataclass(frozen=True, slots=True)
class Digest:
    """A request for a summary; the first `messages` of those that were given are in it."""

    request: ChatRequest
    messages: int


def with_summary(system_prompt: str | None, summary: str | None) -> str | None:
    """The system prompt and, after it, the summary: one message, for some models take only one."""
    # docs/decisions.md, "The summary is part of the system prompt".
    if not summary:
        return system_prompt
    noted = f"{_HEADING}\n{summary}"
    return f"{system_prompt}\n\n{noted}" if system_prompt else noted


def digest_of(
    past: History, so_far: str | None, budget: TokenBudget, settings: LLMSettings, model: str
) -> Digest | None:
    """What to ask for a summary of `past`, as many whole turns from its begin as fit in `budget`.

    A turn that does not fit even alone is shortened. None where there is no whole turn.
    """
    starts = turn_starts(past)
    if not starts:
        return None
    # `estimated` knows no ratio, so the budget is brought to its measure.
    left_tokens = budget.prompt_tokens / budget.ratio - sum(map(estimated, _messages([], so_far)))
    taken, used_tokens = 0, 0.0
    for end in (*starts[1:], len(past)):
        used_tokens += sum(map(estimated, past[taken:end]))
        if taken and used_tokens > left_tokens:
            break
        taken = end
    # One character to a token is little for most scripts, and too much for none but a few.
    is_long = taken == (*starts[1:], len(past))[0] and used_tokens > left_tokens
    most_chars = max(MIN_CHARS, int(left_tokens)) if is_long else None
    request = settings.chat_request(
        tuple(_messages(past[:taken], so_far, most_chars)),
        model=model,
        temperature=0.0,
        max_tokens=SUMMARY_TOKENS,
    )
    return Digest(request, taken)


def _messages(
    past: History, so_far: str | None, most_chars: int | None = None
) -> list[Mapping[str, object]]:
    notes = f"The notes so far:\n{so_far}\n\n" if so_far else ""
    said = "\n".join(_lines(past))[:most_chars]
    return [
        {"role": "system", "content": _INSTRUCTION},
        {"role": "user", "content": f"{notes}The conversation:\n{said}"},
    ]


def _lines(past: Sequence[Mapping[str, object]]) -> list[str]:
    # A message that only calls tools says nothing; its content may be None.
    return [
        f"{_SPEAKERS.get(str(one.get('role')), 'Note')}: {content}"
        for one in past
        if (content := one.get("content"))
    ]
