"""One question to the model that is answered honestly: shortened and asked again where it was cut.

The prompt is made for the room that the model is thought to have. Where the model refuses it as too
long, or its count shows that Ollama cut it silently, the room is measured anew and the model asked
once more.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from agents import Prompt, read_answer
from llm import (
    ChatRequest,
    ContextLimits,
    ContextOverflowError,
    Delta,
    Final,
    ModelReply,
    TokenBudget,
)
from llm.servers.warmup import load_request

logger = logging.getLogger(__name__)

ONCE_MORE = "it is shortened and asked once more"


class Listener(Protocol):
    """Who hears the reply as it comes."""

    def on_start(self, model: str) -> None:
        """The model is asked; what was heard before this counts no more."""

    def on_delta(self, delta: Delta) -> None:
        """A piece of the reply."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer. `is_truncated`: the model has seen a part of the prompt only."""

    prompt: Prompt
    answer: ModelReply
    budget: TokenBudget
    is_truncated: bool = False


class FittedCall:
    """Asks one model; `stream` sends a request, `gauge` knows the room."""

    def __init__(
        self,
        context_limits: ContextLimits,
        stream: Callable[[ChatRequest], AsyncGenerator[Delta | Final, None]],
        listener: Listener,
    ) -> None:
        self._context_limits = context_limits
        self._stream = stream
        self._listener = listener

    async def ask(
        self, make: Callable[[TokenBudget], Awaitable[Prompt]], model: str, max_tokens: int | None
    ) -> Exchange:
        """Ask what `make` makes of the room for it, at most twice. Raises LLMError.

        An answer to a prompt that was cut the second time too is marked as such.
        """
        budget, prompt, is_begun = await self._fitted(make, model, max_tokens)
        try:
            first = await self._ask_once(prompt, budget, is_begun=is_begun)
        except ContextOverflowError as refusal:
            logger.warning("%s; %s", refusal, ONCE_MORE)
            budget = await self._context_limits.budget_after(model, max_tokens, prompt.fit, refusal)
            shorter = await _shorter(make, budget, prompt)
            if shorter is None:
                raise
            return await self._ask_once(shorter, budget)
        if not first.is_truncated:
            return first
        logger.warning("Ollama has cut a prompt for model %s silently; %s", model, ONCE_MORE)
        budget = await self._context_limits.budget_after(model, max_tokens, prompt.fit)
        shorter = await _shorter(make, budget, prompt)
        if shorter is None:
            return first
        second = await self._ask_once(shorter, budget)
        # The same count for less can only be that of another cut.
        is_cut = second.answer.final.prompt_tokens == first.answer.final.prompt_tokens
        return replace(second, is_truncated=is_cut or second.is_truncated)

    async def _fitted(
        self, make: Callable[[TokenBudget], Awaitable[Prompt]], model: str, max_tokens: int | None
    ) -> tuple[TokenBudget, Prompt, bool]:
        """The prompt for the model's room, and whether the listener was told of the begin.

        Where the window is only assumed and something would be left out for it, the model is loaded
        first: then its window is known.
        """
        budget = await self._context_limits.budget(model, max_tokens)
        prompt = await make(budget)
        is_found_out = self._context_limits.reports_window(model)
        if budget.is_known or not prompt.fit.is_cut or not is_found_out:
            return budget, prompt, False
        self._listener.on_start(model)
        async with aclosing(self._stream(load_request(prompt.request))) as records:
            async for _ in records:
                pass
        self._context_limits.doubt(model)
        budget = await self._context_limits.budget(model, max_tokens)
        return budget, await make(budget), True

    async def _ask_once(
        self, prompt: Prompt, budget: TokenBudget, *, is_begun: bool = False
    ) -> Exchange:
        model = prompt.request.model
        if not is_begun:
            self._listener.on_start(model)
        async with aclosing(self._stream(prompt.request)) as records:
            answer = await read_answer(records, self._listener.on_delta)
        if await self._context_limits.is_cut(model, prompt.fit, answer.final, budget):
            return Exchange(prompt, answer, budget, is_truncated=True)
        self._context_limits.learn(model, prompt.fit, answer.final)
        return Exchange(prompt, answer, budget)


async def _shorter(
    make: Callable[[TokenBudget], Awaitable[Prompt]], budget: TokenBudget, than: Prompt
) -> Prompt | None:
    """The prompt for a smaller room; None where nothing more can be left out."""
    try:
        prompt = await make(budget)
    except ContextOverflowError:
        return None
    return prompt if len(prompt.request.messages) < len(than.request.messages) else None
