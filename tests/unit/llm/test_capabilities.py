"""What a model can do: read leniently, asked once, remembered for a while."""

import asyncio

import orjson
import pytest

from llm import Ability, Capabilities, OllamaUnreachableError, UnsupportedError
from llm.http.capabilities import MAX_MODELS, read_capabilities


class Server:
    """Answers what it is set to, and counts who asks."""

    def __init__(self, told: frozenset[str] | None = frozenset({"completion", "tools"})) -> None:
        self.told = told
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.held_slot = asyncio.Event()
        self.held_slot.set()

    async def ask(self, model: str) -> frozenset[str] | None:
        """One lookup."""
        self.asked.append(model)
        await self.held_slot.wait()
        if self.error is not None:
            raise self.error
        return self.told


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"capabilities": ["completion", "tools"]}, {"completion", "tools"}),
        ({"capabilities": ["completion", "decision", 5]}, {"completion", "decision"}),
        ({"capabilities": []}, None),
        ({"capabilities": None}, None),
        ({"capabilities": "tools"}, None),
        ({}, None),
        ([], None),
    ],
)
def test_an_answer_is_read_leniently(document: object, told: set[str] | None) -> None:
    """Unknown words pass; a server that tells nothing is no server that can nothing."""
    assert read_capabilities(orjson.dumps(document)) == told


def test_what_is_no_json_tells_nothing() -> None:
    """A proxy's page."""
    assert read_capabilities(b"<html>") is None


async def test_an_ability_that_the_model_lacks_is_refused() -> None:
    """With its name, and what to do."""
    capabilities = Capabilities(Server().ask)
    await capabilities.require("m", [Ability.TOOLS])
    with pytest.raises(UnsupportedError, match="'m' does not support vision: choose"):
        await capabilities.require("m", [Ability.TOOLS, Ability.VISION])


async def test_nobody_is_asked_for_a_plain_request() -> None:
    """It costs nothing."""
    server = Server()
    await Capabilities(server.ask).require("m", [])
    assert server.asked == []


async def test_a_server_that_does_not_tell_is_let_through() -> None:
    """It will refuse by itself."""
    await Capabilities(Server(told=None).ask).require("m", list(Ability))


async def test_many_ask_at_once_and_one_goes() -> None:
    """One of them is cancelled meanwhile, which disturbs nobody."""
    server = Server()
    server.held_slot.clear()
    capabilities = Capabilities(server.ask)
    asking = [asyncio.create_task(capabilities.of("m")) for _ in range(20)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    server.held_slot.set()
    answers = await asyncio.gather(*asking[1:])
    assert set(answers) == {server.told}
    assert server.asked == ["m"]
    await capabilities.of("m")
    assert server.asked == ["m"]


async def test_each_model_is_asked_for_itself_and_the_oldest_answer_goes() -> None:
    """However many names jobs bring."""
    server = Server()
    capabilities = Capabilities(server.ask)
    names = [f"m{number}" for number in range(MAX_MODELS + 1)]
    for name in names:
        await capabilities.of(name)
    await capabilities.of(names[-1])
    assert server.asked == names
    await capabilities.of(names[0])
    assert server.asked == [*names, names[0]]


async def test_an_old_answer_is_asked_for_again() -> None:
    """A model may be pulled anew."""
    server = Server()
    capabilities = Capabilities(server.ask, kept_s=0.0)
    with pytest.raises(UnsupportedError):
        await capabilities.require("m", [Ability.VISION])
    server.told = frozenset({"vision"})
    await capabilities.require("m", [Ability.VISION])


async def test_a_failed_lookup_lets_through_and_is_not_remembered() -> None:
    """The chat call says what is wrong."""
    server = Server()
    server.error = OllamaUnreachableError("away")
    capabilities = Capabilities(server.ask)
    await capabilities.require("m", [Ability.VISION])
    server.error = None
    with pytest.raises(UnsupportedError):
        await capabilities.require("m", [Ability.VISION])
