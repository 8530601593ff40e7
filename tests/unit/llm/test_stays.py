"""How long a model is trusted to be loaded, and what makes sure of it."""

import asyncio
import logging

import pytest

from llm import ChatRequest, ContextLimits, Fleet, LLMSettings, Timeouts
from llm.servers.stays import KeepWarm
from llm.servers.warmup import Warmer
from tests.support.fake_models import FakeOllama
from tests.support.waiting import elapsed, eventually

NEVER_TRUSTING = KeepWarm(trusted_s=0.0)


def chat(model: str = "gemma", **more: object) -> ChatRequest:
    """A call of `model`."""
    message = {"role": "user", "content": "Who?"}
    return ChatRequest(model=model, messages=(message,), **more)  # type: ignore[arg-type]  # by field


@pytest.fixture
def server() -> FakeOllama:
    """With nothing loaded."""
    return FakeOllama()


def warmer_of(
    server: FakeOllama, keep: KeepWarm | None = None, *, unloaded_within_s: float = 60.0
) -> Warmer:
    """A warmer of the server."""
    return Warmer(
        server,
        limits=Timeouts(),
        keep=keep,
        on_loaded=lambda _: None,
        unloaded_within_s=unloaded_within_s,
    )


async def test_a_model_is_trusted_for_a_moment_and_then_looked_for(server: FakeOllama) -> None:
    """The look costs no load where it is still there, whatever name it is asked by."""
    warmer = warmer_of(server)
    await warmer.ensure(chat())
    assert warmer.is_warm(chat("Library/GEMMA"))
    await warmer.ensure(chat())
    assert (len(server.sent), server.asked) == (1, ["/api/ps"])
    doubting = warmer_of(server, NEVER_TRUSTING)
    for _ in range(3):
        await doubting.ensure(chat("GEMMA"))
    assert (len(server.sent), server.asked) == (2, ["/api/ps"] * 4)
    await warmer.aclose()
    await doubting.aclose()


async def test_a_model_that_went_away_is_loaded_before_the_chat(server: FakeOllama) -> None:
    """Another one took its place, or a run-time failure all places: nobody told us."""
    warmer = warmer_of(server, NEVER_TRUSTING)
    await warmer.ensure(chat())
    server.left_s.clear()
    await warmer.ensure(chat())
    assert len(server.sent) == 2
    await warmer.aclose()


async def test_a_model_that_is_about_to_be_dropped_is_loaded_again(server: FakeOllama) -> None:
    """Another client has set its keep_alive: the chat could come too late."""
    warmer = warmer_of(server)
    await warmer.ensure(chat())
    server.left_s["gemma:latest"] = 1.0
    assert warmer.is_warm(chat())
    doubting = warmer_of(server, NEVER_TRUSTING)
    await doubting.ensure(chat())
    server.left_s["gemma:latest"] = 1.0
    await doubting.ensure(chat())
    assert len(server.sent) == 3
    await warmer.aclose()
    await doubting.aclose()


async def test_a_server_that_keeps_models_for_a_moment_only_is_believed(
    server: FakeOllama,
) -> None:
    """Its OLLAMA_KEEP_ALIVE is not ours to know; /api/ps tells."""
    server.keep_alive_s = 1.0
    warmer = warmer_of(server)
    await warmer.ensure(chat())
    assert not warmer.is_warm(chat())
    await warmer.aclose()


async def test_another_clients_window_has_the_model_loaded_again(server: FakeOllama) -> None:
    """The chat would load it anew under the limit of its first token."""
    warmer = warmer_of(server, NEVER_TRUSTING)
    await warmer.ensure(chat())
    server.window_tokens = 8192
    await warmer.ensure(chat())
    assert len(server.sent) == 2
    await warmer.aclose()


async def test_a_model_that_no_server_loads_is_not_warmed(server: FakeOllama) -> None:
    """Of the cloud: the empty request would go there, and cost a call."""
    warmer = warmer_of(server)
    server.shown["helper:latest"] = {"remote_host": "https://ollama.com"}
    await server.catalog.details("helper")
    for model in ("gpt-oss:120b-cloud", "helper"):
        assert warmer.is_warm(chat(model))
        await warmer.ensure(chat(model))
        warmer.begin(chat(model))
    await asyncio.sleep(0)
    assert server.sent == []


