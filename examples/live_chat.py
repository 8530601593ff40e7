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

import base64
import hashlib
import json
import logging
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memory import (
    Backpressure,
    Command,
    CursorExpired,
    Event,
    EventType,
    InvalidInput,
    Mailbox,
    MemoryFull,
    MemoryServiceError,
    MemoryUnavailable,
    RedisMemoryService,
    SessionKeys,
    events,
    get_redis_memory,
)
from tasks.aio import aclose, cancel, follow, send
from tasks.errors import InvalidJob, JobConflict, NotAccepted
from tasks.job.envelope import Envelope

logger = logging.getLogger(__name__)

KEEP_ALIVE_S = 15.0  # proxies commonly close a connection that is silent for 60 s
RECONNECT_MS = 1000
RETRY_AFTER_S = 5
SHOWN = ("user", "assistant")

PAGE = FilePath(__file__).with_name("live_chat.html").read_text(encoding="utf-8")


def digests(tag: str) -> str:
    """What the page has inline under a tag, as a Content-Security-Policy names it."""
    found = re.findall(f"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    sums = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found)
    return " ".join(f"'sha256-{one}'" for one in sums)


SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; "
        f"script-src {digests('script')}; style-src {digests('style')}"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# Buffering would hold tokens back: the first is for proxies in general, the second for nginx.
STREAM_HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}


class Secured:
    """The application with SECURITY_HEADERS on every answer, streams included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_secured)


@asynccontextmanager
async def closing(_: FastAPI) -> AsyncIterator[None]:
    """Close this loop's connections at the end."""
    yield
    await aclose()


app = FastAPI(title="Griot, live", lifespan=closing, docs_url=None, redoc_url=None)
app.add_middleware(Secured)


def refuse(status: int, request: Request, error: Exception) -> Response:
    """The error as an answer; its message never holds the conversation's text."""
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status in {429, 503} else None
    return JSONResponse({"detail": str(error)}, status, headers)


# What the caller can do: mend the request, wait for earlier answers, try again.
for kind, status in {
    InvalidJob: 422,
    JobConflict: 409,
    InvalidInput: 422,
    Backpressure: 429,
    NotAccepted: 503,
    MemoryFull: 503,
    MemoryUnavailable: 503,
}.items():
    app.add_exception_handler(kind, partial(refuse, status))

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


class Said(BaseModel):
    """A message of the history; both of a turn have its job's id."""

    role: str
    content: str | None = None
    job_id: str | None = None
    cancelled: bool = False


class Asked(BaseModel):
    """A message whose answer is not complete, and its text up to now; attempt 0: not begun."""

    job_id: str
    message: str
    attempt: int = 0
    text: str = ""


class Session(BaseModel):
    """A conversation, as true at `cursor`: follow its events from there."""

    cursor: str
    messages: list[Said]
    pending: list[Asked]


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
def look(agent_id: Id, session_id: Id, memory: Memory) -> Session:
    """The conversation, what is being answered, and the cursor to follow it from.

    The order makes it whole. What happens after the cursor was read is told again by the events;
    a job that ends between the two last steps is in both lists, never in none.
    """
    mailbox = Mailbox.of(memory.keyspace, agent_id, session_id)
    cursor = memory.connection.run(events.last_cursor(mailbox.keys.events))
    pending = asked(memory, mailbox)
    history = memory.get_conversation_history(agent_id, session_id)
    messages = [Said.model_validate(one) for one in history if is_shown(one)]
    answered = {said.job_id for said in messages}
    pending = [one for one in pending if one.job_id not in answered]
    if pending:
        tell(pending, events_until(memory, mailbox.keys, cursor))
    return Session(cursor=cursor, messages=messages, pending=pending)


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
    newest = memory.connection.run(events.last_cursor(keys.events))  # an outage is told by a 503
    stream = told(agent_id, session_id, last_event_id or after or newest)
    return StreamingResponse(stream, headers=STREAM_HEADERS, media_type="text/event-stream")


async def told(agent_id: str, session_id: str, after: str) -> AsyncIterator[str]:
    """The events of a session as they go over the wire.

    An outage of Redis ends them; the client comes back, and goes on where it was.
    """
    yield f"retry: {RECONNECT_MS}\n\n"
    followed = follow(agent_id, session_id, after, keep_alive_s=KEEP_ALIVE_S)
    try:
        async with aclosing(followed) as found:  # type: ignore[type-var]  # it is a generator
            async for event in found:
                yield server_sent(event)
    except CursorExpired:
        yield "event: expired\ndata: {}\n\n"
    except MemoryServiceError as exc:
        logger.warning("a stream of events ends: %s", exc)


def is_shown(message: Mapping[str, object]) -> bool:
    """Whether it is somebody's word: not a call of a tool, nor its result."""
    return message["role"] in SHOWN and "tool_calls" not in message


def server_sent(event: Event) -> str:
    """An event as the standard has it; one that says that nothing happened is a comment."""
    if event.type is EventType.KEEP_ALIVE:
        return ": keep-alive\n\n"
    fields = {name: getattr(event, name) for name in ("job_id", "attempt", "text", "data")}
    return f"id: {event.cursor}\nevent: {event.type}\ndata: {json.dumps(fields)}\n\n"


def asked(memory: RedisMemoryService, mailbox: Mailbox) -> list[Asked]:
    """The messages that wait in a mailbox, the one that is answered first."""
    ids = memory.connection.run(mailbox.pending())
    if not ids:
        return []
    found = memory.connection.run(Command(lambda reply: reply, ("HMGET", mailbox.keys.jobs, *ids)))
    assert isinstance(found, list)
    return [
        Asked(job_id=job_id, message=Envelope.unpack(envelope).job.message)
        for job_id, envelope in zip(ids, found, strict=True)
        if envelope is not None
    ]


def tell(pending: Iterable[Asked], happened: Iterable[Event]) -> None:
    """Add to messages that wait what is known of their answers."""
    by_id = {one.job_id: one for one in pending}
    for event in happened:
        one = by_id.get(event.job_id)
        if one is None or event.attempt < one.attempt:
            continue
        # An attempt that a stopping worker gave back starts again under the same number.
        # What is said before a tool is called is no part of the answer.
        on_start = (EventType.STARTED, EventType.TOOL_CALL)
        if event.type in on_start or event.attempt > one.attempt:
            one.attempt, one.text = event.attempt, ""
        if event.type is EventType.TOKEN:
            one.text += event.text


def events_until(memory: RedisMemoryService, keys: SessionKeys, cursor: str) -> Iterator[Event]:
    """The events that are kept up to a cursor."""
    at = events.FROM_START
    while events.is_after(cursor, at):
        found = memory.connection.run(events.read(keys, at, block_ms=1))
        yield from (event for event in found if not events.is_after(event.cursor, cursor))
        at = found[-1].cursor if found else cursor
