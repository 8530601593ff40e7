"""An Ollama that other programs use too: no option of ours loads its model anew."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace

import orjson
import pytest

from llm import ChatRequest, Fleet, LLMSettings, OllamaClient, Timeouts
from llm.servers.warmup import Warmer
from sandbox.ollama import OllamaStandIn
from tests.support.servers.real_ollama import NoOllama, RealOllama, running_ollama
from tests.support.waiting import elapsed, eventually


@pytest.fixture(scope="module")
def real() -> Iterator[RealOllama]:
    """A real Ollama of the module's own."""
    try:
        with running_ollama() as started:
            yield started
    except NoOllama as exc:
        pytest.skip(str(exc))


PATIENT = Timeouts(first_token_s=300, idle_s=300)
MESSAGES = ({"role": "user", "content": "Who was Balla Fasséké?"},)


def other_clients_call(model: str, **options: object) -> ChatRequest:
    """A chat as the command line or another program sends it: nothing but the question."""
    return ChatRequest(model=model, messages=MESSAGES, max_tokens=2, options=options)


@pytest.fixture
async def other(ollama: OllamaStandIn) -> AsyncIterator[OllamaClient]:
    """Another program."""
    async with OllamaClient(ollama.url) as client:
        yield client


async def alternate(settings: LLMSettings, other: OllamaClient, model: str, times: int) -> None:
    """Griot and another program call the model, one after the other."""
    async with Fleet.from_settings(settings, max_connections=2) as fleet:
        for _ in range(times):
            await fleet.chat(settings.chat_request(MESSAGES, model=model, max_tokens=2))
            await other.chat(other_clients_call(model))


@pytest.mark.parametrize(("shared", "loads"), [(True, 1), (False, 10)])
async def test_other_programs_and_griot_share_one_load(
    ollama: OllamaStandIn, other: OllamaClient, shared: bool, loads: int
) -> None:
    """With OLLAMA_SHARED; without, `shift` loads the model at each change of program."""
    settings = LLMSettings(base_url=ollama.url, shared=shared)
    await alternate(settings, other, f"between-{loads}", times=5)
    assert ollama.stats.loads == loads
    ours = orjson.loads(ollama.calls[0].body)
    assert ("shift" in ours) is not shared
    assert "num_ctx" not in ollama.calls[0].options


async def test_a_window_that_somebody_has_set_is_sent_all_the_same(
    ollama: OllamaStandIn, other: OllamaClient
) -> None:
    """It costs a load at each change to a program that asks for another one."""
    settings = LLMSettings(base_url=ollama.url, num_ctx=8192)
    await alternate(settings, other, "widened", times=2)
    assert ollama.calls[0].options["num_ctx"] == 8192
    assert ollama.stats.loads > 1


@pytest.mark.model
@pytest.mark.timeout(900)
async def test_a_real_ollama_loads_once_for_alternating_clients(real: RealOllama) -> None:
    """Ours and one that sends no `shift`; each change loaded the model before."""
    before = real.loads
    settings = LLMSettings(base_url=real.url, first_token_timeout_s=300)
    async with OllamaClient(real.url, timeouts=settings.timeouts) as other:
        await alternate(settings, other, "gemma", times=3)
        once = real.loads
        assert once <= before + 1, "another test may have loaded it"
        alone = settings.model_copy(update={"shared": False})
        await alternate(alone, other, "gemma", times=1)
    assert real.loads == once + 2


@pytest.mark.model
@pytest.mark.timeout(900)
async def test_a_real_ollama_takes_every_way_to_write_a_name(real: RealOllama) -> None:
    """And we know of all of them, and of an alias, that they are loaded, and their window."""
    names = ("GEMMA", "library/gemma", "registry.ollama.ai/library/Gemma:LATEST", "gemma:local")
    async with OllamaClient(real.url) as client:
        await client.chat(ChatRequest(model="gemma"))
        for name in (*names, "tools"):
            loaded = await client.catalog.loaded_for(name)
            assert loaded is not None, name
            assert loaded.window_tokens >= 4096
            left_s = client.catalog.seconds_left(loaded)
            assert left_s is not None
            assert 200 < left_s <= 302
            loads = real.loads
            await client.chat(ChatRequest(model=name))
            assert real.loads == loads, "Ollama itself takes it for the same"
        assert await client.catalog.loaded_for("strict") is None


@pytest.mark.model
@pytest.mark.timeout(900)
async def test_a_real_ollama_restarts_a_model_that_another_client_holds(
    real: RealOllama,
) -> None:
    """The unload waits for that client's call, and our own load does not take it back."""
    held = other_clients_call("gemma")
    held = replace(held, max_tokens=4000, keep_alive="10m")
    async with OllamaClient(real.url, timeouts=PATIENT) as client:
        warmer = Warmer(client, limits=PATIENT, on_loaded=lambda _: None)
        await warmer.ensure(replace(held, max_tokens=1))
        loads = real.loads
        unloads = 0

        async def unload() -> None:
            nonlocal unloads
            unloads += 1
            await client.chat(ChatRequest(model="gemma", keep_alive=0))
            await eventually(elapsed(0.2), what="a pause")

        async with aclosing(client.stream(held)) as records:
            await anext(records)
            warmer.restart(held, unload)
            await eventually(lambda: unloads > 2, timeout_s=30, what="it is held")
            assert real.loads == loads
        await warmer.ensure(held)
        assert real.loads == loads + 1
        loaded = await client.catalog.loaded_for("gemma")
        assert loaded is not None
        await warmer.aclose()
