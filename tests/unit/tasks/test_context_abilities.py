"""What a turn wants of its model, and what is left out for a model that cannot see."""

from agents import Ask
from llm import Ability, Capabilities, ChatRequest
from tasks.turn.context import wanted_abilities, within_abilities, without_images

SEEN = {"role": "user", "content": "this one", "images": ["iVBORw0KGgo="]}
PLAIN = {"role": "user", "content": "and now?"}
REQUEST = ChatRequest(model="m", messages=(SEEN, b'{"role":"assistant","content":""}', PLAIN))


def knowing(told: frozenset[str] | None) -> Capabilities:
    """A server that tells this of every model."""

    async def ask(_: str) -> frozenset[str] | None:
        return told

    return Capabilities(ask)


def test_a_plain_turn_wants_nothing() -> None:
    """Nor does one that switches thinking off."""
    assert wanted_abilities(ChatRequest(model="m", think=False), Ask(message="hi")) == []


def test_each_option_wants_its_ability() -> None:
    """Tools and thinking by the request, images by the new message."""
    request = ChatRequest(model="m", think="low", tools=({"type": "function"},))
    asked = Ask(message="hi", images=("iVBORw0KGgo=",))
    assert set(wanted_abilities(request, asked)) == set(Ability)


async def test_images_of_earlier_turns_are_left_out_for_a_model_that_cannot_see() -> None:
    """The conversation goes on with another model; the text stays."""
    blind = await within_abilities(REQUEST, Ask(message="x"), knowing(frozenset({"completion"})))
    assert blind == without_images(REQUEST)
    assert blind.messages[0] == {"role": "user", "content": "this one"}
    assert blind.messages[1:] == REQUEST.messages[1:]


async def test_a_model_that_sees_or_may_see_gets_all() -> None:
    """Unchanged."""
    for told in (frozenset({"completion", "vision"}), None):
        assert await within_abilities(REQUEST, Ask(message="x"), knowing(told)) == REQUEST
