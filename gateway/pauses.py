"""What operators pause over HTTP: agents, models, model servers, or all."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.access import Caller, Operator
from gateway.acting import acting
from gateway.errors import ApiError
from tasks.overview.pauses import PauseNow, find_pauses
from tasks.process.services import producer_services
from tasks.submit import pauses

router = APIRouter(prefix="/v1", tags=["operator"])
Kind = Literal["agent", "model", "server", "all"]


class PauseBody(BaseModel):
    """What is to be paused, why, and for how many seconds; without them until it is resumed."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    name: str = Field("", max_length=512)
    reason: str = Field("", max_length=200)
    for_s: float | None = Field(None, gt=0)


@router.get("/pauses")
async def list_pauses(caller: Operator) -> dict[str, object]:
    """What is paused, and what was resumed and has sessions that are still being woken."""
    services = producer_services()
    found = await asyncio.to_thread(find_pauses, services.memory, services.keyspace)
    return {"object": "list", "data": [_shown(one) for one in found if _may_see(caller, one.what)]}


@router.post("/pauses")
async def pause(body: PauseBody, caller: Operator) -> dict[str, object]:
    """Have jobs wait: of an agent, a model, a model server, or all. Those that run finish. A key
    that names agents pauses these only."""
    _check(caller, body.kind, body.name)
    made = await acting(
        caller,
        lambda: pauses.pause(body.kind, body.name, reason=body.reason, for_s=body.for_s),
    )
    return {
        **{"id": str(made.target), "object": "pause", "reason": made.reason},
        **{"since": made.since_ms / 1000, "until": _seconds(made.until_ms)},
    }


@router.delete("/pauses")
async def resume(
    caller: Operator, kind: Kind, name: Annotated[str, Query(max_length=512)] = ""
) -> dict[str, object]:
    """End a pause; the sessions that wait go on, in the order of their jobs."""
    _check(caller, kind, name)
    was_paused = await acting(caller, lambda: pauses.resume(kind, name))
    return {"id": f"{kind} {name}".strip(), "object": "pause", "deleted": was_paused}


def _check(caller: Caller, kind: Kind, name: str) -> None:
    if kind == "agent":
        caller.check_agent(name)
    elif caller.agents is not None:
        raise ApiError(403, "This key may pause its own agents only.", code="forbidden")


def _may_see(caller: Caller, what: str) -> bool:
    kind, _, name = what.partition(" ")
    return kind != "agent" or caller.may_use(name)


def _shown(one: PauseNow) -> dict[str, object]:
    return {
        **{"id": one.what, "object": "pause", "reason": one.reason, "is_paused": one.is_paused},
        **{"since": one.since_ms / 1000, "until": _seconds(one.until_ms), "waiting": one.waiting},
    }


def _seconds(at_ms: int | None) -> float | None:
    return None if at_ms is None else at_ms / 1000
