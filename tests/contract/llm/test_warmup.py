"""Models are loaded once, ahead of their chats, and restarted when they hang."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest

from agents.summary import digest_of
from llm import (
    ChatRequest,
    ContextLimits,
    Fleet,
    IdleTimeoutError,
    LLMError,
    LLMSettings,
    ModelNotFoundError,
    OllamaClient,
    OllamaFailedError,
    OllamaUnreachableError,
    Timeouts,
    TotalTimeoutError,
)
from llm.servers.choice import Readiness
from llm.servers.stays import KeepWarm
from llm.servers.warmup import Warmer
from llm.wire.models import Loaded, read_loaded
from sandbox.ollama import OllamaStandIn, reply_to
from tests.support.machine import scaled
from tests.support.waiting import eventually, wait_until

MESSAGES = ({"role": "user", "content": "Who was Balla Fasséké?"},)
ANSWER = reply_to(list(MESSAGES))
SLOW_LOAD = f"cold:load{scaled(0.8)}s"
SHORT = Timeouts(first_token_s=scaled(0.3), total_s=scaled(10))


@pytest.fixture
def ollama() -> Iterator[OllamaStandIn]:
    """A server with nothing loaded; in the end it must have no request open."""
    with OllamaStandIn() as server:
        yield server
        wait_until(
            lambda: not server.stats.active + server.stats.loading,
            timeout_s=5,
            what="no open request",
        )


@pytest.fixture
async def fleet(ollama: OllamaStandIn) -> AsyncIterator[Fleet]:
    """A fleet of one that does not wait long for a first token."""
    async with Fleet([OllamaClient(ollama.url)], timeouts=SHORT) as fleet:
        yield fleet


@pytest.fixture
async def client(ollama: OllamaStandIn) -> AsyncIterator[OllamaClient]:
    """A client beside the fleet's own."""
    async with OllamaClient(ollama.url) as made:
        yield made


def chat(model: str, **more: object) -> ChatRequest:
    return ChatRequest(model=model, messages=MESSAGES, **more)  # type: ignore[arg-type]  # by field


async def test_a_model_is_loaded_once_however_many_chats_wait(
    ollama: OllamaStandIn, fleet: Fleet
) -> None:
    """By one request; and a load that takes longer than a first token may fails none of them."""
    model = SLOW_LOAD
    replies = await asyncio.gather(*(fleet.chat(chat(model)) for _ in range(20)))
    assert [reply.text for reply in replies] == [ANSWER] * 20
    stats = ollama.stats
    assert (stats.loads, stats.load_requests, stats.requests) == (1, 1, 20)


async def test_a_chat_that_meets_a_cold_load_waits_for_it(ollama: OllamaStandIn) -> None:
    """Its model was dropped a moment ago: given up after a first token's time, the load would begin
    from zero with the next chat, and so on for ever."""
    async with OllamaClient(ollama.url, timeouts=SHORT) as client:
        assert (await client.chat(chat(SLOW_LOAD))).text == ANSWER
    assert (ollama.stats.loads, ollama.stats.requests) == (1, 1)


async def test_a_load_within_a_chat_has_the_time_of_the_whole_reply(ollama: OllamaStandIn) -> None:
    """Not more: the server may never come to it."""
    limits = Timeouts(first_token_s=0.1, total_s=scaled(0.6))
    async with OllamaClient(ollama.url, timeouts=limits) as client:
        with pytest.raises(TotalTimeoutError):
            await client.chat(chat("cold:load60s"))
    assert ollama.stats.loads == 0


async def test_the_load_has_the_options_of_the_chat(ollama: OllamaStandIn, fleet: Fleet) -> None:
    """Another window or shift would load the model a second time."""
    request = chat("cold:load0.1s", options={"num_ctx": 2048, "top_k": 3}, temperature=0.1)
    for _ in range(3):
        assert (await fleet.chat(request)).text == ANSWER
    assert (ollama.stats.loads, ollama.stats.load_requests) == (1, 1)
    await fleet.chat(chat("cold:load0.1s", options={"num_ctx": 4096}))
    assert (ollama.stats.loads, ollama.stats.load_requests) == (2, 2)


async def test_all_that_call_a_model_load_it_with_the_window_set_for_it(
    ollama: OllamaStandIn, client: OllamaClient, fleet: Fleet
) -> None:
    """Warm-up, chat, summary and budget: another value in one of them would load it anew."""
    windows = {"cold:load0.05s": 8192, "cold:load0.06s": 2048}
    settings = LLMSettings(num_ctx=2048, num_ctx_by_model="cold:load0.05s=8192, other=512")
    context_limits = ContextLimits([client], settings)
    past = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    for model, window_tokens in windows.items():
        budget = await context_limits.budget(model, None)
        assert (budget.window_tokens, budget.is_known) == (window_tokens, True)
        digest = digest_of(past, None, budget, settings, model)
        assert digest is not None
        await fleet.chat(settings.chat_request(MESSAGES, model=model))
        await fleet.chat(digest.request)
    asked = [(call.model, call.options["num_ctx"]) for call in ollama.calls]
    assert asked == [(model, window) for model, window in windows.items() for _ in range(2)]
    loaded = read_loaded(await client.lookup("/api/ps"), base_url=client.base_url)
    assert {one.name: one.window_tokens for one in loaded} == windows
    assert ollama.stats.loads == len(windows)


