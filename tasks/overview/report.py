"""What a worker says of itself while somebody looks: its turns, its load, its model servers.

There are ids in it, and no word of a conversation.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from llm.servers.server import Server
from tasks.process.turns_now import TurnNow
from tasks.process.worker.services import WorkerServices

MOST_TURNS = 200
"""So many of its turns are shown, the oldest; `running` counts all."""
MOST_MODELS = 50


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TurnShown(_Told):
    """A turn that is made. `server` is "" until one is asked, `tokens_per_s` None until it is
    known."""

    agent_id: str
    session_id: str
    job_id: str
    attempt: int
    model: str
    server: str
    age_s: float
    tokens: int
    tokens_per_s: float | None


class ServerShown(_Told):
    """A model server as a worker sees it."""

    url: str
    breaker: Literal["closed", "open", "half-open"]
    calls: int
    loaded: tuple[str, ...]


class LoopLateness(_Told):
    """How late its event loop was in the last ten seconds, ms."""

    max_ms: float = 0.0
    p99_ms: float = 0.0


class WorkerReport(_Told):
    """A worker. `limit`: how many turns it may run at once."""

    worker: str
    limit: int
    running: int
    late: LoopLateness
    hanging_tools: Mapping[str, int]
    turns: tuple[TurnShown, ...]
    servers: tuple[ServerShown, ...]


def report_of(worker: WorkerServices, name: str, late: LoopLateness) -> WorkerReport:
    """How it stands with this worker; on its event loop. Model servers that it has asked are looked
    at again in the background."""
    running = worker.turns.running
    # Whoever has asked no model server, such as a worker of maintenance, begins with none here.
    servers = worker.ollama.servers if "ollama" in vars(worker) else ()
    return WorkerReport(
        worker=name,
        limit=worker.concurrency,
        running=len(running),
        late=late,
        hanging_tools=worker.toolbox.hanging if "toolbox" in vars(worker) else {},
        turns=tuple(map(_turn, running[:MOST_TURNS])),
        servers=tuple(map(_server, servers)),
    )


def _turn(turn: TurnNow) -> TurnShown:
    return TurnShown(
        agent_id=turn.agent_id,
        session_id=turn.session_id,
        job_id=turn.job_id,
        attempt=turn.attempt,
        model=turn.model,
        server=turn.server,
        age_s=turn.age_s,
        tokens=turn.pieces,
        tokens_per_s=turn.tokens_per_s,
    )


def _server(server: Server) -> ServerShown:
    server.catalog.renew()
    return ServerShown(
        url=server.url,
        breaker=server.breaker.state,
        calls=server.in_flight,
        loaded=server.catalog.in_memory[:MOST_MODELS],
    )
