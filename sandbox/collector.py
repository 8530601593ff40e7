"""A stand-in for a collector of OpenTelemetry: it takes what is sent as OTLP over HTTP, and keeps
the bodies as they come."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH = "/v1/traces"


@dataclass(slots=True)
class Collector:
    """`bodies` are the requests that came, in protobuf."""

    port: int
    keeps: bool = True
    bodies: list[bytes] = field(default_factory=list)
    requests: int = 0

    @property
    def url(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def collector(*, keeps: bool = True) -> Iterator[Collector]:
    """A collector, while the block runs; without `keeps` it only counts what comes."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Take what comes."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.requests += 1
            if found.keeps:
                found.bodies.append(body)
            self.send_response(200 if self.path == PATH else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Collector(server.server_port, keeps)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
