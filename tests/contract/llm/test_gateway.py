"""An Ollama behind a gateway: a path before its own, a bearer token, a header."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from pydantic import SecretStr

from llm import AccessDeniedError, ChatRequest, LLMService, LLMSettings, OllamaClient
from sandbox.ollama import OllamaStandIn

KEY, TEAM = "key-of-the-test", "griot-of-the-test"
PATH = "/team/ollama"
MESSAGES = ({"role": "user", "content": "Who was Balla Fasséké?"},)


@pytest.fixture
async def gateway(ollama: OllamaStandIn) -> AsyncIterator[str]:
    """Its address. It lets nothing through without token and header."""

    async def passed_on(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.json_response({"error": "unauthorized"}, status=401)
        if request.headers.getall("X-Team", []) != [TEAM]:
            return web.json_response({"error": "forbidden"}, status=403)
        url = ollama.url + request.path.removeprefix(PATH)
        async with (
            ClientSession() as session,
            session.request(request.method, url, data=await request.read()) as answer,
        ):
            return web.Response(body=await answer.read(), status=answer.status)

    app = web.Application()
    app.router.add_route("*", PATH + "/{rest:.*}", passed_on)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"{site.name}{PATH}"
    await runner.cleanup()


def settings_for(gateway: str, key: str | None = KEY) -> LLMSettings:
    """What opens it, unless the key is another one."""
    return LLMSettings(
        base_url=f"{gateway}/",
        api_key=None if key is None else SecretStr(key),
        extra_headers=SecretStr(f"X-Team={TEAM}"),
    )


async def test_calls_and_look_ups_go_through_the_gateway(gateway: str) -> None:
    """Both of the asynchronous client and of the service."""
    settings = settings_for(gateway)
    async with OllamaClient.from_settings(settings, max_connections=2) as client:
        reply = await client.chat(ChatRequest(model="ok", messages=MESSAGES))
        assert reply.text
        assert reply.final.server == gateway.removeprefix("http://")
        assert await client.health_check()
        assert (await client.catalog.details("ok")).capabilities
        assert await client.catalog.loaded_for("ok") is not None
    with LLMService(settings) as service:
        assert await asyncio.to_thread(service.chat, "Who?", model="ok")
        assert await asyncio.to_thread(service.installed_models)


@pytest.mark.parametrize("key", [None, "another-key"])
async def test_a_key_that_does_not_open_it_is_a_refusal_that_shows_no_key(
    gateway: str, key: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in the error nor in the log, at any level."""
    settings = settings_for(gateway, key)
    with caplog.at_level(logging.DEBUG):
        async with OllamaClient.from_settings(settings, max_connections=2) as client:
            with pytest.raises(AccessDeniedError) as caught:
                await client.chat(ChatRequest(model="ok", messages=MESSAGES))
        with LLMService(settings) as service, pytest.raises(AccessDeniedError):
            await asyncio.to_thread(service.chat, "Who?", model="ok")
    shown = f"{caught.value!r} {caught.value} {caplog.text}"
    assert TEAM not in shown
    assert str(key) not in shown or key is None
