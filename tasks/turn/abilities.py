"""Whether a model can do what a request wants of it: asked before the request is sent."""

from collections.abc import Mapping
from dataclasses import replace

from agents import Ask
from llm import Ability, Capabilities, ChatRequest


async def within_abilities(
    request: ChatRequest, ask: Ask, capabilities: Capabilities
) -> ChatRequest:
    """The request as its model can take it.

    Images of earlier turns are left out for a model that cannot see them. Raises UnsupportedError
    for what this turn itself wants and the model is known to lack; a server that does not tell is
    left to refuse it. A plain request asks nobody.
    """
    await capabilities.require(request.model, wanted_abilities(request, ask))
    if not ask.images and any(map(_has_images, request.messages)):
        told = await capabilities.of(request.model)
        if told is not None and Ability.VISION not in told:
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
