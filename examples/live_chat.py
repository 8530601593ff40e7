"""Live chat in a browser: answers that appear as they are written, in every tab, and survive all.

    uvicorn examples.live_chat:app --timeout-graceful-shutdown 2

Then open http://127.0.0.1:8000/. The time-out is for streams of events, which have no end of their
own. Nobody is asked who they are: whoever knows a session's id may read it and write in it, so put
your own login in front; and HTTP/2, for with HTTP/1.1 a browser has six connections per server.

A client of any kind does what the page does:

1. `GET /sessions/{agent}/{session}`: the conversation so far, with what is being answered and the
   text of it up to now, and the cursor at which that is true.
2. `GET /sessions/{agent}/{session}/events?after={cursor}`: everything since, as server-sent events.
   After a lost connection go on with the `Last-Event-ID`, as browsers do by themselves.
3. A `started` begins the text of its job anew, and so does the first event of a higher attempt;
   one of a lower attempt is late. A `done` has the whole text.
4. On an event of a job that you do not know, and on `expired`, do 1 again.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Path, Query
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel

from examples.http_errors import answer_errors
from examples.live_chat_page import PAGE, Secured
from examples.live_chat_session import (
    SessionView,
    ShownMessage,
    add_events,
    events_until,
    is_shown,
    server_sent,
    waiting_messages,
)
from memory import (
    CursorExpired,
    Mailbox,
    MemoryServiceError,
    RedisMemoryService,
    events,
    get_redis_memory,
)
from tasks import InvalidJob
from tasks import app as celery
from tasks.aio import aclose, cancel, follow, send

logger = logging.getLogger(__name__)

KEEP_ALIVE_S = 15.0  # proxies commonly close a connection that is silent for 60 s
RECONNECT_MS = 1000
# Buffering would hold tokens back: the first is for proxies in general, the second for nginx.
STREAM_HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}


@asynccontextmanager
async def running(_: FastAPI) -> AsyncIterator[None]:
    """Read the settings, so that a wrong one ends the start and no request; close this loop's
    connections at the end."""
    celery.conf.get("broker_url")
    yield
    await aclose()


app = FastAPI(title="Griot, live", lifespan=running, docs_url=None, redoc_url=None)
app.add_middleware(Secured)
answer_errors(app)

A_CURSOR = r"^\d{1,18}(-\d{1,18})?$"
Id = Annotated[str, Path(max_length=120)]
Cursor = Annotated[str | None, Query(pattern=A_CURSOR)]
LastEventId = Annotated[str | None, Header(pattern=A_CURSOR)]
Memory = Annotated[RedisMemoryService, Depends(get_redis_memory)]


class NewMessage(BaseModel):
    """A message for a session."""

    agent_id: str
    session_id: str
    message: str


class Sent(BaseModel):
    """A message that was taken in; its answer comes as events of this job."""

    job_id: str


@app.get("/")
def page() -> HTMLResponse:
    """The page that a person uses."""
    return HTMLResponse(PAGE)


@app.post("/chat", status_code=202)
async def chat(new: NewMessage, idempotency_key: Annotated[str | None, Header()] = None) -> Sent:
    """Take a message in. After a 503 send it again with the same key: it cannot double."""
    sent = await send(**new.model_dump(), idempotency_key=idempotency_key)
    return Sent(job_id=sent.id)


@app.delete("/jobs/{job_id}", status_code=202)
async def stop(job_id: Id) -> dict[str, str]:
    """Stop an answer that is being written, or withdraw a message that waits. An event follows."""
    try:
        return {"outcome": await cancel(job_id)}
    except InvalidJob as exc:
        raise HTTPException(404, str(exc)) from None


@app.get("/sessions/{agent_id}/{session_id}")
def look(agent_id: Id, session_id: Id, memory: Memory) -> SessionView:
    """The conversation, what is being answered, and the cursor to follow it from.

    The order of the reads makes it complete: what happens after the cursor was read comes as an
    event, too; a job that ends between the two last steps is in both lists, never in none.
    """
    mailbox = Mailbox.of(memory.keyspace, agent_id, session_id)
    cursor = memory.connection.run(events.last_cursor(mailbox.keys.events))
    pending = waiting_messages(memory, mailbox)
    history = memory.get_conversation_history(agent_id, session_id)
    messages = [ShownMessage.model_validate(one) for one in history if is_shown(one)]
    answered = {said.job_id for said in messages}
    pending = [one for one in pending if one.job_id not in answered]
    if pending:
        add_events(pending, events_until(memory, mailbox.keys, cursor))
    return SessionView(cursor=cursor, messages=messages, pending=pending)


@app.get("/sessions/{agent_id}/{session_id}/events")
def tail(
    agent_id: Id,
    session_id: Id,
    memory: Memory,
    after: Cursor = None,
    last_event_id: LastEventId = None,
) -> StreamingResponse:
    """The session's events after a cursor (default: from now on), without end."""
    keys = memory.keyspace.session(agent_id, session_id)
    newest = memory.connection.run(events.last_cursor(keys.events))  # 503 in an outage
    stream = event_stream(agent_id, session_id, last_event_id or after or newest)
    return StreamingResponse(stream, headers=STREAM_HEADERS, media_type="text/event-stream")


async def event_stream(agent_id: str, session_id: str, after: str) -> AsyncIterator[str]:
    """The events of a session as they go over the wire.

    An outage of Redis ends them; the client comes back, and goes on where it was.
    """
    yield f"retry: {RECONNECT_MS}\n\n"
    followed = follow(agent_id, session_id, after, keep_alive_s=KEEP_ALIVE_S)
    try:
        async with aclosing(followed) as found:
            async for event in found:
                yield server_sent(event)
    except CursorExpired:
        yield "event: expired\ndata: {}\n\n"
    except MemoryServiceError as exc:
        logger.warning(
            "the live chat ends a stream of events, its client comes back by itself: %s", exc
        )
