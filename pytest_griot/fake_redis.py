"""fakeredis at an address of its own, in a thread of this process.

Everything in Griot that talks to Redis talks to an address: so nothing of it knows that this one is
no server. The dialect is Valkey 8's.
"""

import hashlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Self

from fakeredis import TcpFakeServer

# fakeredis 2.40 offers no way to bring a handler of one's own.
from fakeredis._clients._tcp_server import TCPFakeRequestHandler
from redis.exceptions import ResponseError

from sandbox.context import Starting
from sandbox.resp import RespConnection

HOST = "127.0.0.1"


class FakeRedis(Starting):
    """A Redis without a process, empty at its start; leaving the context ends it."""

    def __init__(self) -> None:
        self._server: TcpFakeServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started before."""
        return self._server is not None

    @property
    def url(self) -> str:
        """Its address. RuntimeError before its start."""
        if self._server is None:
            raise RuntimeError("not started")
        return f"redis://{HOST}:{self._server.server_address[1]}/0"

    def start(self) -> Self:
        """Listen on a free port."""
        server = TcpFakeServer((HOST, 0), server_type="valkey", server_version=(8, 0))
        server.RequestHandlerClass = _Handler
        server.daemon_threads = True
        self._server = server
        serve = partial(server.serve_forever, poll_interval=0.02)
        self._thread = threading.Thread(target=serve, name="fake-redis", daemon=True)
        self._thread.start()
        return self

    def clear(self) -> None:
        """Remove all that is in it."""
        if self._server is not None:
            with RespConnection(self._server.server_address[1]) as connection:
                connection.command("FLUSHALL")

    def close(self) -> None:
        """Stop listening, and cut what is connected."""
        server, self._server = self._server, None
        if server is not None and self._thread is not None:
            server.shutdown()
            self._thread.join()
            server.server_close()


class _Handler(TCPFakeRequestHandler):
    """One connection; where fakeredis 2.40 differs from a server, as a server has it."""

    def setup(self) -> None:
        super().setup()
        connection = self.current_client
        socket = connection.get_socket()
        # It takes the first line of a script, `#!lua flags=…`, for Lua.
        socket.eval = partial(_without_shebang, socket.eval, socket._server.script_cache)
        # It closes a connection behind every error.
        read = connection.read_response
        connection.read_response = partial(_error_as_value, read)  # type: ignore[method-assign]


def _without_shebang(
    run: Callable[..., object], cache: dict[bytes, bytes], script: bytes, *rest: object
) -> object:
    if not script.startswith(b"#!"):
        return run(script, *rest)
    digest = hashlib.sha1(script, usedforsecurity=False).hexdigest()
    cache[digest.encode()] = script = b"--" + script
    return run(script, *rest)


def _error_as_value(read: Callable[..., object], **options: object) -> object:
    try:
        return read(**options)
    except ResponseError as error:
        return error
