"""Whether the gateway is alive, and whether a job would be done."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from gateway.access import Shared
from memory import MemoryServiceError
from memory.mailbox.due_list import overdue
from memory.records.index import server_time_ms

router = APIRouter(tags=["health"])
FORGOTTEN_MS = 90_000
"""So late is no look of a sweeper while any worker is alive, under load either."""


@router.get("/healthz")
async def alive() -> dict[str, str]:
    """That this process answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def ready(gateway: Shared) -> JSONResponse:
    """Whether a job would be done: the memory answers, and workers look after what waits there.

    While nothing waits, nobody knows whether there is a worker.
    """
    try:
        now_ms = await gateway.memory.run(server_time_ms())
        due = overdue(gateway.keyspace.due, before_ms=now_ms - FORGOTTEN_MS)
        forgotten = await gateway.memory.run(due)
    except MemoryServiceError:
        return JSONResponse({"status": "the memory does not answer"}, 503)
    if forgotten:
        return JSONResponse({"status": "jobs wait, and no worker looks after them"}, 503)
    return JSONResponse({"status": "ok"})
