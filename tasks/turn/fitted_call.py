"""One call of the model whose prompt fits: shortened and sent again where it was cut.

The prompt is made for the token budget that the model is thought to have. Where the model refuses
it as too long, the budget is measured anew and the model is called once more.
"""

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from agents import Prompt, read_answer
from llm import (
    ChatRequest,
    ContextLimits,
    ContextOverflowError,
    Delta,
    Final,
    ModelReply,
    RequestRejectedError,
    TokenBudget,
)
from llm.servers.stays import load_request
from telemetry import tracing

logger = logging.getLogger(__name__)

ONCE_MORE = "it is shortened and sent again"


class PromptSource(Protocol):
    """What makes the prompts of one turn, for whatever budget there is."""

    @property
    def model(self) -> str:
        """The model that is called."""

    @property
    def reply_tokens(self) -> int | None:
        """The most tokens that the reply may have; None: no bound but the window."""

    async def prompt(self, budget: TokenBudget) -> Prompt:
        """The prompt that fits. Raises ContextOverflowError."""

    def make_plainer(self) -> bool:
        """Show less of the conversation from now on. False where nothing of it is left."""


class ReplyListener(Protocol):
    """What hears the reply as it comes."""

    def on_start(self, model: str) -> None:
        """The model is called; what was heard before this does not count any more."""

    def on_prompt(self, tokens: int) -> None:
        """A prompt is sent, which has so many tokens by the estimate."""

    def on_said(self, said: Delta, pieces: int) -> None:
        """So many pieces of the reply have come together."""

    def on_answer(self, final: Final) -> None:
        """The reply is whole."""


@dataclass(frozen=True, slots=True)
class FittedReply:
    """A prompt and its answer. `is_truncated`: the answer ran past the window, so that the model
    did not see the whole prompt to its end; `is_second`: an empty answer came before it."""

    prompt: Prompt
    answer: ModelReply
    budget: TokenBudget
    is_truncated: bool = False
    is_second: bool = False


class FittedCall:
    """Calls models; `chunks` sends a request, `limits` knows how long a prompt may be."""

    def __init__(
        self,
        limits: ContextLimits,
        chunks: Callable[[ChatRequest], AsyncGenerator[Sequence[Delta | Final], None]],
        listener: ReplyListener,
    ) -> None:
        self._limits = limits
        self._chunks = chunks
        self._listener = listener
        self._is_sent = False

    async def ask(self, source: PromptSource) -> FittedReply:
        """Call the model, and where its server refuses the prompt ask in a plainer form.

        Raises LLMError: of several refusals the first. docs/decisions.md, "What a server refuses is
        asked in a plainer form".
        """
        refusal: RequestRejectedError | None = None
        while True:
            try:
                return await self._ask_fitted(source)
            except ContextOverflowError as overflow:
                raise refusal or overflow from None
            except RequestRejectedError as exc:
                refusal = refusal or exc
                # What the turn itself wants and its model lacks is known before anything is sent.
                if not self._is_sent or not source.make_plainer():
                    raise refusal from None
                logger.warning("%s; its history is simplified and sent again", exc)

    async def _ask_fitted(self, source: PromptSource) -> FittedReply:
        """Call the model at most twice."""
        with tracing.child("prompt") as span:
            budget, prompt, has_started = await self._first_prompt(source)
            tracing.note(span, _facts(prompt))
        try:
            return await self._ask_once(prompt, budget, has_started=has_started)
        except ContextOverflowError as refusal:
            logger.warning("%s; %s", refusal, ONCE_MORE)
            shorter = await self._shorter(source, prompt, refusal)
            if shorter is None:
                raise
            return await self._ask_once(*shorter)

    async def _first_prompt(self, source: PromptSource) -> tuple[TokenBudget, Prompt, bool]:
        """The prompt for the model's budget, and whether the listener heard the start.

        Where the window is only assumed and something would be left out for it, or the reply could
        run past it, the model is loaded first: then its window is known.
        """
        budget = await self._limits.budget(source.model, source.reply_tokens)
        prompt = await source.prompt(budget)
        is_needed = prompt.fit.is_cut or prompt.request.may_run_past
        if budget.is_known or not is_needed or not self._limits.reports_window(source.model):
            return budget, prompt, False
        self._listener.on_start(source.model)
        async with aclosing(self._chunks(load_request(prompt.request))) as records:
            async for _ in records:
                pass
        self._limits.doubt(source.model)
        budget = await self._limits.budget(source.model, source.reply_tokens)
        return budget, await source.prompt(budget), True

    async def _shorter(
        self, source: PromptSource, prompt: Prompt, refusal: ContextOverflowError
    ) -> tuple[Prompt, TokenBudget] | None:
        """The prompt for a smaller budget; None where nothing more can be left out."""
        budget = await self._limits.budget_after(
            source.model, source.reply_tokens, prompt.fit, refusal
        )
        try:
            shorter = await source.prompt(budget)
        except ContextOverflowError:
            return None
        # Messages that were merged count as one in the request.
        is_shorter = shorter.history_messages < prompt.history_messages
        return (shorter, budget) if is_shorter else None

    async def _ask_once(
        self, prompt: Prompt, budget: TokenBudget, *, has_started: bool = False
    ) -> FittedReply:
        model = prompt.request.model
        if not has_started:
            self._listener.on_start(model)
        self._is_sent = True
        self._listener.on_prompt(prompt.fit.estimated_tokens)
        async with aclosing(self._chunks(prompt.request)) as chunks:
            answer = await read_answer(chunks, self._listener.on_said)
        self._listener.on_answer(answer.final)
        self._limits.learn(model, prompt.fit, answer.final)
        is_truncated = self._limits.ran_past(model, answer.final)
        return FittedReply(prompt, answer, budget, is_truncated)


def _facts(prompt: Prompt) -> dict[str, int]:
    """What the span of a prompt says of it."""
    return {
        "griot.prompt.messages": len(prompt.request.messages),
        "griot.prompt.history_messages": prompt.history_messages,
        "griot.prompt.estimated_tokens": prompt.fit.estimated_tokens,
    }
