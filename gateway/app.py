"""The gateway's application: its routes behind its doors."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware

from gateway import embeddings, health, listing, models, operator, pauses, queue
from gateway.completions import routes as completions
from gateway.conversations import routes as conversations
from gateway.doors.guard import Guard, Numbered
from gateway.doors.hosts import KnownHosts
from gateway.errors import answer_errors
from gateway.openapi import describe
from gateway.pages import files
from gateway.pages.chat import routes as chat
from gateway.pages.console import routes as console
from gateway.responses import routes as responses
from gateway.services import Gateway
from gateway.settings import GatewaySettings, names_in
from tasks import aio

EXPOSED = ["X-Request-ID", "Retry-After"]
NOTHING: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""FastAPI's own spans hold paths, queries and the texts of exceptions; `Numbered` makes ours."""


def create_app(settings: GatewaySettings, on_start: Callable[[], object] | None = None) -> FastAPI:
    """The application with these settings; Griot's own are read as it starts. `on_start` is called
    in each process that serves it, and in no other."""

    running = partial(_running, settings, on_start)
    app = FastAPI(
        title="Griot", lifespan=running, docs_url=None, redoc_url=None,
        root_path=settings.root_path, telemetry=NOTHING,
    )  # fmt: skip
    # The one that is added last is asked first.
    app.add_middleware(Guard, settings=settings)
    if origins := names_in(settings.cors_origins):
        app.add_middleware(
            CORSMiddleware, allow_origins=origins, allow_methods=["*"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-Request-ID"],
            expose_headers=EXPOSED,
        )  # fmt: skip
    app.add_middleware(KnownHosts, names=settings.trusted_hosts)
    app.add_middleware(Numbered)
    answer_errors(app)
    for part in (
        responses,  # the one that is asked most is looked at first
        completions,
        conversations,
        health,
        models,
        embeddings,
        queue,
        operator,
        pauses,
        listing,
        files,
        chat,
        console,
    ):
        app.include_router(part.router)
    describe(app)
    return app


@asynccontextmanager
async def _running(
    settings: GatewaySettings, on_start: Callable[[], object] | None, app: FastAPI
) -> AsyncIterator[None]:
    app.state.gateway = gateway = Gateway.start(settings)
    if on_start is not None:
        on_start()
    yield
    await gateway.memory.aclose()
    await aio.aclose()
