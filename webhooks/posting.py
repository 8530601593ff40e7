"""Sending one event to its receiver, once."""

import asyncio
import time
from collections.abc import Mapping
from typing import NoReturn

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from webhooks.address import Address
from webhooks.errors import BadAddress, Failed, Undeliverable
from webhooks.networks import AddressRefused, CheckedResolver, is_allowed
from webhooks.settings import WebhookSettings
from webhooks.signing import signed_headers

READ_BYTES = 16_384
"""What is read of an answer, so that its connection can be used again; a longer one is cut off."""
GONE = 410
HEADERS = {"Content-Type": "application/json", "User-Agent": "Griot-Webhooks"}


class Poster:
    """Sends events; used on one event loop. No redirect, proxy, cookie or login is followed."""

    def __init__(
        self, settings: WebhookSettings, *, at_once: int, names: AbstractResolver | None = None
    ) -> None:
        """`at_once`: connections to one receiver; `names` looks names up, else the system does."""
        self._settings = settings
        self._at_once = at_once
        self._names = names
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, url: str, event_id: str, body: bytes, place: Mapping[str, str] | None = None
    ) -> None:
        """Send an event, with its `place` in a trace as the W3C writes it.

        Returns once the receiver has answered that it has it (2xx), and within
        WEBHOOK_TIMEOUT_SECONDS. Raises Failed, or Undeliverable.
        """
        try:
            address = self._settings.allowed.check(url)
        except BadAddress as exc:
            raise Undeliverable(str(exc)) from None
        self._check_literal(address)
        now_s = int(time.time())
        headers = signed_headers(self._settings.keys, event_id, body, now_s=now_s)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                all_headers = {**HEADERS, **headers, **(place or {})}
                status = await self._status(address, all_headers, body)
        except TimeoutError:
            raise Failed(f"no answer within {self._settings.timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise_mapped(exc)
        if status == GONE:
            raise Undeliverable("it answered 410: it wants no more of them")
        if not 200 <= status < 300:
            more = "; redirects are not followed" if 300 <= status < 400 else ""
            raise Failed(f"it answered {status}{more}")

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _status(self, address: Address, headers: dict[str, str], body: bytes) -> int:
        session = self._session = self._session or self._made()
        url = URL(address.url, encoded=True)
        sent = session.post(url, data=body, headers=headers, allow_redirects=False)
        async with sent as response:
            read = 0
            async for piece in response.content.iter_chunked(READ_BYTES):
                read += len(piece)
                if read > READ_BYTES:
                    response.close()
                    break
            return response.status

    def _check_literal(self, address: Address) -> None:
        """An address that is a number is connected to without a look-up."""
        is_number = ":" in address.host or address.host.replace(".", "").isdigit()
        if is_number and not is_allowed(address.host, self._settings.private):
            raise Undeliverable(
                f"{address.host} is in a private network that WEBHOOK_NETWORKS lacks"
            )

    def _made(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(self._settings.private, self._names),
            use_dns_cache=False,
            limit=0,
            limit_per_host=self._at_once,
            keepalive_timeout=5,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            max_line_size=8190,
            max_field_size=8190,
        )


def raise_mapped(error: Exception) -> NoReturn:
    """Raise what an exception of aiohttp or of the system means; its text names no path."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefused):
            raise Undeliverable(f"{cause}, which WEBHOOK_NETWORKS lacks") from None
        cause = cause.__cause__ or cause.__context__
    raise Failed(f"it cannot be reached ({type(error).__name__})") from None