async def test_a_model_that_is_never_listed_is_not_warmed_again_and_again(
    server: FakeOllama,
) -> None:
    """A gateway may not know what stands behind it; its window is then what /api/show says."""
    server.lists_what_it_loads = False
    server.shown["gemma:latest"] = {
        "model_info": {"general.architecture": "g", "g.context_length": 65_536}
    }
    warmer = warmer_of(server, NEVER_TRUSTING)
    for _ in range(3):
        await warmer.ensure(chat())
    assert len(server.sent) == 2, "once more, for another model could have taken its place"
    assert server.catalog.is_elsewhere("gemma")
    budget = await ContextLimits([server], LLMSettings()).budget("gemma", None)
    assert (budget.window_tokens, budget.is_known) == (65_536, True)
    await warmer.aclose()


async def test_a_model_that_was_pushed_out_is_left_to_its_next_chat(server: FakeOllama) -> None:
    """Loaded anew for the sake of being kept, it would push out the one that has its place."""
    server.keep_alive_s = 0.3
    warmer = warmer_of(server, KeepWarm(shortest_rewarm_s=0.1))
    await warmer.ensure(chat())
    server.left_s = {"other:latest": 300}
    looks = len(server.asked)
    await eventually(lambda: len(server.asked) > looks, what="it is looked for")
    await eventually(elapsed(0.5), what="nothing more")
    assert len(server.sent) == 1
    await warmer.aclose()


async def test_a_model_of_the_cloud_is_not_loaded_to_know_its_window(server: FakeOllama) -> None:
    """Also where nobody describes it."""
    limits = ContextLimits([server], LLMSettings())
    assert not (await limits.budget("gpt-oss:120b-cloud", None)).is_known
    assert not limits.reports_window("gpt-oss:120b-cloud")
    assert limits.reports_window("gemma")


async def test_cloud_models_are_ready_at_every_server(server: FakeOllama) -> None:
    """None has them loaded, and a session stays where it is."""
    other = FakeOllama("http://fake:2")
    async with Fleet([server, other]) as fleet:
        ranked = await fleet.ranked("gpt-oss:120b-cloud", "s")
        assert set(ranked) == {"http://fake:1", "http://fake:2"}
        assert fleet.servers[0].readiness("gpt-oss:120b-cloud").name == "WARM"


async def test_a_restart_loads_the_model_when_it_is_gone_and_sets_no_keep_alive(
    server: FakeOllama,
) -> None:
    """While the calls of others last, it would put back what the unload has set."""
    warmer = warmer_of(server)
    server.left_s["gemma:latest"] = 300
    unloads = 0

    async def unload() -> None:
        nonlocal unloads
        unloads += 1
        if unloads == 3:
            server.left_s.clear()

    warmer.restart(chat(keep_alive="30m"), unload)
    await warmer.ensure(chat(keep_alive="30m"))
    assert unloads == 3
    assert [request.keep_alive for request in server.sent] == [None]
    await warmer.aclose()


async def test_a_model_that_others_hold_for_ever_is_used_as_it_is(
    server: FakeOllama, caplog: pytest.LogCaptureFixture
) -> None:
    """The chats that wait go on, and the log says what to do."""
    warmer = warmer_of(server, unloaded_within_s=0.0)
    server.left_s["gemma:latest"] = 300
    with caplog.at_level(logging.WARNING):
        warmer.restart(chat(), lambda: asyncio.sleep(0))
        await warmer.ensure(chat())
    assert "restart that Ollama" in caplog.text
    assert len(server.sent) == 1
    await warmer.aclose()


async def test_a_model_in_use_is_loaded_anew_before_the_server_drops_it(
    server: FakeOllama,
) -> None:
    """By the time that the server tells, not by one that we assume."""
    server.keep_alive_s = 0.3
    warmer = warmer_of(server, KeepWarm(shortest_rewarm_s=0.1))
    await warmer.ensure(chat())
    await eventually(lambda: len(server.sent) >= 3, what="it is loaded anew")
    await warmer.aclose()
