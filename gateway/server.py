"""The server of a gateway process: its sockets, and how long a client may take."""

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.app import create_app
from gateway.settings import GatewaySettings

STOP_S = 5
"""How long a server that stops lets running requests end; their jobs go on."""
IDLE_S = 30


def serve(settings: GatewaySettings) -> None:
    """Serve until the process is told to stop."""
    uvicorn.Server(configuration(settings)).run()


def configuration(settings: GatewaySettings) -> uvicorn.Config:
    """How uvicorn serves the gateway."""

    class Protocol(PatientProtocol):
        head_s = settings.head_s
        take_s = settings.body_s

    return uvicorn.Config(
        create_app(settings),
        host=settings.host.strip("[]"),
        port=settings.port,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=settings.proxies,
        limit_concurrency=settings.max_connections,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=STOP_S,
    )


class PatientProtocol(H11Protocol):
    """uvicorn's protocol, with an end to its patience: it waits for ever for the head of a request
    (uvicorn 0.54), so that whoever sends one letter a minute holds a connection. So does whoever
    reads nothing of an answer: a connection that is closed lives on until that is taken."""

    head_s = 10.0
    take_s = 30.0

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._waiting: asyncio.TimerHandle | None = None
        self._untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """The clock starts with the connection."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """It goes on where the head is not complete yet, and stops where it is."""
        super().data_received(data)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits any more."""
        self._stop()
        self._taken()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not take what it is sent: it has so long from here."""
        super().pause_writing()
        if self._untaken is None:
            self._untaken = self.loop.call_later(self.take_s, self.transport.abort)

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
            self._waiting = self.loop.call_later(self.head_s, self._give_up)

    def _stop(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
