"""Griot behind FastAPI: an answer in the request, or a job to come back for.

    WEB_USERS=ama=$(openssl rand -hex 16) uvicorn examples.fastapi_app:app

`POST /jobs` is for chat that may take its time: the job survives this process, and the messages of
a session are answered in the order in which they were sent. `POST /chat` asks the model within the
request; do not send jobs to the same session, for it does not wait for its turn.

Each request names its user (`Authorization: Bearer <token>`), who has sessions of their own, and
has what guard.py asks for. The endpoint in docs/services.md differs: it takes the message from the
query, where every access log and proxy on the way keeps it and a link or form of any web page can
send one, and it asks nobody who they are. It shows the dependency; copy this one.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from celery.states import REVOKED
from fastapi import FastAPI, Header, Response
from pydantic import BaseModel, JsonValue

from agents import RedisAgent
from examples.access import Memory, User, check_own_job, own_session
from examples.guard import protect
from examples.http_errors import answer_errors
from memory import MemoryUnavailable
from tasks import app as celery
from tasks import chat_task


@asynccontextmanager
async def running(_: FastAPI) -> AsyncIterator[None]:
    """Read the settings, so that a wrong one ends the start and no request."""
    celery.conf.get("broker_url")
    yield


app = FastAPI(title="Griot", lifespan=running)

protect(app)
answer_errors(app)


class NewMessage(BaseModel):
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
def chat(new: NewMessage, user: User, redis_memory: Memory) -> dict[str, str]:
    """Answer now; the turn is in the session's history when this returns."""
    session = own_session(user, new.session_id)
    agent = RedisAgent(new.agent_id, session, redis_memory=redis_memory)
    return {"response": agent.chat(new.message)}


@app.post("/jobs", status_code=202)
def send(
    new: NewMessage,
    user: User,
    response: Response,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Job:
    """Take a job in. After a 503 send it again with the same Idempotency-Key: it cannot double."""
    sent = chat_task.delay(
        new.agent_id,
        own_session(user, new.session_id),
        new.message,
        idempotency_key=idempotency_key,
        metadata={"user_id": user},
    )
    response.headers["Location"] = f"/jobs/{sent.id}"
    return Job(job_id=sent.id)


@app.get("/jobs/{job_id}", response_model_exclude_none=True)
def look(job_id: str, user: User, redis_memory: Memory) -> Job:
    """Whether a job is answered yet, and its answer. 404 for a job that is not the user's."""
    # Of an id that nobody has sent Celery says the same as of a job that waits; the memory knows.
    check_own_job(redis_memory, user, job_id)
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
    return Job(job_id=job_id)
