"""Griot behind FastAPI: an answer in the request, or a job to come back for.

    uvicorn examples.fastapi_app:app

`POST /jobs` is for chat that may take its time: the job survives this process, and the messages of
a session are answered in the order in which they were sent. `POST /chat` asks the model within the
request; do not send jobs to the same session, for it does not wait for its turn.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from celery.states import REVOKED
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from pydantic import BaseModel, JsonValue

from agents import RedisAgent
from examples.http_errors import answer_errors
from memory import MemoryUnavailable, RedisMemoryService, get_redis_memory, locate
from tasks import app as celery
from tasks import chat_task


@asynccontextmanager
async def running(_: FastAPI) -> AsyncIterator[None]:
    """Read the settings, so that a wrong one ends the start and no request."""
    celery.conf.get("broker_url")
    yield


app = FastAPI(title="Griot", lifespan=running)

answer_errors(app)


class NewJob(BaseModel):
    """A message for a session."""

    agent_id: str
    session_id: str
    message: str


class Job(BaseModel):
    """Where a job is. One that runs is `waiting` too: its answer is not there yet."""

    job_id: str
    state: Literal["waiting", "answered", "failed", "cancelled"] = "waiting"
    result: dict[str, JsonValue] | None = None
    error: str | None = None


# The endpoints are plain functions, which FastAPI runs in threads: nothing here blocks its loop.


@app.post("/chat")
def chat(
    agent_id: str,
    session_id: str,
    message: str,
    redis_memory: Annotated[RedisMemoryService, Depends(get_redis_memory)],
) -> dict[str, str]:
    """Answer now; the turn is in the session's history when this returns."""
    agent = RedisAgent(agent_id, session_id, redis_memory=redis_memory)
    return {"response": agent.chat(message)}


@app.post("/jobs", status_code=202)
def send(
    new: NewJob, response: Response, idempotency_key: Annotated[str | None, Header()] = None
) -> Job:
    """Take a job in. After a 503 send it again with the same Idempotency-Key: it cannot double."""
    sent = chat_task.delay(**new.model_dump(), idempotency_key=idempotency_key)
    response.headers["Location"] = f"/jobs/{sent.id}"
    return Job(job_id=sent.id)


@app.get("/jobs/{job_id}", response_model_exclude_none=True)
def look(
    job_id: str, redis_memory: Annotated[RedisMemoryService, Depends(get_redis_memory)]
) -> Job:
    """Whether a job is answered yet, and its answer. 404 where nobody knows it any more."""
    found = chat_task.AsyncResult(job_id)
    try:
        if found.successful():
            return Job(job_id=job_id, state="answered", result=found.result)
        if found.failed():
            return Job(job_id=job_id, state="failed", error=str(found.result))
        if found.state == REVOKED:
            return Job(job_id=job_id, state="cancelled")
    except celery.backend.connection_errors as exc:
        raise MemoryUnavailable("the results cannot be read") from exc
    # Of an id that nobody has sent Celery says the same as of a job that waits; the memory knows.
    if redis_memory.connection.run(locate(redis_memory.keyspace, job_id)) is None:
        raise HTTPException(404, "this job was never sent, or more than a week ago")
    return Job(job_id=job_id)
