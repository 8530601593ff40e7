"""One turn of a conversation: profile, history and a new message become a request, then a reply.

No Celery, no Redis, no HTTP: the worker and the agents bring those.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from agents.profiles import Profile
from llm import ChatRequest, Delta, Final, LLMSettings, StreamCutError

T = TypeVar("T")

# What Ollama reads of a message (api/types.go, Message); our own fields stay at home.
_MODEL_FIELDS = ("role", "content", "images", "thinking", "tool_calls", "tool_name", "tool_call_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a user asks, and what the caller wants other than the profile says (None: as it says).

    `max_history` counts earlier messages that the model is shown; `max_tokens` bounds the reply.
    `images` (base64), `format` and `think` are as in Ollama's /api/chat.
    """

    message: str
    system_prompt: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    max_history: int | None = None
    images: tuple[str, ...] = field(default=(), repr=False)
    format: str | Mapping[str, object] | None = field(default=None, repr=False)
    think: bool | str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is asked for one turn; `history_messages` earlier messages are in it."""

    request: ChatRequest
    history_messages: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The model's whole reply to one request, and its counts."""

    text: str
    final: Final


def window_of(ask: Ask, profile: Profile) -> int:
    """How many earlier messages the model is shown."""
    return profile.max_history if ask.max_history is None else ask.max_history


def prompt_for(
    ask: Ask, profile: Profile, history: Sequence[Mapping[str, object]], settings: LLMSettings
) -> Prompt:
    """The prompt of one turn: system prompt, the last messages of the history, the new message.

    The history begins with a user's message: a reply whose question fell out of the window goes
    with it.
    """
    system_prompt = _first(ask.system_prompt, profile.system_prompt)
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    shown = _shown(history, window_of(ask, profile))
    request = settings.chat_request(
        (*system, *shown, question_of(ask)),
        model=_first(ask.model, profile.model),
        temperature=_first(ask.temperature, profile.temperature),
        max_tokens=_first(ask.max_tokens, profile.max_tokens),
    )
    return Prompt(replace(request, format=ask.format, think=ask.think), len(shown))


def question_of(ask: Ask) -> dict[str, object]:
    """The user's new message, as the model is sent it."""
    question: dict[str, object] = {"role": "user", "content": ask.message}
    return {**question, "images": list(ask.images)} if ask.images else question


async def read_answer(
    records: AsyncIterator[Delta | Final], on_delta: Callable[[Delta], None] | None = None
) -> Answer:
    """Read a stream to its end, handing each piece to `on_delta` as it comes.

    Raises what the stream raises; a stream without its end is a StreamCutError.
    """
    parts: list[str] = []
    final: Final | None = None
    async for record in records:
        if isinstance(record, Final):
            final = record
            continue
        parts.append(record.text)
        if on_delta is not None:
            on_delta(record)
    if final is None:
        raise StreamCutError("the reply ended before it was complete")
    return Answer("".join(parts), final)


def _shown(history: Sequence[Mapping[str, object]], window: int) -> list[Mapping[str, object]]:
    recent = list(history[-window:]) if window else []
    while recent and recent[0].get("role") not in {"user", "system"}:
        recent.pop(0)
    return [{name: past[name] for name in _MODEL_FIELDS if name in past} for past in recent]


def _first(*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)
