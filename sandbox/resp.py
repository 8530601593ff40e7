"""Just enough of the Redis protocol (RESP2) to ask a server how it is, without a client library."""

import socket

from sandbox.context import Closing
from sandbox.errors import ReplyError

Reply = str | int | None | list["Reply"]


class RespConnection(Closing):
    """One connection that sends a command and waits for its reply.

    OSError (refused, cut, timed out) and ReplyError (an error reply) leave it unusable or usable
    respectively. Not for use from several threads.
    """

    def __init__(self, port: int, *, password: str | None = None, timeout_s: float = 1.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self._stream = self._socket.makefile("rwb")
        if password is not None:
            try:
                self.command("AUTH", password)
            except BaseException:
                self.close()
                raise

    def command(self, *parts: str | int | bytes) -> Reply:
        """The reply to one command; bulk strings are decoded, foreign bytes replaced."""
        encoded = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
        self._stream.write(b"*%d\r\n" % len(encoded))
        for part in encoded:
            self._stream.write(b"$%d\r\n%s\r\n" % (len(part), part))
        self._stream.flush()
        return self._read()

    def close(self) -> None:
        """Close the connection; safe to repeat."""
        self._stream.close()
        self._socket.close()

    def _read(self) -> Reply:
        line = self._stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server closed the connection")
        kind, rest = line[:1], line[1:-2].decode(errors="replace")
        if kind == b"-":
            raise ReplyError(rest)
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return self._read_bulk(int(rest))
        if kind == b"*":
            return [self._read() for _ in range(int(rest))] if int(rest) >= 0 else None
        raise ConnectionAbortedError(f"not RESP2: {line!r}")

    def _read_bulk(self, size_bytes: int) -> str | None:
        if size_bytes < 0:
            return None
        body = self._stream.read(size_bytes + 2)
        if len(body) < size_bytes + 2:
            raise ConnectionResetError("the server closed the connection")
        return body[:-2].decode(errors="replace")
