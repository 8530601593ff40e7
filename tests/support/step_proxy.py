"""A way to a server on which something can happen between any two commands of one pipeline."""

import socket
import socketserver
import threading
from collections.abc import Callable
from typing import Self

import hiredis

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536


class StepProxy:
    """Hands its clients' commands to a server one at a time, each after the reply to the last.

    `before_script` is called with 0, 1, 2 … before each EVAL and EVALSHA, whatever connection it is
    on; `reset` begins to count anew.
    """

    def __init__(self, target_port: int, before_script: Callable[[int], None]) -> None:
        self._target_port = target_port
        self._before_script = before_script
        self._lock = threading.Lock()
        self.scripts = 0
        """How many were counted."""
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                proxy._carry(self.request)

        self._server = socketserver.ThreadingTCPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def reset(self) -> None:
        """Count from 0 again."""
        with self._lock:
            self.scripts = 0

    def _carry(self, client: socket.socket) -> None:
        requests = hiredis.Reader()
        with socket.create_connection((HOST, self._target_port)) as server:
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := client.recv(CHUNK_BYTES):
                requests.feed(data)
                while (command := requests.gets()) is not False:
                    self._count(command)
                    server.sendall(hiredis.pack_command(tuple(command)))  # type: ignore[arg-type]  # the stub says: a tuple of one
                    client.sendall(_one_reply(server))

    def _count(self, command: list[bytes]) -> None:
        if command[0] not in (b"EVAL", b"EVALSHA"):
            return
        with self._lock:
            number, self.scripts = self.scripts, self.scripts + 1
        self._before_script(number)


def _one_reply(server: socket.socket) -> bytes:
    replies, taken = hiredis.Reader(), b""
    while replies.gets() is False:
        data = server.recv(CHUNK_BYTES)
        taken += data
        replies.feed(data)
    return taken
