"""What operators do over HTTP: look at sessions, and handle dead letters."""

import asyncio
from itertools import chain, islice
from typing import Annotated

from fastapi import APIRouter, Path, Query

from gateway.access import Operator, Reader, Shared
from gateway.acting import acting
from memory.records.index import live_sessions
from tasks import app
from tasks.process.services import producer_services
from tasks.submit.dead_letters import Letter, all_letters, drop, letter_of, requeue
from tasks.submit.webhook_letters import WebhookLetter, webhook_letters

router = APIRouter(prefix="/v1", tags=["operator"])
JobId = Annotated[str, Path(max_length=512)]
AgentId = Annotated[str, Query(min_length=1, max_length=512)]
Most = Annotated[int, Query(ge=1, le=1000)]


@router.get("/sessions")
async def list_sessions(
    agent: AgentId, gateway: Shared, caller: Reader, limit: Most = 100
) -> dict[str, object]:
    """The caller's own conversations with an agent, the one that was used last first."""
    caller.check_agent(agent)
    memory = producer_services().memory
    found = await asyncio.to_thread(live_sessions, memory, gateway.keyspace, agent)
    own = [one for one in map(caller.conversation, found) if one is not None]
    data = [{"id": one, "object": "session", "agent_id": agent} for one in own[:limit]]
    return {"object": "list", "data": data, "has_more": len(own) > limit}


@router.get("/dead_letters")
async def list_dead_letters(caller: Operator, limit: Most = 100) -> dict[str, object]:
    """The jobs of all owners that ended without an answer, then the webhooks that no receiver
    took; without what was said."""

    def found() -> list[dict[str, object]]:
        jobs = (letter for letter in all_letters() if caller.may_use(letter.agent_id))
        webhooks = (letter for letter in webhook_letters() if caller.may_use(letter.agent_id))
        every = chain(map(_shown, jobs), map(_shown_webhook, webhooks))
        return list(islice(every, limit))

    return {"object": "list", "data": await asyncio.to_thread(found)}


@router.post("/dead_letters/{job_id}/requeue")
async def requeue_dead_letter(job_id: JobId, caller: Operator) -> dict[str, object]:
    """Send a dead job again, at the end of its session, under a new id."""
    caller.check_agent((await asyncio.to_thread(letter_of, job_id)).agent_id)
    new_id = await acting(caller, lambda: requeue(app, job_id))
    return {"id": job_id, "object": "dead_letter", "requeued_as": new_id}


@router.delete("/dead_letters/{job_id}")
async def drop_dead_letter(job_id: JobId, caller: Operator) -> dict[str, object]:
    """Delete a dead letter for good."""
    caller.check_agent((await asyncio.to_thread(letter_of, job_id)).agent_id)
    await acting(caller, lambda: drop(job_id))
    return {"id": job_id, "object": "dead_letter", "deleted": True}


def _shown(found: Letter) -> dict[str, object]:
    letter = found.letter
    return {
        "id": letter.job_id,
        "object": "dead_letter",
        "kind": "job",
        "agent_id": found.agent_id,
        "session_id": found.session_id,
        "attempts": letter.attempts,
        "reason": letter.reason,
        "died_at": letter.died_at_ms / 1000,
    }


def _shown_webhook(found: WebhookLetter) -> dict[str, object]:
    return {
        "id": found.webhook.event_id,
        "object": "dead_letter",
        "kind": "webhook",
        "agent_id": found.agent_id,
        "session_id": found.session_id,
        "attempts": found.webhook.attempts,
        "reason": found.reason,
        "died_at": found.died_at_ms / 1000,
    }
