"""What a turn wants of its model, and how it is shown to one that sees nothing or calls nothing."""

from dataclasses import replace

import pytest

from agents import FULL, Ask, PromptForm
from llm import Ability, Capabilities, ChatRequest
from tasks.turn.context import form_for, wanted_abilities

SEEN = {"role": "user", "content": "this one", "images": ["iVBORw0KGgo="]}
CALLED = {"role": "tool", "content": "5000", "tool_name": "capacity_of"}
PLAIN = {"role": "user", "content": "and now?"}
REQUEST = ChatRequest(model="m", messages=(SEEN, b'{"role":"assistant","content":""}', PLAIN))
WITH_TOOLS = replace(REQUEST, messages=(SEEN, CALLED, PLAIN))


def knowing(*told: str, is_told: bool = True) -> Capabilities:
    """A server that tells this of every model."""

    async def ask(_: str) -> frozenset[str] | None:
        return frozenset({"completion", *told}) if is_told else None

    return Capabilities(ask)


def test_a_plain_turn_wants_nothing() -> None:
    """Nor does one that switches thinking off."""
    assert wanted_abilities(ChatRequest(model="m", think=False), Ask(message="hi")) == []


def test_each_option_wants_its_ability() -> None:
    """Tools and thinking by the request, images by the new message."""
    request = ChatRequest(model="m", think="low", tools=({"type": "function"},))
    asked = Ask(message="hi", images=("iVBORw0KGgo=",))
    assert set(wanted_abilities(request, asked)) == set(Ability)


@pytest.mark.parametrize(
    ("told", "form"),
    [
        ((), PromptForm(takes_images=False, takes_tools=False)),
        (("vision",), PromptForm(takes_tools=False)),
        (("tools",), PromptForm(takes_images=False)),
        (("tools", "vision"), FULL),
    ],
)
async def test_a_conversation_goes_on_with_a_model_that_can_do_less(
    told: tuple[str, ...], form: PromptForm
) -> None:
    """Images and calls of earlier turns are not sent to it as they are."""
    assert await form_for(WITH_TOOLS, FULL, Ask(message="x"), knowing(*told)) == form


async def test_a_model_of_which_nothing_is_told_gets_all() -> None:
    """Its server may refuse; what was left out for another reason stays out."""
    told = knowing(is_told=False)
    assert await form_for(WITH_TOOLS, FULL, Ask(message="x"), told) == FULL
    lesser = PromptForm(takes_images=False, takes_system=False)
    assert await form_for(WITH_TOOLS, lesser, Ask(message="x"), knowing("tools")) == lesser


async def test_a_plain_conversation_looks_nothing_up() -> None:
    """Each look-up is a request."""

    async def ask(_: str) -> frozenset[str] | None:
        pytest.fail("it was looked up")

    request = replace(REQUEST, messages=(PLAIN,))
    assert await form_for(request, FULL, Ask(message="x"), Capabilities(ask)) == FULL
