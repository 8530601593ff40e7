"""What the bench's client makes of answers that are none: it must not wait for their end."""

import socket
import threading
from collections.abc import Callable

import pytest

from bench.http_client import listen_all, post_all

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
FAILED = b'event: response.failed\ndata: {"why": "no model"}\n\n'


@pytest.mark.parametrize("ask", [
    lambda port: listen_all(port, ["session"], {}),
    lambda port: post_all([port], {}, 2, 1),
], ids=["a stream", "a request"])  # fmt: skip
def test_an_answer_that_breaks_off_is_an_error(ask: Callable[[int], object]) -> None:
    """The server died, or closed the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = _answer(server, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", stays=False)
        with pytest.raises(ConnectionError, match="broke off"):
            ask(server.getsockname()[1])
        answering.join()


def test_a_stream_that_fails_is_an_error() -> None:
    """Its connection stays: nobody would close it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = _answer(server, HEAD + FAILED, stays=True)
        with pytest.raises(RuntimeError, match="no model"):
            listen_all(server.getsockname()[1], ["session"], {})
        answering.join()


def _answer(server: socket.socket, answer: bytes, *, stays: bool) -> threading.Thread:
    def once() -> None:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(30)
            connection.recv(4096)
            connection.sendall(answer)
            if stays:
                connection.recv(4096)

    thread = threading.Thread(target=once)
    thread.start()
    return thread
