"""Live chat in a browser: answers that appear as they are written, in every tab, and survive all.

    uvicorn examples.live_chat:app --timeout-graceful-shutdown 2

Then open http://127.0.0.1:8000/ and sign in with the token that it prints, or with one of WEB_USERS
(settings.py). The time-out is for streams of events, which have no end of their own. Each user has
sessions of their own (access.py), and guard.py says what is asked of a request. Put TLS in front;
and HTTP/2, for with HTTP/1.1 a browser has six connections per server.

A client of any kind does what the page does:

0. `POST /login` with `Authorization: Bearer <token>`, which sets the cookie; or send that header
   with each request.
1. `GET /sessions/{agent}/{session}`: the conversation so far, with what is being answered and the
   text of it up to now, and the cursor at which that is true.
2. `GET /sessions/{agent}/{session}/events?after={cursor}`: everything since, as server-sent events.
   After a lost connection go on with the `Last-Event-ID`, as browsers do by themselves.
3. A `started` begins the text of its job anew, and so does the first event of a higher attempt;
   one of a lower attempt is late. A `done` has the whole text.
4. On an event of a job that you do not know, and on `expired`, do 1 again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel

from examples.access import (
    COOKIE,
    Id,
    Memory,
    OwnKeys,
    User,
    bearer_token,
    check_own_job,
    own_session,
    user_of,
)
from examples.guard import protect
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
    SessionKeys,
    events,
)
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
protect(app)
app.add_middleware(Secured)
answer_errors(app)

A_CURSOR = r"^\d{1,18}(-\d{1,18})?$"
Cursor = Annotated[str | None, Query(pattern=A_CURSOR)]
LastEventId = Annotated[str | None, Header(pattern=A_CURSOR)]


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


@app.post("/login", status_code=204)
def sign_in(
    token: Annotated[str, Depends(bearer_token)], request: Request, response: Response
) -> None:
    """Let a cookie stand for the token. Only the header counts: a link cannot sign anybody in."""
    user_of(token)
    is_secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=is_secure)


@app.post("/chat", status_code=202)
async def chat(
    new: NewMessage, user: User, idempotency_key: Annotated[str | None, Header()] = None
) -> Sent:
    """Take a message in. After a 503 send it again with the same key: it cannot double."""
    sent = await send(
        new.agent_id,
        own_session(user, new.session_id),
        new.message,
        idempotency_key=idempotency_key,
        metadata={"user_id": user},
    )
    return Sent(job_id=sent.id)


@app.delete("/jobs/{job_id}", status_code=202)
async def stop(job_id: Id, user: User, memory: Memory) -> dict[str, str]:
    """Stop an answer that is being written, or withdraw a message that waits. An event follows."""
    await asyncio.to_thread(check_own_job, memory, user, job_id)
    return {"outcome": await cancel(job_id)}


@app.get("/sessions/{agent_id}/{session_id}")
def look(keys: OwnKeys, memory: Memory) -> SessionView:
    """The conversation, what is being answered, and the cursor to follow it from.

    The order of the reads makes it complete: what happens after the cursor was read comes as an
    event, too; a job that ends between the two last steps is in both lists, never in none.
    """
    mailbox = Mailbox(memory.keyspace, keys)
    cursor = memory.connection.run(events.last_cursor(mailbox.keys.events))
    pending = waiting_messages(memory, mailbox)
    history = memory.get_conversation_history(keys.agent_id, keys.session_id)
    messages = [ShownMessage.model_validate(one) for one in history if is_shown(one)]
    answered = {said.job_id for said in messages}
    pending = [one for one in pending if one.job_id not in answered]
    if pending:
        add_events(pending, events_until(memory, mailbox.keys, cursor))
    return SessionView(cursor=cursor, messages=messages, pending=pending)


@app.get("/sessions/{agent_id}/{session_id}/events")
def tail(
    keys: OwnKeys,
    memory: Memory,
    after: Cursor = None,
    last_event_id: LastEventId = None,
) -> StreamingResponse:
    """The session's events after a cursor (default: from now on), without end."""
    newest = memory.connection.run(events.last_cursor(keys.events))  # 503 in an outage
    stream = event_stream(keys, last_event_id or after or newest)
    return StreamingResponse(stream, headers=STREAM_HEADERS, media_type="text/event-stream")


async def event_stream(keys: SessionKeys, after: str) -> AsyncIterator[str]:
    """The events of a session as they go over the wire.

    An outage of Redis ends them; the client comes back, and goes on where it was.
    """
    yield f"retry: {RECONNECT_MS}\n\n"
    followed = follow(keys.agent_id, keys.session_id, after, keep_alive_s=KEEP_ALIVE_S)
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
