"""The HTTP client of ordinary threads: httpx, which no worker and no producer loads."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import httpx

from llm.errors import LLMError
from llm.http.connection import DEFAULT_MAX_CONNECTIONS, END_OF_REPLY_S, HEADERS, KEEPALIVE_S
from llm.wire.address import ssl_context_for
from llm.wire.error_map import MAX_ERROR_BODY_BYTES, Loss, error_of, refused
from llm.wire.timeouts import Timeouts

WRITE_TIMEOUT_S = 10.0

BLOCKING_ERRORS = (httpx.HTTPError, httpx.StreamError, OSError)
"""What a call by httpx can raise; `lost_call` turns each into an LLMError."""

_LOSSES = (
    (httpx.PoolTimeout, Loss.NO_PLACE),
    (httpx.DecodingError, Loss.NONSENSE),
    (httpx.ReadTimeout, Loss.SILENCE),
    (httpx.ConnectTimeout, Loss.NOT_ACCEPTED),
    (httpx.ConnectError, Loss.REFUSED),
)


def sync_http_client(
    base_url: str,
    transport: httpx.BaseTransport | None = None,
    *,
    headers: Mapping[str, str],
) -> httpx.Client:
    """A synchronous client for any number of threads; each request brings its time limits."""
    return httpx.Client(
        transport=transport,
        headers={**HEADERS, **headers},
        trust_env=False,
        follow_redirects=False,
        verify=ssl_context_for(urlsplit(base_url).scheme),
        limits=httpx.Limits(
            max_connections=DEFAULT_MAX_CONNECTIONS,
            max_keepalive_connections=DEFAULT_MAX_CONNECTIONS,
            keepalive_expiry=KEEPALIVE_S,
        ),
    )


def refusal_of(response: httpx.Response, body: bytes, *, model: str, base_url: str) -> LLMError:
    """The error that a response with a status other than 200 means; `body` is its beginning."""
    return refused(
        response.status_code,
        body,
        model=model,
        base_url=base_url,
        retry_after=response.headers.get("Retry-After"),
    )


def http_timeout(timeouts: Timeouts) -> httpx.Timeout:
    """The limits of a synchronous call until the head of its answer has come."""
    return httpx.Timeout(
        connect=timeouts.connect_s,
        read=timeouts.first_token_s,
        write=WRITE_TIMEOUT_S,
        pool=timeouts.first_token_s,
    )


@contextmanager
def cut_after(response: httpx.Response, seconds: float) -> Iterator[None]:
    """End the reading of a synchronous response within the block if that lasts too long.

    httpx 0.28 reads the time limit of a body once, at its begin. So a timer shuts the socket down;
    what is read then fails as with any lost connection. Raises RuntimeError where the process can
    start no thread.
    """
    stream = response.extensions.get("network_stream")
    own = None if stream is None else stream.get_extra_info("socket")
    if not isinstance(own, socket.socket):  # no network, as in tests
        yield
        return
    timer = threading.Timer(seconds, _shut_down, (own,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut_down(open_socket: socket.socket) -> None:
    with suppress(OSError):  # it is closed meanwhile
        # The method of the plain socket: that of TLS changes the object another thread reads from.
        socket.socket.shutdown(open_socket, socket.SHUT_RDWR)


def read_to_end(response: httpx.Response, raw: Iterator[bytes]) -> None:
    """The answer is whole; what goes wrong from here on costs a connection, not the answer."""
    with suppress(*BLOCKING_ERRORS, RuntimeError), cut_after(response, END_OF_REPLY_S):
        beginning_of(raw)


def beginning_of(chunks: Iterator[bytes]) -> bytes:
    """As much as an error's body may have."""
    body = b""
    for chunk in chunks:
        body += chunk
        if len(body) >= MAX_ERROR_BODY_BYTES:
            break
    return body


def lost_call(exc: Exception, *, replying: bool, base_url: str, timeouts: Timeouts) -> LLMError:
    """The same as `lost_connection`, for an exception of BLOCKING_ERRORS."""
    loss = next((loss for kind, loss in _LOSSES if isinstance(exc, kind)), Loss.CUT)
    return error_of(loss, replying=replying, base_url=base_url, timeouts=timeouts)
