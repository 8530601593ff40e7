"""What the console asks and what operators do in it; each act is in the audit, in the key's name.

Ids come in bodies and queries, not in paths: an id may hold whatever a path may not.
"""

import asyncio
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.access import Caller, Operator
from gateway.acting import acting, cancelled, erased_session
from gateway.errors import ApiError, not_found
from gateway.pages.console import look
from memory.ids import is_id
from memory.records.api_keys import Scope
from tasks import app
from tasks.overview.jobs import JobFound, find_job
from tasks.overview.words import words_of
from tasks.process.services import producer_services
from tasks.submit.dead_letters import drop, letter_of, requeue
from tasks.submit.erase import erase

router = APIRouter(prefix="/v1/console", tags=["console"])
Id = Annotated[str, Field(min_length=1, max_length=512)]
Place = Annotated[str, Query(max_length=64)]
Hours = Annotated[int, Query(ge=1, le=48)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JobNamed(_Body):
    """A job."""

    job_id: Id


class Cancel(JobNamed):
    """A job to be cancelled, and what becomes of a turn that runs; by default as the settings
    say."""

    policy: Literal["keep", "discard"] | None = None


class Erase(_Body):
    """A session to be erased; `dry_run` only says what is kept of it."""

    agent_id: Id
    session_id: Id
    dry_run: bool = False


@router.get("")
async def look_at_it(
    caller: Operator, jobs: Place = "", letters: Place = "", slow: bool = False, hours: Hours = 6
) -> dict[str, object]:
    """What runs, what waits and why, workers, model servers, quotas. With `slow` the dead letters,
    the last deeds and the charts of the last `hours`, too. Pages begin where the last one says
    (`next`)."""
    found = await asyncio.to_thread(look.now, caller, jobs=jobs)
    if slow:
        asked = asyncio.to_thread(look.slow, caller, hours=hours, letters_at=letters)
        found = {**found, "slow": await asked}
    return {"object": "console", **found}


@router.get("/job")
async def find(
    caller: Operator, job_id: Annotated[str, Query(min_length=1, max_length=512)]
) -> dict[str, object]:
    """A job of any owner: where it is, why, and its last events, without a word of it."""
    return {"object": "job", **asdict(await _found(caller, job_id))}


@router.post("/read")
async def read(caller: Operator, named: JobNamed) -> dict[str, object]:
    """What was said in a job's turn: with the scope `read_text`, and it is in the audit."""
    _check(caller, Scope.READ_TEXT)
    await _found(caller, named.job_id)
    services = producer_services()
    said = await acting(caller, lambda: words_of(services.memory, services.keyspace, named.job_id))
    return {"id": named.job_id, "object": "words", "messages": [asdict(one) for one in said]}


@router.post("/cancel")
async def cancel(caller: Operator, wanted: Cancel) -> dict[str, object]:
    """Cancel a job of any owner."""
    await _found(caller, wanted.job_id)
    outcome = await cancelled(caller, wanted.job_id, wanted.policy)
    return {"id": wanted.job_id, "object": "job", "outcome": outcome.value}


@router.post("/requeue")
async def requeue_letter(caller: Operator, named: JobNamed) -> dict[str, object]:
    """Send a dead job again, at the end of its session, under a new id."""
    await _check_letter(caller, named.job_id)
    new_id = await acting(caller, lambda: requeue(app, named.job_id))
    return {"id": named.job_id, "object": "dead_letter", "requeued_as": new_id}


@router.post("/drop")
async def drop_letter(caller: Operator, named: JobNamed) -> dict[str, object]:
    """Delete a dead letter for good."""
    await _check_letter(caller, named.job_id)
    await acting(caller, lambda: drop(named.job_id))
    return {"id": named.job_id, "object": "dead_letter", "deleted": True}


@router.post("/erase")
async def erase_it(caller: Operator, wanted: Erase) -> dict[str, object]:
    """Erase a session of any owner: with the scope `erase`. Says what was kept of it."""
    _check(caller, Scope.ERASE)
    caller.check_agent(wanted.agent_id)
    named = wanted.agent_id, wanted.session_id
    receipt = await asyncio.to_thread(erase, app, *named, dry_run=True)
    if not wanted.dry_run:
        await erased_session(caller, *named)
    return {"object": "session", "erased": not wanted.dry_run, "kept": asdict(receipt.kept)}


def _check(caller: Caller, scope: Scope) -> None:
    if scope not in caller.scopes:
        raise ApiError(403, f"This key lacks the scope {scope.value!r}.", code="forbidden")


async def _found(caller: Caller, job_id: str) -> JobFound:
    """A job of an agent that the caller may use. Raises ApiError 404."""
    services = producer_services()
    job = None
    if is_id(job_id):
        job = await asyncio.to_thread(find_job, services.memory, services.keyspace, job_id)
    if job is None or not caller.may_use(job.agent_id):
        raise not_found("job", job_id)
    return job


async def _check_letter(caller: Caller, job_id: str) -> None:
    """Raise ApiError for a dead letter of an agent that the caller may not use, and InvalidJob
    where there is none."""
    caller.check_agent((await asyncio.to_thread(letter_of, job_id)).agent_id)
