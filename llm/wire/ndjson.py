"""Newline-delimited JSON: bytes in, objects out. No I/O.

Split on the byte b"\\n" and nothing else: a raw U+0085 or U+2028 inside a text is no line end
(`str.splitlines`, and with it `httpx.Response.iter_lines`, would cut the JSON in two there).
"""

import orjson

from llm.errors import InvalidReplyError, ResponseTooLargeError

MAX_LINE_BYTES = 8 * 1024 * 1024
"""The longest line that Ollama's own client reads (api/client.go)."""


class Lines:
    """Feed it chunks as they come, split anywhere; it returns the complete lines, blank ones not.

    `finish()`, to be called at a clean end of the input, returns what follows the last newline.
    Both raise ResponseTooLargeError over a limit in bytes; it is of no use after that. With
    `max_bytes` None only each line is bounded.
    """

    def __init__(self, *, max_bytes: int | None, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._max_line_bytes = max_line_bytes
        self._read_bytes = 0
        self._rest: list[bytes] = []
        self._rest_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that end in this chunk, without their ends."""
        self._read_bytes += len(chunk)
        if self._max_bytes is not None and self._read_bytes > self._max_bytes:
            raise _too_large("reply", self._max_bytes)
        lines = chunk.split(b"\n")
        # Joined only when the line ends, so that a long line costs no copy per chunk.
        if len(lines) == 1 or self._rest:
            self._keep(lines[0])
            lines[0] = self._take() if len(lines) > 1 else b""
        if rest := lines.pop():
            self._keep(rest)
        if len(chunk) > self._max_line_bytes:
            lines = [*map(self._checked, lines)]
        return [line for line in lines if line and not line.isspace()]

    def finish(self) -> list[bytes]:
        """The line after the last newline, if there is one."""
        line = self._take()
        return [line] if line and not line.isspace() else []

    def _keep(self, part: bytes) -> None:
        if part:
            self._rest.append(part)
            self._rest_bytes += len(part)
            # While the line grows, for its end may never come.
            if self._rest_bytes > self._max_line_bytes:
                raise _too_large("line", self._max_line_bytes)

    def _take(self) -> bytes:
        line = b"".join(self._rest)
        self._rest.clear()
        self._rest_bytes = 0
        return line

    def _checked(self, line: bytes) -> bytes:
        if len(line) > self._max_line_bytes:
            raise _too_large("line", self._max_line_bytes)
        return line


class NDJSONDecoder:
    """`Lines` that are one JSON object each.

    Both methods raise InvalidReplyError, too, on what is no JSON object.
    """

    def __init__(self, *, max_bytes: int | None, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._lines = Lines(max_bytes=max_bytes, max_line_bytes=max_line_bytes)

    def feed(self, chunk: bytes) -> list[dict[str, object]]:
        """The objects whose lines end in this chunk."""
        return [decoded(line) for line in self._lines.feed(chunk)]

    def finish(self) -> list[dict[str, object]]:
        """The object after the last newline, if there is one: a single JSON body has none."""
        return [decoded(line) for line in self._lines.finish()]


def decoded(line: bytes) -> dict[str, object]:
    """The JSON object of a line. Raises InvalidReplyError."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        # Not `from exc`: a JSONDecodeError holds the whole document, which is the reply.
        raise InvalidReplyError(f"a line of {len(line)} bytes of the reply is not JSON") from None
    if not isinstance(record, dict):
        raise InvalidReplyError(f"a line of the reply is {type(record).__name__}, not an object")
    return record


def _too_large(what: str, limit_bytes: int) -> ResponseTooLargeError:
    return ResponseTooLargeError(f"a {what} has over {limit_bytes} bytes, which is too long")
