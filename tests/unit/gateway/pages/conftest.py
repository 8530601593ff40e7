"""A client of the gateway's application, without servers behind it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.app import create_app
from gateway.settings import GatewaySettings


@pytest.fixture
async def web() -> AsyncIterator[httpx.AsyncClient]:
    """Asks for what needs no memory."""
    transport = httpx.ASGITransport(create_app(GatewaySettings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield client
