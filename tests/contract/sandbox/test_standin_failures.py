"""How the stand-in fails: chunk by chunk, as a client's socket sees it."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from sandbox.ollama import OllamaStandIn, pieces, reply_to
from tests.support.machine import scaled
from tests.support.waiting import wait_until

MESSAGES = [{"role": "user", "content": "Hello"}]
CRASH = {"error": "an error was encountered while running the model: unexpected EOF"}


@pytest.fixture(scope="module")
def server() -> Iterator[OllamaStandIn]:
    """One stand-in for this module."""
    with OllamaStandIn() as server:
        yield server


@pytest.fixture
def ollama(server: OllamaStandIn) -> OllamaStandIn:
    """The stand-in with nothing recorded and nothing scripted."""
    server.reset()
    return server


@dataclass(frozen=True)
class Answer:
    """Everything that came over one connection until its end."""

    head: bytes
    chunks: list[bytes]
    is_complete: bool
    """Whether the terminating chunk came."""
    is_reset: bool

    @property
    def body(self) -> bytes:
        """The chunks without their framing."""
        return b"".join(self.chunks)


def connected(ollama: OllamaStandIn) -> socket.socket:
    """A connection that gives up after five seconds."""
    host, _, port = ollama.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=5)


def request(model: str, **fields: object) -> bytes:
    """The bytes of one chat with MESSAGES, on a connection of its own."""
    body = json.dumps({"model": model, "messages": MESSAGES, **fields}).encode()
    head = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


def answer(ollama: OllamaStandIn, model: str, **fields: object) -> Answer:
    """Ask and read to the end of the connection."""
    received, is_reset = b"", False
    with closing(connected(ollama)) as connection:
        connection.sendall(request(model, **fields))
        try:
            while block := connection.recv(65536):
                received += block
        except ConnectionResetError:
            is_reset = True
    head, _, rest = received.partition(b"\r\n\r\n")
    chunks = []
    while b"chunked" in head and rest:
        size, _, rest = rest.partition(b"\r\n")
        chunks.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    is_complete = chunks[-1:] == [b""]
    return Answer(head, [chunk for chunk in chunks if chunk], is_complete, is_reset)


def test_each_line_is_one_chunk(ollama: OllamaStandIn) -> None:
    """Go flushes after each record."""
    heard = answer(ollama, "ok")
    assert [chunk.count(b"\n") for chunk in heard.chunks] == [1] * len(heard.chunks)
    assert len(heard.chunks) == len(pieces(reply_to(MESSAGES))) + 1
    assert heard.is_complete


def test_an_instant_model_writes_everything_at_once(ollama: OllamaStandIn) -> None:
    """One chunk with all the lines."""
    heard = answer(ollama, "instant:30")
    assert [chunk.count(b"\n") for chunk in heard.chunks] == [31]


def test_an_error_line_ends_a_tidy_stream(ollama: OllamaStandIn) -> None:
    """HTTP 200, tokens, the error, the terminating chunk."""
    heard = answer(ollama, "error-line:2")
    assert heard.head.startswith(b"HTTP/1.1 200")
    assert [json.loads(chunk).get("done") for chunk in heard.chunks] == [False, False, None]
    assert json.loads(heard.chunks[-1]) == CRASH
    assert heard.is_complete


def test_an_error_before_the_first_token_takes_the_place_of_the_stream(
    ollama: OllamaStandIn,
) -> None:
    """500 and JSON without charset instead of an error line; 500 also where nothing is streamed."""
    head = answer(ollama, "error-line:0").head
    assert head.startswith(b"HTTP/1.1 500")
    assert b"Content-Type: application/json\r\n" in head
    assert answer(ollama, "error-line:2", stream=False).head.startswith(b"HTTP/1.1 500")


def test_a_stream_may_end_without_done(ollama: OllamaStandIn) -> None:
    """A tidy end, no final record."""
    heard = answer(ollama, "no-done:4")
    assert [json.loads(chunk)["done"] for chunk in heard.chunks] == [False] * 4
    assert heard.is_complete


@pytest.mark.parametrize(("tokens", "model"), [(2, "no-done:2"), (0, "no-done:0")])
def test_without_stream_a_lost_end_gives_done_false_or_a_zero_object(
    ollama: OllamaStandIn, tokens: int, model: str
) -> None:
    """200 with partial text; with no token Go's zero object."""
    with closing(connected(ollama)) as connection:
        connection.sendall(request(model, stream=False))
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    record = json.loads(received.partition(b"\r\n\r\n")[2])
    assert record["done"] is False
    assert record["model"] == (model if tokens else "")
    assert (record["created_at"] == "0001-01-01T00:00:00Z") is (tokens == 0)


def test_a_cut_stream_lacks_the_last_chunk(ollama: OllamaStandIn) -> None:
    """Everything produced arrives, then the connection ends."""
    heard = answer(ollama, "cut:3")
    assert (len(heard.chunks), heard.is_complete, heard.is_reset) == (3, False, False)