async def test_a_user_who_cancels_does_not_stop_the_load(
    ollama: OllamaStandIn, fleet: Fleet
) -> None:
    """The next chat finds the model loaded, or waits for the same load."""
    model = "cold:load0.5s"
    tasks = [asyncio.create_task(fleet.chat(chat(model))) for _ in range(3)]
    await eventually(lambda: ollama.stats.loading == 1, what="the load is under way")
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert (await fleet.chat(chat(model))).text == ANSWER
    assert (ollama.stats.loads, ollama.stats.disconnects) == (1, 0)


async def test_two_processes_make_one_load(ollama: OllamaStandIn) -> None:
    """Each asks for it, Ollama does it once; there is nothing to agree on."""
    async with (
        Fleet([OllamaClient(ollama.url)]) as one,
        Fleet([OllamaClient(ollama.url)]) as other,
    ):
        await asyncio.gather(*(fleet.chat(chat("cold:load0.3s")) for fleet in (one, other)))
    assert (ollama.stats.loads, ollama.stats.load_requests) == (1, 2)


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        ("load-500", OllamaFailedError, "HTTP 500"),
        ("missing", ModelNotFoundError, "ollama pull missing"),
    ],
)
async def test_a_load_that_fails_fails_the_chats_that_wait(
    ollama: OllamaStandIn, fleet: Fleet, model: str, kind: type[LLMError], message: str
) -> None:
    """With one request for all of them; the next chat tries again."""
    chats = [asyncio.create_task(fleet.chat(chat(model))) for _ in range(5)]
    await asyncio.wait(chats)
    for each in chats:
        with pytest.raises(kind, match=message):
            each.result()
    assert (ollama.stats.load_requests, ollama.stats.requests) == (1, 0)
    with pytest.raises(kind):
        await fleet.chat(chat(model))
    assert ollama.stats.load_requests == 2


async def test_a_load_has_a_time_limit_of_its_own(ollama: OllamaStandIn) -> None:
    """The message names the setting; the failure can pass."""
    client = OllamaClient(ollama.url)
    async with Fleet([client], load_timeout_s=0.2) as fleet:
        with pytest.raises(OllamaFailedError, match=r"0\.2 s \(LLM_LOAD_TIMEOUT\)"):
            await fleet.chat(chat("cold:load5s"))


async def test_a_server_that_falls_silent_while_loading_is_not_waited_for() -> None:
    """It does not even tell its version, which a server that loads does."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with OllamaClient(url) as client:
            warmer = Warmer(client, limits=Timeouts(), on_loaded=lambda _: None, look_every_s=0.1)
            with pytest.raises(OllamaUnreachableError, match="stopped responding"):
                await warmer.ensure(chat("ok"))


async def test_a_slow_load_of_a_living_server_is_waited_for(ollama: OllamaStandIn) -> None:
    """However often it is looked at."""
    async with OllamaClient(ollama.url) as client:
        loaded: list[str] = []
        warmer = Warmer(client, limits=Timeouts(), on_loaded=loaded.append, look_every_s=0.05)
        await warmer.ensure(chat("cold:load1s"))
        await warmer.aclose()
    assert loaded == ["cold:load1s"]
    assert ollama.stats.lookups > 2


async def test_a_model_that_is_to_go_at_once_is_not_loaded_ahead(
    ollama: OllamaStandIn, fleet: Fleet
) -> None:
    """A load with a keep_alive of 0 would unload it."""
    assert (await fleet.chat(chat("ok", keep_alive="0s"))).text == ANSWER
    assert ollama.stats.load_requests == 0


async def test_a_model_in_use_is_loaded_anew_before_it_expires_and_then_let_go(
    ollama: OllamaStandIn,
) -> None:
    """As long as its last use is not too long ago."""
    async with OllamaClient(ollama.url) as client:
        warmer = Warmer(
            client,
            limits=Timeouts(),
            on_loaded=lambda _: None,
            keep=KeepWarm(keep_warm_s=2.5, shortest_rewarm_s=0.1),
        )

        async def is_loaded() -> bool:
            return bool(read_loaded(await client.lookup("/api/ps"), base_url=client.base_url))

        request = chat("ok", keep_alive="1s")
        await warmer.ensure(request)
        await eventually(lambda: ollama.stats.load_requests >= 3, what="it is loaded anew")
        assert await is_loaded()
        assert ollama.stats.loads == 1
        async with asyncio.timeout(10):
            while await is_loaded():
                pass
        assert not warmer.is_warm(request), "it is given up"
        asked = ollama.stats.load_requests
        await warmer.ensure(request)
        assert ollama.stats.load_requests == asked + 1
        await warmer.aclose()


def hasty(ollama: OllamaStandIn, answers: "Noted | None" = None) -> Fleet:
    """A fleet of one whose replies may take a second and a half."""
    limits = Timeouts(first_token_s=scaled(0.3), total_s=scaled(1.5))
    # As in production, where a call that is given up has lasted longer: /api/ps is asked anew.
    keep = KeepWarm(trusted_s=0)
    return Fleet([OllamaClient(ollama.url)], timeouts=limits, answers=answers, keep=keep)


class Noted:
    """What two fleets tell each other, as the memory does for processes."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, str], float] = {}

    def note(self, server: str, model: str) -> None:
        self._at[server, model] = time.monotonic()

    async def is_any_within(self, server: str, model: str, seconds: float) -> bool:
        return time.monotonic() - self._at.get((server, model), -seconds) <= seconds


