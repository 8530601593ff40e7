"""What the model is shown: profile, history and a new message become a prompt. And its answer.

No Celery, no Redis, no HTTP: the worker and the agents bring those.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from agents.past_message import for_model
from agents.profiles import Profile
from llm import (
    UNLIMITED,
    ChatRequest,
    Delta,
    Final,
    Fit,
    LLMSettings,
    ModelReply,
    Precedent,
    TokenBudget,
    estimated,
    fit,
    joined,
)

T = TypeVar("T")


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
    """What the model is asked for one turn; `history_messages` earlier messages are in it.

    `fit` is how long it is, by the estimate; `has_summary` whether a summary of earlier turns is
    in its system prompt.
    """

    request: ChatRequest
    history_messages: int
    fit: Fit
    has_summary: bool = False

    def asking(self, request: ChatRequest) -> "Prompt":
        """The same prompt after its request was changed: less may be left to estimate."""
        if request is self.request:
            return self
        messages = [message for message in request.messages if isinstance(message, Mapping)]
        fitting = self.fit.of(messages, _of_tools(request.tools))
        return replace(self, request=request, fit=fitting)


def history_limit(ask: Ask, profile: Profile) -> int:
    """How many earlier messages the model is shown."""
    return profile.max_history if ask.max_history is None else ask.max_history


def model_of(ask: Ask, profile: Profile, settings: LLMSettings) -> str:
    """The model that is asked."""
    return _first(ask.model, profile.model) or settings.model


def system_prompt_of(ask: Ask, profile: Profile) -> str | None:
    """The system prompt; empty or None: there is none."""
    return _first(ask.system_prompt, profile.system_prompt)


def reply_bound(ask: Ask, profile: Profile, settings: LLMSettings) -> int | None:
    """The most tokens that the reply may have; None: no bound but the window."""
    own = settings.reply_tokens(model_of(ask, profile, settings))
    # The model's own bound comes last. Unlike a window, this one reloads no model:
    # docs/decisions.md, "Window and reply are set per model, not per agent".
    return _first(ask.max_tokens, profile.max_tokens, own)


def prompt_for(
    ask: Ask,
    profile: Profile,
    history: Sequence[Mapping[str, object]],
    settings: LLMSettings,
    budget: TokenBudget = UNLIMITED,
    *,
    precedent: Precedent | None = None,
    steps: Sequence[Mapping[str, object]] = (),
    tools: Sequence[Mapping[str, object]] = (),
) -> Prompt:
    """The prompt of one turn: system prompt, recent whole turns, the new message, and what has
    followed it in this turn (`steps`: calls of tools and their results); `tools` are on offer.

    Of the last `max_history` messages (not counted: calls of tools and their results) those are
    shown that fit in `budget`, from where the session's last prompt began (`precedent`) as long as
    that is possible. A reply whose question is not shown is not shown either. Raises
    llm.ContextOverflowError where the new message alone does not fit.
    """
    system, turn = _system(ask, profile), [question_of(ask), *steps]
    # docs/decisions.md, "max_history is exact, the window is not".
    recent = [for_model(past) for past in history[_begin(history, history_limit(ask, profile)) :]]
    fitting = fit(
        system,
        recent,
        turn,
        budget,
        precedent=_of(recent, history, precedent),
        extra_tokens=_of_tools(tools),
    )
    shown = recent[fitting.first :]
    request = settings.chat_request(
        (*system, *shown, *turn),
        model=model_of(ask, profile, settings),
        temperature=_first(ask.temperature, profile.temperature),
        max_tokens=_first(ask.max_tokens, profile.max_tokens),
        left_tokens=budget.left_after(fitting.estimated_tokens),
    )
    request = replace(request, format=ask.format, think=ask.think, tools=tuple(tools))
    return Prompt(request, len(shown), fitting)


def _system(ask: Ask, profile: Profile) -> list[dict[str, object]]:
    prompt = system_prompt_of(ask, profile)
    return [{"role": "system", "content": prompt}] if prompt else []


def question_of(ask: Ask) -> dict[str, object]:
    """The user's new message, as the model is sent it."""
    # The history keeps them too: docs/decisions.md, "Images lie in the history".
    question: dict[str, object] = {"role": "user", "content": ask.message}
    return {**question, "images": list(ask.images)} if ask.images else question


async def read_answer(
    records: AsyncIterator[Delta | Final], on_delta: Callable[[Delta], None] | None = None
) -> ModelReply:
    """Read a stream to its end, handing each piece to `on_delta` as it comes.

    Raises what the stream raises; a stream without its end is a StreamCutError.
    """
    read: list[Delta | Final] = []
    async for record in records:
        read.append(record)
        if on_delta is not None and isinstance(record, Delta):
            on_delta(record)
    return joined(read)


def _begin(history: Sequence[Mapping[str, object]], limit: int) -> int:
    """Where the last `limit` messages begin that somebody has said."""
    # Calls of tools would use up the limit: docs/decisions.md, "max_history counts what is said".
    for at in range(len(history) - 1, -1, -1):
        limit -= history[at].get("role") != "tool" and "tool_calls" not in history[at]
        if limit < 0:
            return at + 1
    return 0


def _of_tools(tools: Sequence[Mapping[str, object]]) -> float:
    """About how many tokens the tools on offer have."""
    return estimated({"content": [*tools]}) if tools else 0.0


def _of(
    recent: Sequence[object], history: Sequence[object], precedent: Precedent | None
) -> Precedent | None:
    """The same precedent, counted from the begin of `recent`; none where it lies before that."""
    if precedent is None:
        return None
    # The history limit may have removed its beginning, or all of it.
    gone = len(history) - len(recent)
    if precedent.end <= gone:
        return None
    return replace(precedent, first=precedent.first - gone, end=precedent.end - gone)


def _first(*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)
