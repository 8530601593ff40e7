"""Making summaries, against a real server and the stand-in, without a worker around it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from llm import ContextLimits, LLMSettings, OllamaClient
from memory import AsyncConnection, Keyspace, Mailbox, encode_message, summary
from memory.records import history
from memory.records.summary import Summary
from sandbox.ollama import OllamaStandIn
from tasks.process.summaries import MAX_WANTED, Summaries, Wanted
from tests.support.memory_fixtures import Backend
from tests.support.metrics.shown import moves
from tests.support.waiting import eventually


@pytest.fixture
def mailbox(real_backend: Backend) -> Mailbox:
    """A session with four turns."""
    made = Mailbox.of(Keyspace(real_backend.prefix), "energy", "s")
    records = [
        encode_message({"role": role, "content": f"{role} {number} {'word ' * 40}"}, 10_000)
        for number in range(4)
        for role in ("user", "assistant")
    ]
    write = history.append(made.keys, records, write_id=b"w", keep=100, ttl_s=1000, is_exact=False)
    real_backend.connection.run(write)
    return made


@pytest.fixture
async def memory(real_backend: Backend) -> AsyncIterator[AsyncConnection]:
    """The connection of the loop."""
    made = AsyncConnection(real_backend.settings)
    yield made
    await made.aclose()


@pytest.fixture
async def client(ollama: OllamaStandIn) -> AsyncIterator[OllamaClient]:
    """A client of the stand-in."""
    async with OllamaClient(ollama.url) as made:
        yield made


@pytest.fixture
async def summaries(
    memory: AsyncConnection, client: OllamaClient, real_backend: Backend
) -> Summaries:
    """What makes them."""
    settings = LLMSettings(num_ctx=2048)
    context_limits = ContextLimits([client], settings)
    return Summaries(
        memory,
        Keyspace(real_backend.prefix),
        context_limits,
        client.stream,
        settings,
        is_used=True,
        ttl_of=lambda agent: 3600,
        is_paused=never,
    )


async def never(_: str, __: str) -> bool:
    """Nothing is paused."""
    return False


def kept(backend: Backend, mailbox: Mailbox) -> Summary | None:
    """The session's summary now."""
    return backend.connection.run(summary.read(mailbox.keys))


async def test_all_but_what_is_shown_is_summed_up(
    summaries: Summaries, mailbox: Mailbox, real_backend: Backend, ollama: OllamaStandIn
) -> None:
    """Once; the turn to make one is given back."""
    with moves("griot_summaries_total"):
        summaries.want(Wanted(mailbox, "ok", shown_messages=2))
        await eventually(lambda: kept(real_backend, mailbox), what="a summary is kept")
        await eventually(lambda: not summaries.wanted, what="it is over")
    (call,) = ollama.calls
    told = str(call.messages[1]["content"])
    assert "User: user 2" in told
    assert "User: user 3" not in told
    assert call.options == {"temperature": 0.0, "num_predict": 512, "num_ctx": 2048}
    key = Keyspace(real_backend.prefix).summary_lock
    await eventually(lambda: not real_backend.observer.exists(key), what="the turn is free")


async def test_what_does_not_fit_into_one_call_is_summed_up_in_several(
    summaries: Summaries, mailbox: Mailbox, real_backend: Backend, ollama: OllamaStandIn
) -> None:
    """Each goes on from the one before, until nothing is left out of it."""
    long = [
        encode_message({"role": "user", "content": f"long {number} {'x' * 3000}"}, 10_000)
        for number in range(3)
    ]
    write = history.append(mailbox.keys, long, write_id=b"x", keep=100, ttl_s=1000, is_exact=False)
    real_backend.connection.run(write)
    summaries.want(Wanted(mailbox, "ok", shown_messages=0))
    last = summary.name_of(long[-1])
    await eventually(
        lambda: (found := kept(real_backend, mailbox)) and found.until == last,
        timeout_s=20,
        what="all is summed up",
    )
    assert len(ollama.calls) >= 2
    assert all(call.status == 200 for call in ollama.calls)
    assert str(ollama.calls[1].messages[1]["content"]).startswith("The notes so far:")


async def test_who_is_interrupted_tries_again_when_it_is_quiet(
    summaries: Summaries, mailbox: Mailbox, real_backend: Backend, ollama: OllamaStandIn
) -> None:
    """The model is stopped at once."""
    ollama.script("ok", ["slow-tokens:2000x5ms"])
    summaries.want(Wanted(mailbox, "ok", shown_messages=2))
    await eventually(lambda: ollama.stats.tokens > 0, what="it is under way")
    summaries.interrupt()
    await eventually(lambda: ollama.stats.disconnects == 1, timeout_s=1, what="it is stopped")
    assert kept(real_backend, mailbox) is None
    await eventually(lambda: kept(real_backend, mailbox), timeout_s=20, what="it is made after all")


@pytest.mark.parametrize("life", [{"px": 3_600_000}, {}], ids=["an hour", "for ever"])
async def test_a_lock_that_nobody_takes_for_so_long_holds_nobody_up(
    summaries: Summaries, mailbox: Mailbox, real_backend: Backend, life: dict[str, int]
) -> None:
    """Its holder has died, and the server's clock was set back."""
    real_backend.observer.set(Keyspace(real_backend.prefix).summary_lock, b"dead", **life)
    summaries.want(Wanted(mailbox, "ok", shown_messages=2))
    await eventually(lambda: kept(real_backend, mailbox), what="a summary is kept")


async def test_a_session_that_goes_on_gets_none_now(
    summaries: Summaries, mailbox: Mailbox, real_backend: Backend, ollama: OllamaStandIn
) -> None:
    """A job waits: the turn that answers it will want a summary again."""
    real_backend.connection.run_all(*mailbox.enqueue("j", b"{}", cap=9, grace_ms=5000))
    summaries.want(Wanted(mailbox, "ok", shown_messages=2))
    other = Mailbox.of(mailbox.keyspace, "energy", "other")
    summaries.want(Wanted(other, "ok", shown_messages=2))
    await eventually(lambda: not summaries.wanted, what="both were looked at")
    assert ollama.calls == []
    assert kept(real_backend, mailbox) is None


@pytest.mark.parametrize("model", ["gone-500", "ok:0"], ids=["fails", "says nothing"])
async def test_a_model_that_gives_none_is_not_asked_again_and_again(
    summaries: Summaries,
    mailbox: Mailbox,
    real_backend: Backend,
    ollama: OllamaStandIn,
    model: str,
) -> None:
    """The next turn of the session will wish for it anew."""
    summaries.want(Wanted(mailbox, model, shown_messages=2))
    await eventually(lambda: not summaries.wanted, what="it was tried")
    await eventually(lambda: ollama.stats.active == 0, what="the model is idle")
    assert len(ollama.calls) == 1
    assert kept(real_backend, mailbox) is None


async def test_wishes_are_bounded(
    summaries: Summaries, mailbox: Mailbox, ollama: OllamaStandIn
) -> None:
    """The newest are kept, each session's once."""
    for number in range(MAX_WANTED + 10):
        session = Mailbox.of(mailbox.keyspace, "energy", f"s-{number}")
        for _ in range(2):
            summaries.want(Wanted(session, "ok", shown_messages=2))
    assert len(summaries.wanted) == MAX_WANTED
    await summaries.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}
