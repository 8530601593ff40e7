"""What servers answer word for word, through both clients and the fleet."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from llm import (
    ChatRequest,
    Fleet,
    LLMError,
    LLMService,
    LLMSettings,
    OllamaBusyError,
    OllamaClient,
    OllamaFailedError,
    RepetitionError,
)
from llm.servers.breaker import FAILURES
from sandbox.ollama import OllamaStandIn

KILLED = b'{"error":"llama-server process has terminated: signal: killed"}'
LOADED = b'{"model":"m","done":true,"done_reason":"load"}'


def chat(model: str = "m") -> ChatRequest:
    return ChatRequest(model=model, messages=({"role": "user", "content": "hello"},))


def answer(status: int, body: bytes, *headers: str) -> bytes:
    """A whole HTTP answer."""
    head = (f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", "Connection: close")
    return "\r\n".join((*head, *headers, "", "")).encode() + body


def pieces(*texts: str) -> bytes:
    """A stream of these pieces that ends tidily, without `done: true`."""
    lines = ({"message": {"role": "assistant", "content": text}, "done": False} for text in texts)
    return b"\n".join(map(orjson.dumps, lines)) + b"\n"


@asynccontextmanager
async def saying(chats: bytes, loads: bytes = answer(200, LOADED)) -> AsyncIterator[str]:
    """The address of a server that answers each chat, and each load of a model, with these bytes.

    Other look-ups get an empty object.
    """

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = head.partition("content-length:")[2].partition("\r\n")[0]
        body = await reader.readexactly(int(length or 0))
        asked = orjson.loads(body or b"{}")
        is_chat = " /api/chat " in head
        said = (chats if asked.get("messages") else loads) if is_chat else answer(200, b"{}")
        writer.write(said)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


async def failure_of(fleet: Fleet, model: str = "m") -> LLMError:
    with pytest.raises(LLMError) as caught:
        await fleet.chat(chat(model))
    return caught.value


async def test_both_clients_read_how_long_to_wait() -> None:
    """A gateway's Retry-After reaches the pause before the next attempt."""
    async with saying(answer(429, b'{"error":"too many requests"}', "Retry-After: 7")) as url:
        async with OllamaClient(url) as client:
            with pytest.raises(OllamaBusyError) as caught:
                await client.chat(chat())
        assert caught.value.retry_after_s == 7
        with (
            LLMService(LLMSettings(base_url=url)) as service,
            pytest.raises(OllamaBusyError) as caught,
        ):
            await asyncio.to_thread(service.complete, chat())
        assert caught.value.retry_after_s == 7


async def test_a_runner_killed_while_it_loads_is_an_outage_and_killed_by_a_chat_is_none() -> None:
    """The kernel kills it for want of memory; a long prompt may be what takes the memory."""
    async with saying(answer(500, KILLED)) as url, Fleet([OllamaClient(url)]) as fleet:
        error = await failure_of(fleet)
        assert (type(error), error.is_outage) == (OllamaFailedError, False)
    async with (
        saying(answer(500, KILLED), loads=answer(500, KILLED)) as url,
        Fleet([OllamaClient(url)]) as fleet,
    ):
        error = await failure_of(fleet)
        assert (type(error), error.is_outage) == (OllamaFailedError, True)


@pytest.mark.parametrize(
    ("said", "model", "stays_closed"),
    [
        (answer(200, pieces("Well,", *[" a"] * 31)), "m", True),
        (answer(200, pieces("Well,")), "m", False),
        (answer(503, b'{"error":"Server overloaded"}'), "m:120b-cloud", True),
        (answer(503, b'{"error":"server busy, please try again"}'), "m", False),
    ],
    ids=["a reply that repeats itself", "a cut reply", "an overloaded cloud", "a full queue"],
)
async def test_a_breaker_opens_for_what_is_the_servers_fault_alone(
    said: bytes, model: str, stays_closed: bool
) -> None:
    """Else one prompt, or the cloud, would close the server to all others."""
    with OllamaStandIn() as other:
        async with (
            saying(said) as url,
            Fleet([OllamaClient(url), OllamaClient(other.url)]) as fleet,
        ):
            server = fleet.servers[0]
            for _ in range(FAILURES):
                with pytest.raises(LLMError), server.calling(chat(model)):
                    await server.client.chat(chat(model))
            assert server.breaker.is_closed is stays_closed


async def test_a_reply_that_repeats_itself_says_so() -> None:
    """Not that the connection was cut."""
    async with (
        saying(answer(200, pieces(*[" a"] * 31))) as url,
        Fleet([OllamaClient(url)]) as fleet,
    ):
        assert type(await failure_of(fleet)) is RepetitionError
