"""A receiver of webhooks on this machine: it answers as it is told, and keeps what it got."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
from openai.types.webhooks import UnwrapWebhookEvent

SECRET = "whsec_" + "QUFB" * 8
OTHER_SECRET = "whsec_" + "QkJC" * 8


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    def event(self, secret: str = SECRET) -> UnwrapWebhookEvent:
        """What it says, if `secret` has signed it; as OpenAI's client reads it."""
        client = openai.OpenAI(api_key="none", webhook_secret=None)
        return client.webhooks.unwrap(self.body.decode(), self.headers, secret=secret)


@dataclass(slots=True)
class Receiver:
    """`status` is what it answers, with `more` headers and a body of `size_bytes`; it waits for
    `goes_on` before each answer."""

    port: int
    status: int = 204
    more: dict[str, str] = field(default_factory=dict)
    size_bytes: int = 0
    got: list[Delivery] = field(default_factory=list)
    goes_on: threading.Event = field(default_factory=threading.Event)
    open_now: int = 0
    most_open: int = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/hooks?token=s3cret"

    def about(self, job_id: str) -> list[Delivery]:
        """What came about one response."""
        return [one for one in list(self.got) if json.loads(one.body)["data"]["id"] == job_id]

    def types(self) -> list[tuple[str, str]]:
        """The types of the events that came, with the response that each is about."""
        events = [delivery.event() for delivery in self.got]
        return [(event.type, event.data.id) for event in events]


@contextmanager
def receiver(port: int = 0) -> Iterator[Receiver]:
    """A receiver, while the block runs."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with lock:
                found.got.append(Delivery(self.path, headers, body))
                found.open_now += 1
                found.most_open = max(found.most_open, found.open_now)
            found.goes_on.wait(60)
            with lock:
                found.open_now -= 1
            self.send_response(found.status)
            for name, value in found.more.items():
                self.send_header(name, value)
            size_bytes = 0 if found.status == 204 else found.size_bytes
            self.send_header("Content-Length", str(size_bytes))
            self.end_headers()
            self.wfile.write(b"x" * size_bytes)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a sender may hang up
    found = Receiver(server.server_port)
    found.goes_on.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        found.goes_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
