"""Both clients against servers that are not Ollama, or not well: raw bytes on a socket."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from llm import (
    InvalidReplyError,
    LLMError,
    LLMService,
    LLMSettings,
    OllamaClient,
    OllamaUnreachableError,
    RetryableLLMError,
    StreamCutError,
)
from tests.support.machine import scaled

DONE = b'{"model":"m","message":{"content":"hi"},"done":true,"done_reason":"stop"}\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
NO_LOOK_UP = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
Chatter = Callable[[LLMSettings], str]


def chat_async(settings: LLMSettings) -> str:
    async def ask() -> str:
        async with OllamaClient.from_settings(settings, max_connections=1) as client:
            return (await client.chat(settings.chat_request(({"role": "user"},)))).text

    return asyncio.run(ask())


def chat_sync(settings: LLMSettings) -> str:
    with LLMService(settings) as service:
        return service.chat("hello")


@pytest.fixture(params=[chat_async, chat_sync], ids=["async", "sync"])
def chat(request: pytest.FixtureRequest) -> Chatter:
    chatter: Chatter = request.param
    return chatter


def settings_for(url: str, **more: object) -> LLMSettings:
    limits: dict[str, object] = {"idle_timeout_s": 5, "first_token_timeout_s": 5}
    return LLMSettings(_env_file=None, base_url=url, **limits | more)  # type: ignore[arg-type]  # by field


@contextmanager
def answering(answer: bytes, *, keeps_open: bool = False) -> Iterator[str]:
    """A server that reads one chat, answers these bytes and closes (or stays silent).

    It knows no look-up.
    """
    stop = threading.Event()

    def serve() -> None:
        is_asked = False
        while not is_asked:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(5)
                request = b""
                while not request.endswith((b"}", b"\r\n\r\n")):
                    request += connection.recv(65536)
                is_asked = request.startswith(b"POST /api/chat")
                connection.sendall(answer if is_asked else NO_LOOK_UP)
                if is_asked and keeps_open:
                    stop.wait(scaled(10))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        stop.set()
        thread.join(5)


def with_length(body: bytes, head: bytes = HEAD) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_a_well_formed_answer_is_an_answer(chat: Chatter) -> None:
    """Else the tests below would prove nothing."""
    with answering(with_length(DONE)) as url:
        assert chat(settings_for(url)) == "hi"


@pytest.mark.parametrize(
    "answer",
    [
        with_length(b"<html>welcome</html>\n"),
        with_length(b'["a list"]\n'),
        with_length(b"", b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"),
        with_length(b"404 page not found", b"HTTP/1.1 404 Not Found\r\n"),
        with_length(b"\x1f\x8b\x08\x00zipped\n", HEAD + b"Content-Encoding: gzip\r\n"),
    ],
    ids=["html", "list", "redirect", "other-404", "gzip"],
)
def test_what_is_not_ollama_is_an_invalid_reply(chat: Chatter, answer: bytes) -> None:
    """Redirects are not followed, and nothing is unpacked."""
    with answering(answer) as url, pytest.raises(InvalidReplyError):
        chat(settings_for(url))


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x00" * 50,
        b"",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nno chunk\r\n",
    ],
    ids=["ssh", "zeros", "nothing", "bad-chunk"],
)
def test_what_is_not_even_http_is_an_error_of_ours(chat: Chatter, answer: bytes) -> None:
    """Never an exception of httpx or aiohttp."""
    with answering(answer) as url, pytest.raises(LLMError):
        chat(settings_for(url))


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 500\r\n\r\n" + b'{"message":{"content":"h"}}\n',
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b'1c\r\n{"message":{"content":"h"}}\n\r\n',
    ],
    ids=["short", "no-last-chunk"],
)
def test_a_body_that_breaks_off_is_a_cut_stream(chat: Chatter, answer: bytes) -> None:
    """However it was to be framed."""
    with answering(answer) as url, pytest.raises(StreamCutError):
        chat(settings_for(url))


@pytest.mark.parametrize(
    "answer",
    [
        with_length(b'{"model":"m","message":{"role":"assistant","content":"h"},"done":false}'),
        with_length(
            b'{"model":"","created_at":"0001-01-01T00:00:00Z",'
            b'"message":{"role":"","content":""},"done":false}'
        ),
    ],
    ids=["done-false", "zero-object"],
)
def test_an_answer_in_one_object_must_be_done_too(chat: Chatter, answer: bytes) -> None:
    """Ollama gives these where nothing is streamed. We always stream; a proxy may not."""
    with answering(answer) as url, pytest.raises(StreamCutError):
        chat(settings_for(url))


def test_a_whole_answer_is_an_answer_though_the_connection_then_breaks(chat: Chatter) -> None:
    """After `done: true` only the connection is at stake."""
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(DONE) + DONE + b"\r\n"
    with answering(chunked) as url:
        assert chat(settings_for(url)) == "hi"


def test_a_whole_answer_does_not_wait_long_for_the_end_of_the_bytes(chat: Chatter) -> None:
    """A server that keeps the stream open after `done: true` costs at most the idle limit."""
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(DONE) + DONE + b"\r\n"
    with answering(chunked, keeps_open=True) as url:
        assert chat(settings_for(url, idle_timeout_s=scaled(0.3))) == "hi"


def test_a_server_that_takes_no_connection_is_unreachable_in_time(chat: Chatter) -> None:
    """Its queue of connections is full: the limit for connecting applies, not a longer one."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with pytest.raises(OllamaUnreachableError, match=r"within 0\.3 s"):
                chat(settings_for(url, connect_timeout_s=0.3))
        finally:
            for each in waiting:
                each.close()


def test_proxies_of_the_environment_are_not_used(
    chat: Chatter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt goes to Ollama and nowhere else."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with answering(with_length(DONE)) as url:
        assert chat(settings_for(url)) == "hi"


def test_a_host_that_does_not_exist_is_unreachable(chat: Chatter) -> None:
    """`.invalid` never resolves."""
    with pytest.raises(RetryableLLMError, match=r"ollama\.invalid"):
        chat(settings_for("http://ollama.invalid:11434"))
