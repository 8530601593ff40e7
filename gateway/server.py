"""The server of a gateway process: its sockets, and how it treats a connection."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from gateway.app import create_app
from gateway.doors.refusals import busy, malformed
from gateway.settings import GatewaySettings

STOP_S = 5
"""How long a server that stops lets running requests end; their jobs go on."""
IDLE_S = 30
MAX_HEAD_BYTES = 65_536
"""So large may the head of a request be; llhttp itself has no bound."""

SetUp = Callable[[], object]


class Configuration(uvicorn.Config):
    """How uvicorn serves the gateway; several processes are each given it, so it is picklable.

    `set_up` is called in each of them before anything else: for logs. `on_start` is called in those
    that serve, not in the one that keeps several of them: for metrics.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        set_up: SetUp | None = None,
        on_start: SetUp | None = None,
    ) -> None:
        self.settings = settings
        self._set_up = set_up
        super().__init__(
            partial(create_app, settings, on_start),
            factory=True,
            host=settings.host.strip("[]"),
            port=settings.port,
            workers=settings.processes,
            http=PatientProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.proxies),
            forwarded_allow_ips=settings.proxies,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=STOP_S,
        )

    def configure_logging(self) -> None:
        """Ours besides uvicorn's, which takes its lines of access away: they hold ids."""
        super().configure_logging()
        if self._set_up is not None:
            self._set_up()


def serve(
    settings: GatewaySettings, set_up: SetUp | None = None, on_start: SetUp | None = None
) -> None:
    """Serve until told to stop. Several processes share one socket; one that dies is started
    again."""
    config = Configuration(settings, set_up, on_start)
    if settings.processes == 1:
        uvicorn.Server(config).run()
    else:
        Multiprocess(config, sockets=[config.bind_socket()]).run()


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with an end to its patience: it waits for ever for the head of a request
    (uvicorn 0.54), so that whoever sends one letter a minute holds a connection. So does whoever
    reads nothing of an answer: a connection that is closed lives on until that is taken.

    What it answers itself, and with plain text, is answered here as everything else is: there are
    too many connections, or this is no HTTP.
    """

    def __init__(self, config: Configuration, *args: Any, **named: Any) -> None:
        super().__init__(config, *args, **named)
        self._settings = config.settings
        self._waiting: asyncio.TimerHandle | None = None
        self._untaken: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._is_in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """The clock starts with the connection."""
        super().connection_made(transport)
        if len(self.connections) > self._settings.max_connections:
            self.app = busy
        self._look()

    def data_received(self, data: bytes) -> None:
        """It goes on where the head is not complete yet, and stops where it is."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._is_in_head and self._head_bytes > MAX_HEAD_BYTES:
            self.send_400_response("The head of a request is too large.")
        self._look()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._is_in_head, self._head_bytes = False, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What comes now is the next head's."""
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with it, and close."""
        if not self.transport.is_closing():
            self.transport.write(malformed(msg))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits any more."""
        self._stop()
        self._taken()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not take what it is sent: it has so long from here."""
        super().pause_writing()
        if self._untaken is None:
            self._untaken = self.loop.call_later(self._settings.body_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It has taken it."""
        self._taken()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """An idle connection closes, though its client has not taken the last answer."""
        super().timeout_keep_alive_handler()
        self.transport.abort()

    def _taken(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def _look(self) -> None:
        is_in_request = self.cycle is not None and not self.cycle.response_complete
        if is_in_request:
            self._stop()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(self._settings.head_s, self._give_up)

    def _stop(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
