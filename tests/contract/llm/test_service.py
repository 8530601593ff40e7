"""The synchronous service as docs/services.md shows it, and its singleton."""

import multiprocessing
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llm import (
    InvalidRequestError,
    LLMService,
    LLMSettings,
    OllamaClient,
    OllamaFailedError,
    OllamaUnreachableError,
    get_llm_service,
)
from sandbox.ollama import OllamaStandIn, reply_to
from tests.support.machine import scaled

QUESTION = "What are the ECOWAS energy initiatives?"
SYSTEM = "You are an energy expert."


@pytest.fixture(scope="module")
def standin() -> Iterator[OllamaStandIn]:
    with OllamaStandIn() as server:
        yield server


@pytest.fixture
def ollama(
    standin: OllamaStandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[OllamaStandIn]:
    """The stand-in, and an environment that names it; the singleton begins and ends closed."""
    standin.reset()
    monkeypatch.setenv("OLLAMA_BASE_URL", standin.url)
    monkeypatch.chdir(tmp_path)
    yield standin
    get_llm_service().close()


def test_simple_chat_as_documented(ollama: OllamaStandIn) -> None:
    """The first example of the documentation."""
    llm = get_llm_service()
    response = llm.chat(prompt=QUESTION, system_prompt=SYSTEM, temperature=0.7)
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    assert response == reply_to(messages)
    (call,) = ollama.calls
    assert (call.model, call.options["temperature"]) == ("qwen2.5:0.5b", 0.7)


def test_a_reply_is_bounded_by_what_a_shared_servers_window_has_left(
    ollama: OllamaStandIn,
) -> None:
    """As soon as the window is known; and less where less is asked."""
    settings = LLMSettings(base_url=ollama.url, num_ctx=4096)
    with LLMService(settings) as llm:
        llm.chat(QUESTION, model="bounded")
        llm.chat(QUESTION, model="bounded", max_tokens=7)
    with LLMService(settings.model_copy(update={"shared": False})) as llm:
        llm.chat(QUESTION, model="bounded")
    first, second, third = (call.options.get("num_predict") for call in ollama.calls)
    assert isinstance(first, int)
    assert 3800 < first < 4096
    assert (second, third) == (7, None)


def test_chat_with_history_as_documented(ollama: OllamaStandIn) -> None:
    """The second example of the documentation."""
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi there!"},
        {"role": "user", "content": "Tell me about renewable energy"},
    ]
    assert get_llm_service().chat_with_history(messages) == reply_to(messages)


def test_the_streaming_forms_give_the_same_text_in_pieces(ollama: OllamaStandIn) -> None:
    """One piece per token, none empty."""
    llm = get_llm_service()
    pieces = list(llm.stream_chat(QUESTION))
    assert len(pieces) > 1
    assert all(pieces)
    assert "".join(pieces) == llm.chat(QUESTION)
    history = [{"role": "user", "content": QUESTION}]
    assert list(llm.stream_chat_with_history(history)) == pieces


def test_model_temperature_and_tokens_of_a_call_override_the_settings(
    ollama: OllamaStandIn,
) -> None:
    """Zero is a value, not "not given"."""
    get_llm_service().chat(QUESTION, temperature=0, max_tokens=9, model="instant")
    (call,) = ollama.calls
    assert call.model == "instant"
    assert call.options == {"temperature": 0, "num_predict": 9}


def test_a_wrong_argument_is_refused_before_anything_is_sent(ollama: OllamaStandIn) -> None:
    """At once, also by the streaming form."""
    with pytest.raises(InvalidRequestError):
        get_llm_service().stream_chat(QUESTION, model="http://elsewhere/m")
    assert ollama.stats.requests == 0


def test_the_service_is_one_per_process(ollama: OllamaStandIn) -> None:
    """However many threads ask for it first."""
    with ThreadPoolExecutor(16) as threads:
        services = list(threads.map(lambda _: get_llm_service(), range(64)))
    assert len({id(service) for service in services}) == 1
    assert not services[0].is_closed


