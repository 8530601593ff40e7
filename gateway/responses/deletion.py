"""Deleting a response: its result, its events and its record go; the turn stays in its session."""

import asyncio

from gateway.errors import ApiError
from gateway.responses import record
from gateway.responses.record import ResponseRecord
from gateway.services import Gateway
from memory import SessionKeys, events
from memory.records.events import FROM_START
from tasks import chat_task
from tasks.submit.standing import JobState, Standing

STILL = (JobState.SCHEDULED, JobState.WAITING, JobState.RUNNING)


async def delete(gateway: Gateway, standing: Standing) -> None:
    """Delete a response that is over. Safe to repeat. Raises ApiError for one that is not."""
    if standing.state in STILL:
        raise ApiError(409, "The response is not over: cancel it first.", code="not_over")
    session_id, job_id = standing.keys.session_id, standing.job_id
    gone = ResponseRecord(is_deleted=True)
    await record.replace(gateway, session_id, job_id, gone)
    await _remove_events(gateway, standing.keys, job_id)
    await asyncio.to_thread(chat_task.AsyncResult(job_id).forget)


async def _remove_events(gateway: Gateway, keys: SessionKeys, job_id: str) -> None:
    stream, at = events.stream_of(keys), FROM_START
    while found := await gateway.memory.run(events.read_now(stream, at)):
        of_job = [one.cursor for one in found if one.job_id == job_id]
        if of_job:
            await gateway.memory.run(events.remove(keys, of_job))
        at = found[-1].cursor
