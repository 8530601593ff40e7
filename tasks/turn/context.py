"""What the model is shown for one turn: history, summary, message, tools, within its abilities."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agents import Ask, Profile, Prompt, ToolRounds, prompt_for
from agents.prompt import history_limit, model_of, reply_bound, system_prompt_of
from agents.summary import MAX_SUMMARY_CHARS, with_summary
from llm import (
    Ability,
    Capabilities,
    ChatRequest,
    LLMSettings,
    Precedent,
    TokenBudget,
    is_same,
)
from memory import Acquired, AsyncConnection, MemoryServiceError, SessionKeys, summary
from tasks.job.job import ChatJob

logger = logging.getLogger(__name__)

# docs/decisions.md, "max_history counts what is said".
MESSAGES_PER_SAID = 4
"""So many messages are brought for each that a person or the model said, where tools may be called:
calls of tools and their results lie between them."""
MOST_MESSAGES = 1000

Messages = Sequence[Mapping[str, object]]


class TurnContext:
    """What one turn shows its model. `prompt` fits it into a token budget, as often as asked."""

    def __init__(
        self,
        ask: Ask,
        profile: Profile,
        settings: LLMSettings,
        capabilities: Capabilities,
        *,
        history: Messages,
        stored_messages: int,
        rounds: ToolRounds,
        summary_text: str | None = None,
    ) -> None:
        """`history` are the last of the session's `stored_messages`; `summary_text` sums up what
        came before them."""
        self.model = model_of(ask, profile, settings)
        self.reply_tokens = reply_bound(ask, profile, settings)
        self._ask = ask
        self._profile = profile
        self._settings = settings
        self._capabilities = capabilities
        self._history = history
        self._stored_messages = stored_messages
        self._rounds = rounds
        # Any worker cuts where the last prompt was cut, so that the model server can use its prefix
        # cache (docs/decisions.md, "The cut of a conversation is kept in its own record").
        self._precedent = precedent_of(history, self.model)
        self._summarised = _with_summary(ask, profile, summary_text)

    async def prompt(self, budget: TokenBudget) -> Prompt:
        """The prompt that fits into `budget`.

        The summary is in it where not all stored messages are. Raises ContextOverflowError where
        the new message alone does not fit, and UnsupportedError for what the model cannot do.
        """
        prompt = self._fitted(self._ask, budget)
        if self._summarised is not None and prompt.history_messages < self._stored_messages:
            prompt = replace(self._fitted(self._summarised, budget), has_summary=True)
        request = await within_abilities(prompt.request, self._ask, self._capabilities)
        return prompt.asking(request)

    def _fitted(self, ask: Ask, budget: TokenBudget) -> Prompt:
        return prompt_for(
            ask,
            self._profile,
            self._history,
            self._settings,
            budget,
            precedent=self._precedent,
            steps=self._rounds.steps,
            tools=self._rounds.offered,
        )


def messages_to_bring(profile: Profile, max_history: int | None) -> int:
    """How many messages of the history a turn needs, to show `max_history` that were said.

    None: as many as the profile says.
    """
    said = profile.max_history if max_history is None else max_history
    return max(said, min(said * MESSAGES_PER_SAID, MOST_MESSAGES)) if profile.tools else said


async def summary_of(
    memory: AsyncConnection, keys: SessionKeys, profile: Profile, job: ChatJob, acquired: Acquired
) -> str | None:
    """The summary of the session's earlier turns; None where there is none.

    Nor is there one for a job that wants no history, or while Redis does not answer.
    """
    is_wanted = profile.summary and history_limit(job.ask, profile)
    if not is_wanted or not acquired.stored_messages:
        return None
    try:
        found = await memory.run(summary.read(keys))
    except MemoryServiceError as exc:
        logger.warning("the turn is answered without its summary, Redis failed: %s", exc)
        return None
    # Cut, for another program may have written it: a longer one would leave no room for the turn.
    return None if found is None else found.text[:MAX_SUMMARY_CHARS]


def _with_summary(ask: Ask, profile: Profile, text: str | None) -> Ask | None:
    if text is None:
        return None
    return replace(ask, system_prompt=with_summary(system_prompt_of(ask, profile), text))


def precedent_of(history: Messages, model: str) -> Precedent | None:
    """The prompt of the last turn whose reply has a record of it; None where there is none.

    Its token count holds for `model` only if that model was asked.
    """
    for end in range(len(history) - 1, -1, -1):
        reply = history[end]
        shown = reply.get("history_messages")
        if reply.get("role") == "assistant" and isinstance(shown, int) and shown >= 0:
            question = next((at for at in range(end, -1, -1) if _is_users(history[at])), None)
            if question is None:
                return None
            return Precedent(question - shown, end, _counted(reply, model))
    return None


def _counted(reply: Mapping[str, object], model: str) -> int:
    receipt = reply.get("receipt")
    named = reply.get("model")
    if not isinstance(receipt, Mapping) or not isinstance(named, str) or not is_same(named, model):
        return 0
    counted = receipt.get("prompt_tokens")
    # Also of a prompt whose reply ran past the window: all of it was counted before.
    return counted if isinstance(counted, int) else 0


def _is_users(message: Mapping[str, object]) -> bool:
    return message.get("role") == "user"


async def within_abilities(
    request: ChatRequest, ask: Ask, capabilities: Capabilities
) -> ChatRequest:
    """The request as its model can take it.

    Images of earlier turns are left out for a model that cannot see them. Raises UnsupportedError
    for what this turn itself wants and the model is known to lack; where the server does not say,
    it is left to refuse. A plain request looks nothing up.
    """
    # docs/decisions.md, "Abilities are looked up only where they are needed".
    await capabilities.require(request.model, wanted_abilities(request, ask))
    if not ask.images and any(map(_has_images, request.messages)):
        known = await capabilities.of(request.model)
        if known is not None and Ability.VISION not in known:
            return without_images(request)
    return request


def wanted_abilities(request: ChatRequest, ask: Ask) -> list[Ability]:
    """What this turn needs besides text."""
    needs = {
        Ability.TOOLS: bool(request.tools),
        Ability.THINKING: bool(request.think),
        Ability.VISION: bool(ask.images),
    }
    return [ability for ability, is_needed in needs.items() if is_needed]


def without_images(request: ChatRequest) -> ChatRequest:
    """The same request for a model that reads text only."""
    messages = tuple(
        {name: value for name, value in message.items() if name != "images"}
        if isinstance(message, Mapping)
        else message
        for message in request.messages
    )
    return replace(request, messages=messages)


def _has_images(message: object) -> bool:
    return isinstance(message, Mapping) and bool(message.get("images"))