def test_threads_share_the_service(ollama: OllamaStandIn) -> None:
    """Each gets the answer to its own question."""
    llm = get_llm_service()
    questions = [f"question {number}" for number in range(32)]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(llm.chat, questions))
    assert answers == [reply_to([{"role": "user", "content": text}]) for text in questions]


def test_after_close_a_new_service_is_made(ollama: OllamaStandIn) -> None:
    """And the closed one says that it is closed."""
    old = get_llm_service()
    old.close()
    old.close()
    assert get_llm_service() is not old
    assert get_llm_service().chat(QUESTION)
    assert not old.health_check()
    with pytest.raises(OllamaUnreachableError, match="closed"):
        old.chat(QUESTION)


@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_child_makes_its_own_service(ollama: OllamaStandIn) -> None:
    """Two processes on one connection would read each other's replies."""
    parent_id = id(get_llm_service())
    assert get_llm_service().chat(QUESTION)
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()

    def child() -> None:
        # The parent's object is held by the test, so a new one has another id.
        answers.put((id(get_llm_service()) != parent_id, get_llm_service().chat(QUESTION)))

    kept = get_llm_service()
    process = fork.Process(target=child)
    process.start()
    process.join(20)
    assert process.exitcode == 0
    assert answers.get() == (True, kept.chat(QUESTION))
    answers.close()
    process.close()


def test_health_is_whether_ollama_answers(ollama: OllamaStandIn) -> None:
    """True or False, never an exception."""
    assert get_llm_service().health_check()


async def test_the_asynchronous_client_knows_health_too(standin: OllamaStandIn) -> None:
    """On the same facts."""
    async with OllamaClient(standin.url) as client:
        assert await client.health_check()


def test_a_server_that_accepts_and_says_nothing_is_not_healthy() -> None:
    """Ollama while it starts up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with LLMService(LLMSettings(_env_file=None, base_url=url)) as service:
            assert not service.health_check(timeout_s=0.2)


async def test_the_asynchronous_client_sees_the_same_silence() -> None:
    """As above."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with OllamaClient(url) as client:
            assert not await client.health_check(timeout_s=0.2)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://ollama.invalid:11434"])
async def test_nothing_there_is_not_healthy(url: str) -> None:
    """Neither client raises."""
    with LLMService(LLMSettings(_env_file=None, base_url=url)) as service:
        assert not service.health_check()
    async with OllamaClient(url) as client:
        assert not await client.health_check()


def test_a_model_is_loaded_before_its_chat_and_not_looked_for_again(
    ollama: OllamaStandIn,
) -> None:
    """Under a limit of its own: given up with the chat, the load would begin from zero again."""
    settings = LLMSettings(
        base_url=ollama.url, first_token_timeout_s=scaled(0.3), keep_alive="30m", shared=False
    )
    with LLMService(settings) as llm:
        model = f"cold:load{scaled(1)}s"
        assert llm.chat(QUESTION, model=model)
        assert (ollama.stats.loads, ollama.stats.load_requests) == (1, 1)
        asked = ollama.stats.lookups
        assert llm.chat(QUESTION, model=model)
        assert (ollama.stats.load_requests, ollama.stats.lookups) == (1, asked)


def test_a_model_of_the_cloud_is_not_loaded(ollama: OllamaStandIn) -> None:
    """The empty request would go there. Nor is one that is to go at once."""
    with LLMService(LLMSettings(base_url=ollama.url)) as llm:
        assert llm.chat(QUESTION, model="gpt-oss:120b-cloud")
    with LLMService(LLMSettings(base_url=ollama.url, keep_alive="0s")) as llm:
        assert llm.chat(QUESTION, model="ok")
    assert ollama.stats.load_requests == 0


def test_a_load_that_fails_is_the_chats_failure(ollama: OllamaStandIn) -> None:
    """With its reason."""
    with LLMService(LLMSettings(base_url=ollama.url)) as llm, pytest.raises(OllamaFailedError):
        llm.chat(QUESTION, model="load-500")
    assert ollama.stats.requests == 0
