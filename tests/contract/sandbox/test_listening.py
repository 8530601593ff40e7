"""What happens to a client that connects while a server ends."""

import asyncio
import gc
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from sandbox.context import Starting
from sandbox.listening import close_server
from sandbox.ollama import OllamaStandIn
from sandbox.ports import free_port
from sandbox.proxy import Proxy
from tests.support.machine import scaled
from tests.support.waiting import wait_until

HOST = "127.0.0.1"
CLIENTS = 4
ROUNDS = 5
ITERATIONS = 8
"""More than asyncio needs from a client's connect to the call of its handler."""


@pytest.mark.parametrize("iterations", range(ITERATIONS))
async def test_an_accepted_connection_is_known_before_the_end(iterations: int) -> None:
    """However many iterations the loop has had since the connect: the handler has the connection,
    or the client is refused; no client is left waiting for somebody who does not know it."""
    known: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: known.append(writer), HOST, 0)
    with socket.create_connection(server.sockets[0].getsockname(), timeout=5) as client:
        for _ in range(iterations):
            await asyncio.sleep(0)
        await close_server(server)
        for writer in known:
            writer.transport.abort()
        client.setblocking(False)
        end = asyncio.get_running_loop().sock_recv(client, 1)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(end, scaled(2)) == b""


SERVERS: dict[str, Callable[[int], Starting]] = {
    "proxy": lambda port: Proxy(free_port(), port=port),
    "stand-in": lambda port: OllamaStandIn(port=port),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_ends_while_clients_connect(kind: str) -> None:
    """No connection is left to the garbage collector."""
    port = free_port()
    with _no_leak(), _clients(port) as connected:
        for _ in range(ROUNDS):
            before = len(connected)
            with SERVERS[kind](port):
                wait_until(lambda b=before: len(connected) > b + CLIENTS, what="they connect")


@contextmanager
def _no_leak() -> Iterator[None]:
    gc.collect()
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(one.message) for one in found if "unclosed transport" in str(one.message)] == []


@contextmanager
def _clients(port: int) -> Iterator[list[int]]:
    """Clients that connect to the port again and again; gives a list with one item each time."""
    is_over = threading.Event()
    connected: list[int] = []

    def connect() -> None:
        while not is_over.is_set():
            try:
                socket.create_connection((HOST, port), timeout=1).close()
                connected.append(port)
            except OSError:
                pass
            is_over.wait(0.001)

    threads = [threading.Thread(target=connect) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    yield connected
    is_over.set()
    for thread in threads:
        thread.join()