async def test_a_leaked_slot_is_won_back(ollama: OllamaStandIn) -> None:
    """A model that is loaded and answers nobody is unloaded and loaded again, by itself."""
    model = "leaky:50x20ms"
    async with hasty(ollama) as fleet:
        # In haste is only what is to time out: a busy machine takes longer to a first token.
        async with aclosing(fleet.stream(chat(model), timeouts=Timeouts())) as records:
            await anext(records)  # and leave: the server keeps the slot
        await eventually(lambda: ollama.stats.disconnects == 1, what="the slot is lost")
        patient = asyncio.create_task(fleet.chat(chat(model), timeouts=Timeouts()))
        for _ in range(2):
            with pytest.raises(TotalTimeoutError):
                await fleet.chat(chat(model))
        with pytest.raises(OllamaFailedError, match="restart"):
            await patient
        reply = await fleet.chat(chat(model), timeouts=Timeouts())
    assert reply.final.done_reason == "stop"
    assert ollama.stats.loads == 2


async def test_a_model_that_is_restarted_is_closed_under_all_its_names(
    ollama: OllamaStandIn, client: OllamaClient
) -> None:
    """Its calls hang whatever they call it; another model's go on."""
    hanging = asyncio.create_task(client.chat(chat("hang")))
    await eventually(lambda: ollama.stats.active == 1, what="the call is under way")
    client.abort("other", OllamaFailedError("restart"))
    client.abort("Library/HANG:latest", OllamaFailedError("restart"))
    with pytest.raises(OllamaFailedError, match="restart"):
        await hanging


async def test_chats_that_wait_for_a_load_wait_for_its_restart(
    ollama: OllamaStandIn, client: OllamaClient
) -> None:
    """The server is well: they must not be told that its client was closed."""
    warmer = Warmer(client, limits=Timeouts(), on_loaded=lambda _: None)
    waiting = [asyncio.create_task(warmer.ensure(chat(SLOW_LOAD))) for _ in range(3)]
    await eventually(lambda: ollama.stats.loading, what="the load is under way")
    warmer.restart(chat(SLOW_LOAD), lambda: asyncio.sleep(0))
    await asyncio.wait_for(asyncio.gather(*waiting), scaled(10))
    assert warmer.is_warm(chat(SLOW_LOAD))
    assert (ollama.stats.load_requests, ollama.stats.loads) == (2, 1)
    await warmer.aclose()


async def test_a_model_that_answers_some_is_not_restarted() -> None:
    """A long queue is no leak: who still waits goes on waiting."""
    with OllamaStandIn(num_parallel=4) as ollama:
        await _answer_some(ollama)


async def _answer_some(ollama: OllamaStandIn) -> None:
    async with hasty(ollama) as fleet:
        await fleet.chat(chat("ok"))
        ollama.script("ok", ["hang", "hang", "hang"])
        with pytest.raises(TotalTimeoutError):
            await fleet.chat(chat("ok"))
        patient = asyncio.create_task(fleet.chat(chat("ok"), timeouts=Timeouts()))
        hung = asyncio.create_task(fleet.chat(chat("ok")))
        await eventually(lambda: ollama.stats.active == 2, what="both calls are silent")
        while not hung.done():
            assert (await fleet.chat(chat("ok"))).text == ANSWER
        assert isinstance(hung.exception(), TotalTimeoutError)
        # A restart would end its call before all of these are answered.
        for _ in range(5):
            assert (await fleet.chat(chat("ok"), timeouts=Timeouts())).text == ANSWER
        assert not patient.done()
        patient.cancel()
    assert ollama.stats.loads == 1


