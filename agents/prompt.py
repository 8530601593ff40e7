"""What the model is shown: profile, history and a new message become a prompt. And its answer.

No Celery, no Redis, no HTTP: the worker and the agents bring those.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from agents.past_message import for_model
from agents.profiles import Profile
from agents.prompt_order import NOTHING_DONE, Message, Ordered, Repairs, in_order
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
    merged,
    turn_starts,
)

T = TypeVar("T")

OPENING_TOKENS = 256.0
"""What the assistant says before anybody asks is shown where it is no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a user asks, and what the caller wants other than the profile says (None: as it says).

    `max_history` counts earlier messages that the model is shown; `max_tokens` bounds the reply.
    `images` (base64), `format` and `think` are as in Ollama's /api/chat, `sampling` its options by
    which the model chooses its words.
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
    sampling: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptForm:
    """What of a conversation its model takes: images and tools of earlier turns, a system prompt.

    Without `has_history` it is shown the new message alone.
    """

    takes_images: bool = True
    takes_tools: bool = True
    takes_system: bool = True
    has_history: bool = True

    @property
    def plainer(self) -> "PromptForm | None":
        """What is tried where a model's server refuses this one; None where nothing is left."""
        if self == PLAIN:
            return replace(PLAIN, has_history=False)
        return PLAIN if self.has_history else None


FULL = PromptForm()
PLAIN = PromptForm(takes_images=False, takes_tools=False, takes_system=False)
"""Nothing but texts of user and assistant in turns."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is asked for one turn; `history_messages` earlier messages are in it.

    `fit` is how long it is, by the estimate; `has_summary` whether a summary of earlier turns is
    in its system prompt. `repairs` is what was done to bring it in order: messages of the history
    count from 0, the new one is the next, and what followed it comes after that.
    """

    request: ChatRequest
    history_messages: int
    fit: Fit
    has_summary: bool = False
    repairs: Repairs = NOTHING_DONE
    form: PromptForm = FULL


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
    form: PromptForm = FULL,
    begins_session: bool = False,
) -> Prompt:
    """The prompt of one turn: system prompt, recent whole turns, the new message, and what has
    followed it in this turn (`steps`: calls of tools and their results); `tools` are on offer.

    Of the last `max_history` messages (not counted: calls of tools and their results) those are
    shown that fit in `budget`, from where the session's last prompt began (`precedent`) as long as
    that is possible. A reply without its question is shown only where with it the session begins
    (`begins_session`: `history` is all of it). All is in the order that strict templates take.
    Raises llm.ContextOverflowError where the new message alone does not fit.
    """
    system, turn = _system(ask, profile), [question_of(ask), *map(for_model, steps)]
    begin, recent = _recent(ask, profile, history, form)
    opening = _opening(recent) if begins_session and not begin else 0
    extra_tokens = _of_tools(tools) + sum(map(estimated, recent[:opening]))
    known = _of(recent, history, precedent)
    fitting = fit(system, recent, turn, budget, precedent=known, extra_tokens=extra_tokens)
    first = 0 if opening and not fitting.is_cut else fitting.first
    ordered = _ordered(ask, profile, form, [*recent[first:], *turn], begin + first)
    if ordered.repairs:
        fitting = fitting.of(ordered.messages, _of_tools(tools))
    left_tokens = budget.left_after(fitting.estimated_tokens)
    request = _request(ask, profile, settings, left_tokens, messages=ordered.messages, tools=tools)
    return Prompt(request, len(recent) - first, fitting, False, ordered.repairs, form)


def _ordered(
    ask: Ask, profile: Profile, form: PromptForm, messages: Sequence[Message], first: int
) -> Ordered:
    return in_order(
        system_prompt_of(ask, profile),
        messages,
        first=first,
        takes_tools=form.takes_tools,
        takes_system=form.takes_system,
    )


def _request(
    ask: Ask,
    profile: Profile,
    settings: LLMSettings,
    left_tokens: int | None,
    *,
    messages: tuple[Mapping[str, object], ...],
    tools: Sequence[Mapping[str, object]],
) -> ChatRequest:
    return settings.chat_request(
        messages,
        model=model_of(ask, profile, settings),
        temperature=_first(ask.temperature, profile.temperature),
        max_tokens=_first(ask.max_tokens, profile.max_tokens),
        left_tokens=left_tokens,
        sampling=ask.sampling,
        reply_format=ask.format,
        think=ask.think,
        tools=tuple(tools),
    )


def _recent(
    ask: Ask, profile: Profile, history: Sequence[Mapping[str, object]], form: PromptForm
) -> tuple[int, list[dict[str, object]]]:
    """Where the part of a history begins that may be shown, and that part."""
    # docs/decisions.md, "max_history is exact, the window is not".
    begin = _begin(history, history_limit(ask, profile)) if form.has_history else len(history)
    recent = [for_model(past) for past in history[begin:]]
    if not form.takes_images:
        for shown in recent:
            shown.pop("images", None)
    return begin, recent


def _opening(recent: Sequence[Mapping[str, object]]) -> int:
    """How many messages the assistant has said before anybody asked; 0 for what is too long."""
    first = next(iter(turn_starts(recent)), len(recent))
    is_short = sum(map(estimated, recent[:first])) <= OPENING_TOKENS
    return first if is_short else 0


def _system(ask: Ask, profile: Profile) -> list[dict[str, object]]:
    prompt = system_prompt_of(ask, profile)
    return [{"role": "system", "content": prompt}] if prompt else []


def question_of(ask: Ask) -> dict[str, object]:
    """The user's new message, as the model is sent it."""
    # The history keeps them too: docs/decisions.md, "Images lie in the history".
    question: dict[str, object] = {"role": "user", "content": ask.message}
    return {**question, "images": list(ask.images)} if ask.images else question


async def read_answer(
    chunks: AsyncIterator[Sequence[Delta | Final]],
    on_said: Callable[[Delta, int], None],
) -> ModelReply:
    """Read a stream to its end, handing what comes together to `on_said`, with the
    number of its pieces.

    Raises what the stream raises; a stream without its end is a StreamCutError.
    """
    read: list[Delta | Final] = []
    async for records in chunks:
        if deltas := [record for record in records if isinstance(record, Delta)]:
            read.append(said := merged(deltas))
            on_said(said, len(deltas))
        else:
            read += records
    return joined(read)


def _begin(history: Sequence[Mapping[str, object]], limit: int) -> int:
    """Where the last `limit` messages begin that somebody has said."""
    if len(history) <= limit:
        return 0
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
    for value in values:
        if value is not None:
            return value
    return None
