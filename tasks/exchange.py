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

from agents import Answer, Prompt, read_answer
from llm import ChatRequest, ContextOverflowError, Delta, Final, Gauge, Room
from llm.warmup import load_request

logger = logging.getLogger(__name__)

ONCE_MORE = "it is shortened and asked once more"


class Listener(Protocol):
    """Who hears the reply as it comes."""

    def begins(self, model: str) -> None:
        """The model is asked; what was heard before this counts no more."""

    def hears(self, delta: Delta) -> None:
        """A piece of the reply."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer. `is_truncated`: the model has seen a part of the prompt only."""

    prompt: Prompt
    answer: Answer
    room: Room
    is_truncated: bool = False


class Interview:
    """Asks one model; `stream` sends a request, `gauge` knows the room."""

    def __init__(
        self,
        gauge: Gauge,
        stream: Callable[[ChatRequest], AsyncGenerator[Delta | Final, None]],
        listener: Listener,
    ) -> None:
        self._gauge = gauge
        self._stream = stream
        self._listener = listener

    async def ask(
        self, make: Callable[[Room], Awaitable[Prompt]], model: str, max_tokens: int | None
    ) -> Exchange:
        """Ask what `make` makes of the room for it, at most twice. Raises LLMError.

        An answer to a prompt that was cut the second time too is marked as such.
        """
        room, prompt, is_begun = await self._fitted(make, model, max_tokens)
        try:
            first = await self._ask_once(prompt, room, is_begun=is_begun)
        except ContextOverflowError as refusal:
            logger.warning("%s; %s", refusal, ONCE_MORE)
            room = await self._gauge.room_after(model, max_tokens, prompt.fit, refusal)
            shorter = await _shorter(make, room, prompt)
            if shorter is None:
                raise
            return await self._ask_once(shorter, room)
        if not first.is_truncated:
            return first
        logger.warning("Ollama has cut a prompt for model %s silently; %s", model, ONCE_MORE)
        room = await self._gauge.room_after(model, max_tokens, prompt.fit)
        shorter = await _shorter(make, room, prompt)
        if shorter is None:
            return first
        second = await self._ask_once(shorter, room)
        # The same count for less can only be that of another cut.
        is_cut = second.answer.final.prompt_tokens == first.answer.final.prompt_tokens
        return replace(second, is_truncated=is_cut or second.is_truncated)

    async def _fitted(
        self, make: Callable[[Room], Awaitable[Prompt]], model: str, max_tokens: int | None
    ) -> tuple[Room, Prompt, bool]:
        """The prompt for the model's room, and whether the listener was told of the begin.

        Where the window is only assumed and something would be left out for it, the model is loaded
        first: then its window is known.
        """
        room = await self._gauge.room(model, max_tokens)
        prompt = await make(room)
        if room.is_known or not prompt.fit.is_cut or not self._gauge.tells_loaded(model):
            return room, prompt, False
        self._listener.begins(model)
        async with aclosing(self._stream(load_request(prompt.request))) as records:
            async for _ in records:
                pass
        self._gauge.doubt(model)
        room = await self._gauge.room(model, max_tokens)
        return room, await make(room), True

    async def _ask_once(self, prompt: Prompt, room: Room, *, is_begun: bool = False) -> Exchange:
        model = prompt.request.model
        if not is_begun:
            self._listener.begins(model)
        async with aclosing(self._stream(prompt.request)) as records:
            answer = await read_answer(records, self._listener.hears)
        if await self._gauge.is_cut(model, prompt.fit, answer.final, room):
            return Exchange(prompt, answer, room, is_truncated=True)
        self._gauge.learn(model, prompt.fit, answer.final)
        return Exchange(prompt, answer, room)


async def _shorter(
    make: Callable[[Room], Awaitable[Prompt]], room: Room, than: Prompt
) -> Prompt | None:
    """The prompt for a smaller room; None where nothing more can be left out."""
    try:
        prompt = await make(room)
    except ContextOverflowError:
        return None
    return prompt if len(prompt.request.messages) < len(than.request.messages) else None