def test_a_reset_is_a_reset(ollama: OllamaStandIn) -> None:
    """RST after the tokens."""
    assert answer(ollama, "reset:3").is_reset


def test_a_closed_connection_answers_nothing(ollama: OllamaStandIn) -> None:
    """Not even headers."""
    assert answer(ollama, "close") == Answer(b"", [], is_complete=False, is_reset=False)


def test_headers_come_with_the_first_record(ollama: OllamaStandIn) -> None:
    """Nothing at all before the first token, then both in one read."""
    with closing(connected(ollama)) as connection:
        started_s = time.monotonic()
        connection.sendall(request("slow-first:0.2s"))
        first = connection.recv(65536)
        waited_s = time.monotonic() - started_s
    assert waited_s >= 0.2
    assert first.startswith(b"HTTP/1.1 200")
    assert b'"done":false' in first


def test_tokens_come_at_the_models_pace(ollama: OllamaStandIn) -> None:
    """Ten tokens, one every 20 ms: the last after 0.2 s, each in a read of its own."""
    started_s = time.monotonic()
    heard = answer(ollama, "slow-tokens:10x20ms")
    assert 0.2 <= time.monotonic() - started_s < scaled(2)
    assert len(heard.chunks) == 11


def test_a_slow_reader_does_not_slow_the_model(ollama: OllamaStandIn) -> None:
    """The model's clock rules: a client that reads nothing finds everything said."""
    with closing(connected(ollama)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(request("slow-tokens:50000x0.00001s"))
        wait_until(lambda: ended(ollama) == ["answered"], timeout_s=20, what="all is said")
    assert ollama.stats.tokens == 50_000


def ended(ollama: OllamaStandIn) -> list[str]:
    """The outcomes of the calls."""
    return [call.outcome for call in ollama.calls]


def test_a_stalled_stream_stays_open(ollama: OllamaStandIn) -> None:
    """Its tokens, then silence on an open connection."""
    with closing(connected(ollama)) as connection:
        connection.sendall(request("stall:2"))
        received = b""
        while received.count(b'"done":false') < 2:
            received += connection.recv(65536)
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert ollama.calls[0].tokens == 2


def test_an_endless_stream_does_not_end(ollama: OllamaStandIn) -> None:
    """It goes on past its text until the client leaves."""
    with closing(connected(ollama)) as connection:
        connection.sendall(request("endless:x1ms"))
        enough = 2 * len(pieces(reply_to(MESSAGES)))
        wait_until(lambda: ollama.stats.tokens > enough, what="tokens beyond the text")
    wait_until(lambda: ollama.stats.active == 0, what="the end after the client left")


def test_a_chunk_may_end_within_a_character(ollama: OllamaStandIn) -> None:
    """The halves make the line; alone the first is no UTF-8."""
    heard = answer(ollama, "split-chars")
    halves = [chunk for chunk in heard.chunks if not is_utf8(chunk)]
    assert halves
    said = [json.loads(line)["message"]["content"] for line in heard.body.splitlines()]
    assert "".join(said) == reply_to(MESSAGES)


def is_utf8(data: bytes) -> bool:
    """Whether `data` decodes."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_a_chunk_may_hold_several_lines(ollama: OllamaStandIn) -> None:
    """Three at a time."""
    heard = answer(ollama, "merged-lines:6")
    assert [chunk.count(b"\n") for chunk in heard.chunks] == [3, 3, 1]


def test_blank_lines_may_come_between(ollama: OllamaStandIn) -> None:
    """For the hardening of parsers."""
    assert answer(ollama, "blank-lines:2").body.count(b"\n\n") == 2


def test_the_last_line_may_be_very_long(ollama: OllamaStandIn) -> None:
    """A megabyte in the final record."""
    final = answer(ollama, "big-last:1").chunks[-1]
    assert len(final) > 1_000_000
    assert json.loads(final)["done"] is True


def test_a_raw_next_line_character_is_in_the_text(ollama: OllamaStandIn) -> None:
    """U+0085, which Go does not escape and str.splitlines would split at."""
    heard = answer(ollama, "next-line")
    assert "\u0085".encode() in heard.body
    assert all(json.loads(line) for line in heard.body.split(b"\n") if line)


def test_a_stopped_server_cuts_its_streams_and_can_start_again(ollama: OllamaStandIn) -> None:
    """As abrupt as Ollama's end; the port stays."""
    with closing(connected(ollama)) as connection:
        connection.sendall(request("stall:1"))
        connection.recv(1)
        ollama.stop()
        received = b"".join(iter(lambda: connection.recv(65536), b""))
        assert not received.endswith(b"0\r\n\r\n")
    with pytest.raises(ConnectionRefusedError):
        connected(ollama)
    assert (ended(ollama), ollama.stats.disconnects) == (["broken"], 0)
    ollama.start()
    assert answer(ollama, "ok").is_complete
