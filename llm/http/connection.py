"""How the HTTP client of the event loop is made: pooled, without proxies of the environment."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp

from llm.wire.address import ssl_context_for

DEFAULT_MAX_CONNECTIONS = 100
HEALTH_TIMEOUT_S = 3.0

KEEPALIVE_S = 60.0
"""How long an unused connection is kept; Ollama itself never closes one."""

END_OF_REPLY_S = 1.0
"""After `done: true`: how long to wait for the end of the bytes, to keep the connection."""

# No Accept-Encoding but identity: a compressed reply could grow past every limit in bytes.
HEADERS = {
    "Accept": "application/x-ndjson, application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": "griot",
}


def async_session(
    base_url: str, max_connections: int, headers: Mapping[str, str]
) -> aiohttp.ClientSession:
    """aiohttp's pool of connections, to be made on its event loop.

    Not httpx's: cancelled calls leak its connections until the pool is stuck
    (encode/httpcore#1093), and a call costs several times the CPU.
    """
    # Explicit numbers: left to itself aiohttp stops at 100 connections.
    connector = aiohttp.TCPConnector(
        limit=max_connections,
        ssl=ssl_context_for(urlsplit(base_url).scheme),
        keepalive_timeout=KEEPALIVE_S,
    )
    return aiohttp.ClientSession(
        connector=connector,
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )
