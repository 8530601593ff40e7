"""One contract for vectors: the fleet and the blocking service, in both dialects."""

import asyncio
import math
from collections.abc import Callable

import pytest

from llm import (
    ContextOverflowError,
    Embedded,
    EmbedRequest,
    FirstTokenTimeoutError,
    Fleet,
    InvalidReplyError,
    InvalidRequestError,
    LLMError,
    LLMService,
    LLMSettings,
    ModelNotFoundError,
    OllamaBusyError,
    OllamaUnreachableError,
    ResponseTooLargeError,
    UnsupportedError,
    embed,
)
from llm.http import embedding
from llm.wire.embed import read_embedded
from sandbox.ollama import OllamaStandIn
from sandbox.ports import free_port

Ask = Callable[[LLMSettings, str], list[list[float]]]


def by_fleet(settings: LLMSettings, model: str) -> list[list[float]]:
    async def ask() -> Embedded:
        async with Fleet.from_settings(settings, max_connections=2) as fleet:
            request = settings.embed_request(("one", "two" * 10), model=model)
            return await embed(fleet, settings, request)

    return [vector.tolist() for vector in asyncio.run(ask()).vectors]


def by_service(settings: LLMSettings, model: str) -> list[list[float]]:
    with LLMService(settings) as service:
        return service.embed(["one", "two" * 10], model)


@pytest.fixture(params=[by_fleet, by_service])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Each of the two."""
    made: Ask = request.param
    return made


@pytest.mark.parametrize("dialect", ["ollama", "openai"])
def test_vectors_come_in_the_order_of_the_texts(
    ollama: OllamaStandIn, ask: Ask, dialect: str
) -> None:
    """Of length 1, as floats of 32 bits."""
    url = ollama.url if dialect == "ollama" else f"{ollama.url}/v1"
    settings = LLMSettings(base_url=url, dialect=dialect)
    first, second = ask(settings, "embedder")
    assert first != second
    assert math.hypot(*first) == pytest.approx(1, abs=1e-6)
    assert [first, second] == ask(settings, "embedder")


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("missing", ModelNotFoundError),
        ("ok", UnsupportedError),
        ("embedder:ctx4-dense9", ContextOverflowError),
        ("busy-503", OllamaBusyError),
        ("embedder:5s", FirstTokenTimeoutError),
        ("not a model", InvalidRequestError),
    ],
)
def test_what_goes_wrong_is_an_error_of_chats(
    ollama: OllamaStandIn, ask: Ask, model: str, error: type[LLMError]
) -> None:
    """The same tree, so a caller needs no second one."""
    settings = LLMSettings(base_url=ollama.url, first_token_timeout_s=0.6, load_timeout_s=0.6)
    with pytest.raises(error):
        ask(settings, model)


def test_nothing_listens(ask: Ask) -> None:
    """It is an outage."""
    with pytest.raises(OllamaUnreachableError):
        ask(LLMSettings(base_url=f"http://127.0.0.1:{free_port()}"), "embedder")


def test_an_answer_is_bounded(ollama: OllamaStandIn) -> None:
    """In bytes, as replies are."""
    settings = LLMSettings(base_url=ollama.url, max_response_bytes=1024)
    with LLMService(settings) as service, pytest.raises(ResponseTooLargeError):
        service.embed(["x"] * 64, "embedder")


def test_a_server_that_fails_is_followed_by_another(ollama: OllamaStandIn) -> None:
    """Each is tried once."""
    away = f"http://127.0.0.1:{free_port()}"
    settings = LLMSettings(base_urls=f"{away},{ollama.url}")
    assert len(by_fleet(settings, "embedder")) == 2


def test_shorter_vectors_are_asked_for(ollama: OllamaStandIn) -> None:
    """Of length 1 all the same."""
    with LLMService(LLMSettings(base_url=ollama.url)) as service:
        (vector,) = service.embed(["x"], "embedder", dimensions=3)
    assert (len(vector), math.hypot(*vector)) == (3, pytest.approx(1, abs=1e-6))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"embeddings":[]}',
        b'{"embeddings":[[]]}',
        b'{"embeddings":[[1],[1]]}',
        b'{"embeddings":[["x"]]}',
        b'{"embeddings":5}',
        b'{"embeddings":[1]}',
        b'{"embeddings":[[1e400]]}',
    ],
)
def test_what_is_no_vector_for_each_text_is_refused(body: bytes) -> None:
    """InvalidReplyError, which quotes nothing of it."""
    request = EmbedRequest(model="m", texts=("x",))
    with pytest.raises(InvalidReplyError):
        read_embedded(body, request, "http://127.0.0.1:1")


@pytest.mark.parametrize(
    "wrong", [{"texts": ()}, {"texts": ("",)}, {"texts": ("x",), "dimensions": 0}]
)
def test_what_cannot_be_asked_is_not_sent(wrong: dict[str, object]) -> None:
    """InvalidRequestError."""
    with pytest.raises(InvalidRequestError):
        EmbedRequest(**{"model": "m", "texts": ("x",), **wrong})  # type: ignore[arg-type]  # wrong on purpose


def test_a_lone_surrogate_cannot_be_written() -> None:
    """InvalidRequestError, too."""
    with pytest.raises(InvalidRequestError):
        EmbedRequest(model="m", texts=("\ud800",)).body()


def test_what_a_loop_reads_in_one_go_is_bounded(
    ollama: OllamaStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever LLM_MAX_RESPONSE_BYTES is: reading 16 MB of numbers takes it 70 ms."""
    settings = LLMSettings(base_url=ollama.url)
    assert embedding.MOST_BYTES <= 8 * 1024 * 1024 < settings.max_response_bytes
    monkeypatch.setattr(embedding, "MOST_BYTES", 20)
    with pytest.raises(ResponseTooLargeError, match="over 20 bytes: ask for fewer"):
        by_fleet(settings, "embedder")
