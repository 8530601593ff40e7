"""What waits: the queue as a whole, and where one response stands in it."""

from typing import Annotated

from fastapi import APIRouter, Query

from gateway.access import Caller, Reader, Shared
from gateway.responses.following import find
from gateway.services import Gateway
from memory import EventType, Mailbox, SessionKeys, events
from memory.quotas import pending
from memory.records.api_keys import Scope
from memory.records.events import NEWEST
from tasks.submit.standing import JobState

router = APIRouter(tags=["queue"])


@router.get("/v1/queue")
async def look_at_queue(
    gateway: Shared,
    caller: Reader,
    response_id: Annotated[str | None, Query(max_length=512)] = None,
) -> dict[str, object]:
    """For operators how many jobs of all owners wait or run. Of a response how many of its
    conversation are before it, and what it waits for besides: for a slot of its model, with how
    many sessions ahead and about how long, or for its model's servers."""
    queue: dict[str, object] = {"object": "queue"}
    if Scope.OPERATE in caller.scopes:  # others would count what is not theirs
        queue["pending"] = await gateway.memory.run(pending.size(gateway.keyspace))
    if response_id is None:
        return queue
    return {**queue, "response": await _standing(gateway, caller, response_id)}


async def _standing(gateway: Gateway, caller: Caller, response_id: str) -> dict[str, object]:
    standing, _ = await find(gateway, caller, response_id)
    found: dict[str, object] = {"id": response_id, "state": standing.state.value}
    if standing.due_at_ms is not None:
        return {**found, "not_before": standing.due_at_ms / 1000}
    if standing.state is not JobState.WAITING:
        return found
    mailbox = Mailbox(gateway.keyspace, standing.keys)
    ids = await gateway.memory.run(mailbox.pending())
    position = ids.index(response_id) if response_id in ids else 0
    return {**found, "position": position, **await _reason(gateway, standing.keys, response_id)}


async def _reason(gateway: Gateway, keys: SessionKeys, job_id: str) -> dict[str, object]:
    """What the job's last `waiting` says, as long as nothing has come after it."""
    for event in await gateway.memory.run(events.read_back(keys, NEWEST)):
        if event.job_id == job_id:
            return {**event.data} if event.type is EventType.WAITING else {}
    return {}