async def test_a_model_that_answers_another_process_is_not_restarted(
    ollama: OllamaStandIn,
) -> None:
    """One that writes a long reply for somebody else is at work, though nobody here hears it."""
    noted = Noted()
    slow = chat("slow-tokens:1000x50ms")
    async with (
        hasty(ollama, noted) as fleet,
        Fleet(
            [OllamaClient(ollama.url)], timeouts=Timeouts(total_s=scaled(5)), answers=noted
        ) as another,
    ):
        ollama.script(slow.model, ["slow-tokens:1000x50ms", "hang", "hang"])
        reads = asyncio.create_task(another.chat(slow))
        await eventually(lambda: ollama.stats.active == 1, what="another process reads a reply")
        for _ in range(2):
            with pytest.raises(TotalTimeoutError):
                await fleet.chat(slow)
        with pytest.raises(TotalTimeoutError):
            await reads
    assert ollama.stats.loads == 1


async def test_a_silent_call_is_not_cut_while_its_server_lists_the_model(
    ollama: OllamaStandIn,
) -> None:
    """Before the first byte and between two: a model thinks, or writes the call of a tool."""
    limits = Timeouts(first_token_s=scaled(0.2), idle_s=scaled(0.2), total_s=scaled(20))
    async with OllamaClient(ollama.url, timeouts=limits) as client:
        await client.chat(chat("ok"), timeouts=Timeouts())
        ollama.script("ok", [f"slow-first:{scaled(1)}s", f"slow-tokens:3x{scaled(0.7)}s"])
        assert (await client.chat(chat("ok"))).text == ANSWER
        assert (await client.chat(chat("ok"))).final.done_reason == "stop"
    assert ollama.stats.lookups > 2


async def test_a_silent_call_ends_with_the_time_for_a_whole_reply(ollama: OllamaStandIn) -> None:
    """However alive its server is."""
    limits = Timeouts(first_token_s=scaled(0.2), idle_s=scaled(0.2), total_s=scaled(1))
    async with OllamaClient(ollama.url, timeouts=limits) as client:
        await client.chat(chat("ok"), timeouts=Timeouts())
        ollama.script("ok", ["hang", "stall"])
        for _ in range(2):
            with pytest.raises(TotalTimeoutError):
                await client.chat(chat("ok"))


async def test_a_reply_that_falls_silent_when_its_model_is_gone_is_cut(
    ollama: OllamaStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server lives, and has dropped the model from memory: nobody is at work on the call."""

    async def gone() -> tuple[Loaded, ...]:
        return ()

    limits = Timeouts(idle_s=scaled(0.3), total_s=scaled(20))
    async with (
        OllamaClient(ollama.url, timeouts=limits) as client,
        aclosing(client.stream(chat("stall"))) as records,
    ):
        for _ in range(3):
            await anext(records)
        monkeypatch.setattr(client.catalog, "loaded", gone)
        with pytest.raises(IdleTimeoutError):
            await anext(records)


async def test_a_fleet_closed_while_it_loads_fails_the_chats_that_wait(
    ollama: OllamaStandIn,
) -> None:
    """As retryable, not as a cancel that nobody asked for."""
    fleet = Fleet([OllamaClient(ollama.url)])
    task = asyncio.create_task(fleet.chat(chat("cold:load5s")))
    await eventually(lambda: ollama.stats.loading == 1, what="the load is under way")
    await fleet.aclose()
    with pytest.raises(OllamaUnreachableError, match="closed"):
        await task


async def test_an_idle_server_loads_the_model_while_the_others_are_at_work() -> None:
    """In the background: nobody waits for it, and then it takes its share."""
    model = "cold:20x20ms-load0.3s"
    with OllamaStandIn(models=[model]) as one, OllamaStandIn(models=[model]) as other:
        async with Fleet([OllamaClient(server.url) for server in (one, other)]) as fleet:
            await fleet.chat(chat(model))
            first, second = (one, other) if one.stats.loads else (other, one)
            assert second.stats.load_requests == 0
            calls = [
                asyncio.create_task(fleet.chat(chat(model), session=f"s-{n}")) for n in range(3)
            ]
            await eventually(lambda: second.stats.loads == 1, what="the idle server loads")
            await asyncio.gather(*calls)
            assert (first.stats.requests, second.stats.requests) == (4, 0)
            await eventually(
                lambda: {one.readiness(model) for one in fleet.servers} == {Readiness.WARM},
                what="both are known to have it",
            )
            await asyncio.gather(*(fleet.chat(chat(model), session=f"s-{n}") for n in range(12)))
            assert second.stats.requests > 2
