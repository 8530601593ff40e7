"""An agent that holds one conversation in the memory of its process."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from agents.empty_reply import again
from agents.profiles import Profile, Profiles
from agents.prompt import FULL, Ask, Prompt, PromptForm, model_of, prompt_for, reply_bound
from agents.settings import read_agent_settings
from llm import (
    ContextOverflowError,
    LLMService,
    Precedent,
    RequestRejectedError,
    TokenBudget,
    get_llm_service,
)


class SessionInfo(TypedDict):
    """What `get_session_info` returns."""

    agent_id: str
    session_id: str | None
    history_length: int
    keep_history: bool
    max_history: int
    use_redis: bool


class BaseAgent:
    """One agent in one conversation: `agent.chat("…")` answers and remembers.

    `max_history` bounds the earlier messages that the model is shown and the history kept here;
    None takes it from the agent's profile. With `keep_history=False` each message stands alone.
    An unknown `agent_id` speaks with the default profile. One agent serves one thread at a time.
    """

    def __init__(
        self,
        agent_id: str,
        session_id: str | None = None,
        keep_history: bool = True,
        max_history: int | None = None,
        *,
        llm: LLMService | None = None,
        profiles: Profiles | None = None,
    ) -> None:
        if max_history is not None and max_history < 0:
            raise ValueError(f"max_history must be 0 or more, not {max_history}")
        self.agent_id = agent_id
        self.session_id = session_id
        self.keep_history = keep_history
        self.profile: Profile = (profiles or Profiles.load(read_agent_settings())).of(agent_id)
        self.max_history = self.profile.max_history if max_history is None else max_history
        self._llm = llm or get_llm_service()
        self._messages: list[Mapping[str, object]] = []
        self._last: Prompt | None = None

    @property
    def history(self) -> list[Mapping[str, object]]:
        """The conversation so far, oldest first: at most `max_history` messages."""
        return list(self._messages)

    def chat(
        self,
        message: str,
        *,
        system_prompt: str | None = None,
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> str:
        """Answer `message`, and remember both if history is kept.

        The model is shown as many whole turns as fit its window. Nothing is remembered where it
        fails. Raises llm.LLMError.
        """
        ask = Ask(
            message=message,
            system_prompt=system_prompt,
            model=model,
            temperature=temperature,
            max_tokens=max_tokens,
            max_history=self.max_history,
        )
        reply = self._reply(ask)
        if self.keep_history:
            self._remember(
                [{"role": "user", "content": message}, {"role": "assistant", "content": reply}]
            )
        return reply

    def reset_history(self) -> None:
        """Forget the conversation."""
        self._messages = []

    def get_session_info(self) -> SessionInfo:
        """Whose conversation this is, and how long it has become."""
        return SessionInfo(
            agent_id=self.agent_id,
            session_id=self.session_id,
            history_length=len(self.history),
            keep_history=self.keep_history,
            max_history=self.max_history,
            use_redis=False,
        )

    def _reply(self, ask: Ask) -> str:
        """The model's reply; where its server refuses the conversation, to a plainer form of it.

        docs/decisions.md, "What a server refuses is asked in a plainer form".
        """
        try:
            return self._reply_to(ask, FULL)
        except ContextOverflowError:
            raise
        except RequestRejectedError as refusal:
            if not self._messages or not self.keep_history:
                raise
            form = FULL.plainer
            while form is not None:
                try:
                    return self._reply_to(ask, form)
                except RequestRejectedError:
                    form = form.plainer
            raise refusal from None

    def _reply_to(self, ask: Ask, form: PromptForm) -> str:
        """The model's reply to as much of the conversation as fits its window.

        A prompt that the model refuses as too long is made shorter once and sent again.
        """
        earlier = self.history if self.keep_history else []
        settings, precedent = self._llm.settings, self._precedent(len(earlier))

        def make(budget: TokenBudget) -> Prompt:
            return prompt_for(
                ask,
                self.profile,
                earlier,
                settings,
                budget,
                precedent=precedent,
                form=form,
                begins_session=len(earlier) < self.max_history,
            )

        model = model_of(ask, self.profile, settings)
        bound = reply_bound(ask, self.profile, settings)
        limits = self._llm.context_limits
        prompt = make(limits.budget(model, bound))
        try:
            reply = self._llm.complete(prompt.request)
        except ContextOverflowError as refusal:
            shorter = make(limits.budget_after(model, bound, prompt.fit, refusal))
            # Nothing is left to leave out: the message itself is too long.
            if shorter.history_messages >= prompt.history_messages:
                raise
            prompt, reply = shorter, self._llm.complete(shorter.request)
        if (request := again(prompt.request, reply)) is not None:
            reply = self._llm.complete(request)
        limits.learn(model, prompt.fit, reply.final)
        self._last = prompt
        return reply.text

    def _precedent(self, messages: int) -> Precedent | None:
        """The last prompt of this agent, in a history of so many messages."""
        if self._last is None:
            return None
        end = messages - 1  # its question and its reply are the last two of the history
        return Precedent(end - 1 - self._last.history_messages, max(0, end))

    def _remember(self, turn: Sequence[Mapping[str, object]]) -> None:
        self._messages.extend(turn)
        # This may part a reply from its question; `fit` then shows neither.
        del self._messages[: max(0, len(self._messages) - self.max_history)]
