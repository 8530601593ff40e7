"""What the model is shown for one turn: history, summary, message, tools, within its abilities."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agents import FULL, Ask, Profile, Prompt, PromptForm, ToolRounds, prompt_for
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
from memory import (
    Acquired,
    AsyncConnection,
    CannotRead,
    MemoryServiceError,
    SessionKeys,
    summary,
)
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
        done: Messages = (),
        summary_text: str | None = None,
    ) -> None:
        """`history` are the last of the session's `stored_messages`; `summary_text` sums up what
        came before them. `done` is what has followed the question before this turn: calls of the
        client's functions, and their results."""
        self.model = model_of(ask, profile, settings)
        self.reply_tokens = reply_bound(ask, profile, settings)
        self._ask = ask
        self._profile = profile
        self._settings = settings
        self._capabilities = capabilities
        self._history = history
        self._stored_messages = stored_messages
        self._rounds = rounds
        self._done = done
        # Any worker cuts where the last prompt was cut, so that the model server can use its prefix
        # cache (docs/decisions.md, "The cut of a conversation is kept in its own record").
        self._precedent = precedent_of(history, self.model)
        self._summary_text = summary_text
        self._form = FULL

    async def prompt(self, budget: TokenBudget) -> Prompt:
        """The prompt that fits into `budget`.

        The summary is in it where not all stored messages are. Raises ContextOverflowError where
        the new message alone does not fit, and UnsupportedError for what the model cannot do.
        """
        prompt = self._made(budget, self._form)
        request, model = prompt.request, self.model
        # docs/decisions.md, "Abilities are looked up only where they are needed".
        await self._capabilities.require(model, wanted_abilities(request, self._ask))
        form = await form_for(request, self._form, self._ask, self._capabilities)
        return prompt if form == self._form else self._made(budget, form)

    def make_plainer(self) -> bool:
        """Show less of the conversation from now on; False where nothing of it is shown any more.

        For a prompt that the model's server refuses, whatever it is of it that it refuses.
        """
        form = self._form.plainer if self._history else None
        self._form = form or self._form
        return form is not None

    def without_thinking(self) -> None:
        """Tell the model from now on not to think."""
        self._ask = replace(self._ask, think=False)

    def _made(self, budget: TokenBudget, form: PromptForm) -> Prompt:
        prompt = self._fitted(self._ask, budget, form)
        summarised = _with_summary(self._ask, self._profile, self._summary_text)
        if summarised is not None and prompt.history_messages < self._stored_messages:
            return replace(self._fitted(summarised, budget, form), has_summary=True)
        return prompt

    def _fitted(self, ask: Ask, budget: TokenBudget, form: PromptForm) -> Prompt:
        return prompt_for(
            ask,
            self._profile,
            self._history,
            self._settings,
            budget,
            precedent=self._precedent,
            steps=[*self._done, *self._rounds.steps],
            tools=self._rounds.offered,
            form=form,
            begins_session=len(self._history) >= self._stored_messages,
        )


def messages_to_bring(
    profile: Profile, max_history: int | None, *, has_functions: bool = False
) -> int:
    """How many messages of the history a turn needs, to show `max_history` that were said.

    None: as many as the profile says.
    """
    said = profile.max_history if max_history is None else max_history
    has_tools = profile.tools or has_functions
    return max(said, min(said * MESSAGES_PER_SAID, MOST_MESSAGES)) if has_tools else said


async def summary_of(
    memory: AsyncConnection, keys: SessionKeys, profile: Profile, job: ChatJob, acquired: Acquired
) -> str | None:
    """The summary of the session's earlier turns; None where there is none.

    Nor is there one for a job that wants no history, or while Redis does not answer. Raises
    CannotRead.
    """
    is_wanted = profile.summary and history_limit(job.ask, profile)
    if not is_wanted or not acquired.stored_messages:
        return None
    try:
        found = await memory.run(summary.read(keys))
    except CannotRead:
        raise  # nobody mends that by waiting a moment
    except MemoryServiceError as exc:
        logger.warning("the turn is answered without its summary, because Redis failed: %s", exc)
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


async def form_for(
    request: ChatRequest, form: PromptForm, ask: Ask, capabilities: Capabilities
) -> PromptForm:
    """The form in which a model can take a request that was made in `form`.

    Images of earlier turns are left out for a model that cannot see them, and calls of tools are
    shown as text to one that knows none. Where its server does not say, it is left to refuse. A
    plain request looks nothing up.
    """
    objects = [one for one in request.messages if not isinstance(one, bytes)]
    more = [one for one in objects if "images" in one or one["role"] == "tool"]
    has_images = not ask.images and any(one.get("images") for one in more)
    has_tools = not request.tools and any(one["role"] == "tool" for one in more)
    if not has_images and not has_tools:
        return form
    known = await capabilities.of(request.model)
    if known is None:
        return form
    return replace(
        form,
        takes_images=form.takes_images and not (has_images and Ability.VISION not in known),
        takes_tools=form.takes_tools and not (has_tools and Ability.TOOLS not in known),
    )


def wanted_abilities(request: ChatRequest, ask: Ask) -> list[Ability]:
    """What this turn needs besides text."""
    needs = {
        Ability.TOOLS: bool(request.tools),
        Ability.THINKING: bool(request.think),
        Ability.VISION: bool(ask.images),
    }
    return [ability for ability, is_needed in needs.items() if is_needed]
