"""What operators look up over HTTP: jobs, and what was used."""

import asyncio
from dataclasses import asdict
from datetime import date, datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query

from gateway.access import Operator
from gateway.errors import ApiError
from tasks import FoundJob, JobState, UsageBy, UsageRow, find_jobs, usage

router = APIRouter(prefix="/v1", tags=["operator"])
Name = Annotated[str | None, Query(min_length=1, max_length=512)]
Moment = Annotated[datetime | None, Query()]


@router.get("/jobs")
async def list_jobs(
    caller: Operator,
    *,
    state: JobState | None = None,
    agent: Name = None,
    session: Name = None,
    user: Name = None,
    tag: Name = None,
    since: Moment = None,
    until: Moment = None,
    cursor: Annotated[str, Query(max_length=600)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, object]:
    """Jobs of all owners, the one that was sent last first; `next` is the `cursor` of the next
    page, null at the end. Of a key for some agents those of others are left out."""
    find = partial(
        find_jobs,
        state=state,
        agent_id=agent,
        session_id=session,
        user=user,
        tag=tag,
        since=since,
        until=until,
        cursor=cursor,
        limit=limit,
    )
    found = await asyncio.to_thread(find)
    jobs = [_job(one) for one in found.jobs if caller.may_use(one.agent_id)]
    return {"object": "list", "data": jobs, "next": found.next}


@router.get("/usage")
async def list_usage(
    caller: Operator,
    *,
    by: UsageBy = "day",
    since: date | None = None,
    until: date | None = None,
    each_day: bool = False,
) -> dict[str, object]:
    """What was used from one day of UTC to another. A key for some agents sees these agents."""
    if caller.agents is not None and by != "agent":
        raise ApiError(403, "This key may see the usage of its agents only.", code="forbidden")
    ask = partial(usage, by, since=since, until=until, each_day=each_day)
    rows = await asyncio.to_thread(ask)
    if caller.agents is not None:
        rows = tuple(row for row in rows if row.name is not None and caller.may_use(row.name))
    return {"object": "list", "data": [_row(by, one) for one in rows]}


def _job(found: FoundJob) -> dict[str, object]:
    return {
        "id": found.job_id,
        "object": "job",
        "state": found.state,
        "agent_id": found.agent_id,
        "session_id": found.session_id,
        "user": found.user,
        "tags": found.tags,
        "taken_at": found.taken_at.timestamp(),
        "ended_at": None if found.ended_at is None else found.ended_at.timestamp(),
    }


def _row(by: UsageBy, row: UsageRow) -> dict[str, object]:
    name: dict[str, object] = {} if by == "day" else {str(by): row.name}
    return {"object": "usage", "day": row.day, **name, **asdict(row.spent)}
