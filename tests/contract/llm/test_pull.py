"""A model that a server lacks is downloaded once, if the settings allow it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator

import orjson
import pytest

from llm import (
    ChatRequest,
    Fleet,
    LLMSettings,
    ModelNotFoundError,
    OllamaClient,
    OllamaUnreachableError,
    TotalTimeoutError,
)
from llm.servers.pull import MAX_FILES, Progress, pull
from sandbox.ollama import OllamaStandIn, reply_to
from tests.support.waiting import eventually

MESSAGES = ({"role": "user", "content": "Sing of Sogolon."},)
ANSWER = reply_to(list(MESSAGES))


@pytest.fixture
def ollama() -> Iterator[OllamaStandIn]:
    with OllamaStandIn() as server:
        yield server


def chat(model: str = "missing") -> ChatRequest:
    return ChatRequest(model=model, messages=MESSAGES)


def fleet_of(*servers: OllamaStandIn, models: tuple[str, ...], **more: object) -> Fleet:
    settings = LLMSettings(
        _env_file=None,
        base_urls=tuple(server.url for server in servers),
        **more,  # type: ignore[arg-type]  # by field
    )
    return Fleet.from_settings(settings, max_connections=10, models=models)


async def test_a_missing_model_is_pulled_once_however_many_chats_wait(
    ollama: OllamaStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """Its progress stands in the log; then it is loaded and the chats are answered."""
    caplog.set_level(logging.INFO, "llm.servers.pull")
    async with fleet_of(ollama, models=("missing",), pull_missing=True) as fleet:
        replies = await asyncio.gather(*(fleet.chat(chat()) for _ in range(10)))
        assert {reply.text for reply in replies} == {ANSWER}
        assert (await fleet.chat(chat())).text == ANSWER
    assert (ollama.stats.pulls, ollama.stats.requests) == (1, 11)
    assert "has downloaded 50 % of missing" in caplog.text
    assert "has downloaded missing" in caplog.text


async def test_a_user_who_cancels_does_not_stop_the_download(ollama: OllamaStandIn) -> None:
    """As with a load."""
    async with fleet_of(ollama, models=("missing",), pull_missing=True) as fleet:
        task = asyncio.create_task(fleet.chat(chat()))
        await eventually(lambda: ollama.stats.pulls == 1, what="the download has begun")
        task.cancel()
        await asyncio.wait([task])
        assert (await fleet.chat(chat())).text == ANSWER
    assert ollama.stats.pulls == 1


@pytest.mark.parametrize(
    ("models", "more"),
    [(("missing",), {}), (("another",), {"pull_missing": True})],
    ids=["not allowed", "named by a job only"],
)
async def test_nothing_is_pulled_that_the_settings_do_not_allow(
    ollama: OllamaStandIn, models: tuple[str, ...], more: dict[str, object]
) -> None:
    """The error says what to run."""
    async with fleet_of(ollama, models=models, **more) as fleet:
        with pytest.raises(ModelNotFoundError, match="ollama pull missing"):
            await fleet.chat(chat())
    assert (ollama.stats.pulls, ollama.stats.requests) == (0, 0)


async def test_a_model_that_no_registry_has_is_an_error_for_good(ollama: OllamaStandIn) -> None:
    """It would not be there the next time either."""
    async with fleet_of(ollama, models=("nowhere",), pull_missing=True) as fleet:
        with pytest.raises(ModelNotFoundError, match="was not found in a registry"):
            await fleet.chat(chat("nowhere"))
    assert ollama.stats.pulls == 1


async def test_a_server_that_has_the_model_is_asked_before_one_downloads_it(
    ollama: OllamaStandIn,
) -> None:
    """A download is the last resort."""
    model = "llama9:1b"
    with OllamaStandIn(models=[model]) as other:
        async with fleet_of(ollama, other, models=(model,), pull_missing=True) as fleet:
            for number in range(5):
                assert (await fleet.chat(chat(model), session=f"s-{number}")).text == ANSWER
        assert (ollama.stats.pulls, other.stats.pulls, ollama.stats.requests) == (0, 0, 0)


async def test_a_download_has_a_time_limit(ollama: OllamaStandIn) -> None:
    """What is there by then is kept by Ollama."""
    async with OllamaClient(ollama.url) as client:
        with pytest.raises(TotalTimeoutError):
            await pull(client, "missing", limit_s=0.1)


async def test_a_server_that_stops_while_it_downloads(ollama: OllamaStandIn) -> None:
    """An error that can pass: the job is tried again."""
    async with OllamaClient(ollama.url) as client:
        ollama.stop()
        with pytest.raises(OllamaUnreachableError):
            await pull(client, "missing", limit_s=5)


def test_progress_is_logged_in_tenths_over_all_files() -> None:
    """Lines without sizes say nothing, and no tenth is logged twice."""
    progress = Progress()
    assert progress.note({"status": "pulling manifest"}) is None
    assert progress.note({"digest": "a", "total": 100, "completed": 55}) == 50
    assert progress.note({"digest": "a", "total": 100, "completed": 58}) is None
    assert progress.note({"digest": "b", "total": 100}) is None
    assert progress.note({"digest": "a", "total": 100, "completed": 100}) is None
    assert progress.note({"digest": "b", "total": 100, "completed": 100}) == 100


class Talkative(OllamaClient):
    """A server that tells of its progress at great length, and then that it is done."""

    async def read(self, *_: object, **__: object) -> AsyncGenerator[bytes, None]:
        """What no test wants to wait for a server to say."""
        line = orjson.dumps({"status": "pulling", "digest": "sha256:1", "padding": "x" * 60_000})
        for _ in range(80):
            yield (line + b"\n") * 16
        yield b'{"status":"success"}\n'


async def test_a_long_download_is_not_ended_by_its_progress() -> None:
    """Only its time limit ends it, however much the server tells meanwhile."""
    async with Talkative("http://127.0.0.1:1") as client:
        await pull(client, "missing", limit_s=60)


def test_the_files_that_are_counted_are_bounded() -> None:
    """What a server names must not fill the memory."""
    progress = Progress()
    for number in range(MAX_FILES):
        progress.note({"digest": str(number), "completed": 1, "total": 2})
    assert progress.note({"digest": "more", "completed": 10**9, "total": 10**9}) is None
    assert progress.note({"digest": "0", "completed": 2 * MAX_FILES, "total": 2 * MAX_FILES}) == 70
