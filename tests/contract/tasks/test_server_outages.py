"""What a process makes of the looks at model servers that other workers make."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from unittest.mock import AsyncMock, Mock

import pytest

from llm import ChatRequest, Fleet, LLMSettings, StreamCutError
from memory import AsyncConnection, Command, Keyspace, Outage
from memory.outages import outages as outages_module
from memory.redis.replies import nothing
from sandbox.ollama import OllamaStandIn
from tasks.beat.outage_sweep import OutageSweep
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


async def test_who_has_no_job_any_more_waits_for_nothing(
    memory: AsyncConnection, real_backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that wait are looked through, some with each look; who has a job stays in its place."""
    monkeypatch.setattr(outages_module, "LOOK_PAUSE_MS", 0)
    keyspace = Keyspace(real_backend.prefix)
    outage = Outage.of_pause(keyspace, "all")
    for number in range(250):
        keys = keyspace.session("a", f"s{number:03}")
        await memory.run(outage.park(keys, is_first=True, place_us=number + 1))
        if number % 2:
            await memory.run(Command(nothing, ("ZADD", keys.queue, number, "j")))
    await memory.run(outage.note())
    others = Mock()
    others.pauses.read = AsyncMock()
    sweep = OutageSweep(memory, keyspace, Mock(), others, Mock())
    for _ in range(3):
        await sweep.run()
    left = await memory.run(outage.parked(skip=0))
    assert await memory.run(outage.waiting()) == 125
    assert [entry.member for entry in left] == [f"a:s{n:03}" for n in range(1, 200, 2)]
