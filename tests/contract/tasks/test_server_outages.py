"""What a process makes of the looks at model servers that other workers make."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from llm import ChatRequest, Fleet, LLMSettings, StreamCutError
from memory import AsyncConnection, Keyspace
from sandbox.ollama import OllamaStandIn
from tasks.process.waiting.outages import Outages
from tests.support.memory_fixtures import Backend


@pytest.fixture
async def memory(real_backend: Backend) -> AsyncIterator[AsyncConnection]:
    """The loop's connection."""
    connection = AsyncConnection(real_backend.settings)
    yield connection
    await connection.aclose()


@pytest.mark.parametrize("of_ours", [True, False])
async def test_a_call_that_broke_off_met_the_outage_that_another_worker_saw(
    memory: AsyncConnection, real_backend: Backend, of_ours: bool
) -> None:
    """This process finds the server back; of servers that it does not use it takes no note."""
    request = ChatRequest(
        model="slow-tokens:50x100ms", messages=({"role": "user", "content": "Tell me more."},)
    )
    with OllamaStandIn() as ollama:
        settings = LLMSettings(base_url=ollama.url)
        async with Fleet.from_settings(settings, max_connections=2) as fleet:
            outages = Outages(memory, Keyspace(real_backend.prefix), fleet)
            async with aclosing(fleet.stream(request)) as records:
                await anext(records)
                ollama.stop()
                away = ollama.url if of_ours else "http://other:11434"
                outages.note_look([away], are_watched=True)
                ollama.start()
                with pytest.raises(StreamCutError) as caught:
                    async for _ in records:
                        pass
    assert caught.value.is_outage is of_ours
