"""What a model can do: read leniently, looked up once, remembered for a while."""

import asyncio

import orjson
import pytest

from llm import Ability, Capabilities, ModelCatalog, OllamaUnreachableError, UnsupportedError
from llm.http.catalog import DETAILS_AGE_S
from llm.wire.models import MOST_MODELS, read_details


class Server:
    """Answers what it is set to, and counts the look-ups."""

    base_url = "http://server:1"

    def __init__(self, words: list[str] | None = None) -> None:
        self.words = ["completion", "tools"] if words is None else words
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.now_s = 0.0
        self.catalog = ModelCatalog(self, clock=lambda: self.now_s)
        self.capabilities = Capabilities(self.words_of)

    async def lookup(self, path: str, *, content: bytes | None = None, model: str = "") -> bytes:
        """One look-up."""
        assert (path, content) == ("/api/show", orjson.dumps({"model": model}))
        self.asked.append(model)
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return orjson.dumps({"capabilities": self.words})

    async def words_of(self, model: str) -> frozenset[str] | None:
        """As a fleet of this server alone."""
        return (await self.catalog.details(model)).capabilities


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"capabilities": ["completion", "tools"]}, {"completion", "tools"}),
        ({"capabilities": ["completion", "decision", 5]}, {"completion", "decision"}),
        ({"capabilities": []}, None),
        ({"capabilities": None}, None),
        ({"capabilities": "tools"}, None),
        ({}, None),
    ],
)
def test_an_answer_is_read_leniently(document: object, words: set[str] | None) -> None:
    """Unknown words pass; a server that names no ability is no server that can nothing."""
    assert read_details(orjson.dumps(document)).capabilities == words


async def test_an_ability_that_the_model_lacks_is_refused() -> None:
    """With its name, and what to do."""
    capabilities = Server().capabilities
    await capabilities.require("m", [Ability.TOOLS])
    with pytest.raises(UnsupportedError, match="'m' does not support vision: choose"):
        await capabilities.require("m", [Ability.TOOLS, Ability.VISION])


async def test_nobody_is_asked_for_a_plain_request() -> None:
    """It costs nothing."""
    server = Server()
    await server.capabilities.require("m", [])
    assert server.asked == []


async def test_a_server_that_does_not_say_is_let_through() -> None:
    """It will refuse by itself."""
    await Server([]).capabilities.require("m", list(Ability))


async def test_many_ask_at_once_and_one_goes() -> None:
    """One of them is cancelled meanwhile, which disturbs nobody."""
    server = Server()
    server.may_answer.clear()
    asking = [asyncio.create_task(server.capabilities.of("m")) for _ in range(20)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    server.may_answer.set()
    answers = await asyncio.gather(*asking[1:])
    assert set(answers) == {frozenset(server.words)}
    assert server.asked == ["m"]
    await server.capabilities.of("m")
    assert server.asked == ["m"]


async def test_each_model_is_asked_for_itself_and_the_oldest_answer_goes() -> None:
    """However many names jobs bring."""
    server = Server()
    names = [f"m{number}" for number in range(MOST_MODELS + 1)]
    for name in names:
        await server.capabilities.of(name)
    await server.capabilities.of(names[-1])
    assert server.asked == names
    await server.capabilities.of(names[0])
    assert server.asked == [*names, names[0]]


async def test_an_old_answer_is_asked_for_again() -> None:
    """A model may be pulled anew."""
    server = Server()
    with pytest.raises(UnsupportedError):
        await server.capabilities.require("m", [Ability.VISION])
    server.words = ["vision"]
    server.now_s += DETAILS_AGE_S
    await server.capabilities.require("m", [Ability.VISION])


async def test_a_failed_look_up_lets_through_and_is_not_remembered() -> None:
    """The chat call says what is wrong."""
    server = Server()
    server.error = OllamaUnreachableError("away")
    await server.capabilities.require("m", [Ability.VISION])
    server.error = None
    with pytest.raises(UnsupportedError):
        await server.capabilities.require("m", [Ability.VISION])


async def test_who_waits_for_a_catalog_that_is_closed_gets_an_error_that_can_pass() -> None:
    """Not a cancel that nobody asked for."""
    server = Server()
    server.may_answer.clear()
    waiting = asyncio.create_task(server.catalog.details("m"))
    await asyncio.sleep(0)
    await server.catalog.aclose()
    with pytest.raises(OllamaUnreachableError, match="closed"):
        await waiting
