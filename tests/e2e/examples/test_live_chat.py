"""The live chat example: what a browser, or any other client, can rely on."""

import asyncio
import base64
import hashlib
import json
import re
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn

from examples.live_chat import app
from examples.live_chat_page import PAGE
from examples.live_chat_session import WaitingMessage, add_events, server_sent
from memory import Event, EventType, get_redis_memory
from sandbox.ollama import OllamaStandIn
from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import chat_task
from tests.support.machine import scaled
from tests.support.waiting import eventually
from tests.support.web_users import TOKENS, USER, WEB_USERS, bearer

WAIT_S = scaled(20)
ROOT = Path(__file__).resolve().parents[3]
SLOW = f"slow-tokens:40x{scaled(0.03)}s"

CLIENT = """
import http.client, json, sys
port, path, token, last_id, out = sys.argv[1:]
connection = http.client.HTTPConnection("127.0.0.1", int(port))
headers = {"Authorization": "Bearer " + token}
connection.request("GET", path, headers=headers | ({"Last-Event-ID": last_id} if last_id else {}))
fields = {}
with open(out, "a") as file:
    for raw in connection.getresponse():
        name, _, value = raw.decode().rstrip("\\n").partition(": ")
        if name:
            fields[name] = value
        elif "id" in fields:
            print(json.dumps(fields), file=file, flush=True)
            fields = {}
"""
"""A client that notes each event as it comes; whoever kills it finds a line cut off at most."""


@dataclass(frozen=True)
class ServerSent:
    """An event as it came over the wire."""

    id: str
    type: str
    data: dict[str, object]

    @property
    def text(self) -> str:
        """The piece of text that it brings."""
        return str(self.data.get("text", ""))


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> ServerProcess:
    """One worker for all tests of this module; its model takes its time."""
    return stack.worker(OLLAMA_MODEL=SLOW)


@pytest.fixture(scope="module")
def address(stack: GriotStack, logs: Path) -> Iterator[str]:
    """The example, served as its docstring says."""
    port = free_port()
    command = (sys.executable, "-m", "uvicorn", "examples.live_chat:app", "--port", str(port))
    server = ServerProcess(
        (*command, "--timeout-graceful-shutdown", "2"),
        log_path=logs / "web.log",
        cwd=ROOT,
        env={**stack.env, "WEB_USERS": WEB_USERS},
        name="web",
    )
    with server:
        server.wait_ready(lambda: "Uvicorn running" in server.log_text(), WAIT_S)
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def web(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the served example."""
    async with httpx.AsyncClient(base_url=address, timeout=WAIT_S, headers=bearer()) as client:
        yield client


@pytest.fixture
def session_id() -> str:
    """A session of the test's own."""
    return f"live-{uuid.uuid4()}"


@pytest.fixture
def slot(session_id: str) -> str:
    """Where the session is."""
    return f"/sessions/energy/{session_id}"


def kept(session_id: str) -> str:
    """What Griot calls a session of the client's user."""
    return f"{USER}~{session_id}"


async def ask(web: httpx.AsyncClient, session_id: str, message: str = "What is WAPP?") -> str:
    """Send a message; the job's id."""
    new = {"agent_id": "energy", "session_id": session_id, "message": message}
    answer = await web.post("/chat", json=new)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


async def listen(
    web: httpx.AsyncClient, slot: str, after: str = "0-0", **headers: str
) -> AsyncIterator[ServerSent]:
    """The events of a session as a client sees them."""
    fields: dict[str, str] = {}
    path = f"{slot}/events?after={after}"
    async with web.stream("GET", path, headers=headers, timeout=WAIT_S) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
            elif "event" in fields:
                yield ServerSent(fields.get("id", ""), fields["event"], json.loads(fields["data"]))
                fields = {}


async def until_end(events: AsyncIterator[ServerSent]) -> list[ServerSent]:
    """The events up to the end of an answer."""
    received = []
    async for event in events:
        received.append(event)
        if event.type in ("done", "failed", "cancelled"):
            break
    await events.aclose()  # type: ignore[attr-defined]  # it is a generator
    return received


def tokens(received: list[ServerSent]) -> str:
    """The text that the tokens make."""
    return "".join(event.text for event in received if event.type == "token")


async def committed(session_id: str) -> str:
    """The last message of the session's history."""
    memory = get_redis_memory()
    history = await asyncio.to_thread(memory.get_conversation_history, "energy", kept(session_id))
    return str(history[-1]["content"])


async def test_a_message_is_taken_in_and_its_answer_followed(
    web: httpx.AsyncClient, session_id: str, slot: str
) -> None:
    """202 at once; then its place, tokens and the whole reply, each with job, attempt, cursor."""
    job_id = await ask(web, session_id)
    received = await until_end(listen(web, slot))
    assert [event.type for event in received[:2]] == ["queued", "started"]
    assert {event.data["job_id"] for event in received} == {job_id}
    assert [event.data["attempt"] for event in received] == [0] + [1] * (len(received) - 1)
    assert all(set(event.data) == {"job_id", "attempt", "text", "data"} for event in received)
    assert tokens(received) == received[-1].text == await committed(session_id)


async def test_a_page_loaded_in_mid_answer_has_the_whole_of_it(
    web: httpx.AsyncClient, session_id: str, slot: str
) -> None:
    """At any moment: the text of the snapshot and the tokens after its cursor are the reply."""
    job_id = await ask(web, session_id)
    loads: list[asyncio.Task[tuple[str, list[ServerSent]]]] = []

    async def load() -> tuple[str, list[ServerSent]]:
        found = (await web.get(slot)).json()
        (asked,) = found["pending"]
        assert (asked["job_id"], asked["message"]) == (job_id, "What is WAPP?")
        return asked["text"], await until_end(listen(web, slot, found["cursor"]))

    async for event in listen(web, slot):
        if event.type == "token" and len(loads) < 15:
            loads.append(asyncio.create_task(load()))
        if event.type == "done":
            break
    for text, received in await asyncio.gather(*loads):
        assert text
        assert received[0].type == "token"
        assert text + tokens(received) == received[-1].text
    ended = (await web.get(slot)).json()
    assert [said["job_id"] for said in ended["messages"]] == [job_id, job_id]
    assert ended["pending"] == []


async def test_messages_that_wait_are_seen_by_others(
    web: httpx.AsyncClient, session_id: str, slot: str
) -> None:
    """A second tab gets their text from the session, for the events do not have it."""
    sent = [await ask(web, session_id, f"message {n}") for n in range(3)]
    pending = (await web.get(slot)).json()["pending"]
    assert [asked["job_id"] for asked in pending] == sent
    assert [asked["message"] for asked in pending] == ["message 0", "message 1", "message 2"]
    assert [asked["attempt"] for asked in pending[1:]] == [0, 0]


async def test_a_client_resumes_at_the_last_event_that_it_saw(
    web: httpx.AsyncClient, session_id: str, slot: str
) -> None:
    """`Last-Event-ID`, which a browser adds to the address it first used, counts for more."""
    await ask(web, session_id)
    events = listen(web, slot)
    first = [await anext(events) for _ in range(5)]
    await events.aclose()  # type: ignore[attr-defined]  # it is a generator
    rest = await until_end(listen(web, slot, **{"Last-Event-ID": first[-1].id}))
    assert tokens(first + rest) == rest[-1].text


async def test_a_client_killed_ten_times_ends_with_the_committed_text(
    web: httpx.AsyncClient, session_id: str, slot: str, tmp_path: Path
) -> None:
    """A process that is killed at any moment of an answer and goes on where its record ends."""
    out = tmp_path / "seen.jsonl"
    model = f"slow-tokens:200x{scaled(0.02)}s"
    await asyncio.to_thread(chat_task.delay, "energy", kept(session_id), "tell me", model=model)

    def seen() -> list[ServerSent]:
        lines = out.read_text("utf-8").splitlines(keepends=True) if out.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        return [ServerSent(one["id"], one["event"], json.loads(one["data"])) for one in whole]

    def run() -> ServerProcess:
        out.touch()
        lines = out.read_text("utf-8").splitlines(keepends=True)
        out.write_text("".join(line for line in lines if line.endswith("\n")), "utf-8")
        last = seen()[-1].id if seen() else ""
        path, port = f"{slot}/events?after=0-0", str(web.base_url.port)
        command = (sys.executable, "-c", CLIENT, port, path, TOKENS[USER], last, out)
        return ServerProcess(command, log_path=tmp_path / "client.log").start()

    for _ in range(10):
        client, before = run(), len(seen())
        await eventually(lambda n=before: len(seen()) > n, timeout_s=WAIT_S, what="an event")  # type: ignore[misc]
        client.kill()
        assert seen()[-1].type != "done", "the answer was over before the last kill"
    with run():
        await eventually(lambda: seen()[-1].type == "done", timeout_s=WAIT_S, what="the end")
    received = seen()
    assert len({event.id for event in received}) == len(received)
    assert tokens(received) == received[-1].text == await committed(session_id)


async def test_a_cursor_that_is_too_old_tells_the_client_to_load_anew(
    web: httpx.AsyncClient, session_id: str, slot: str, valkey: ValkeyServer
) -> None:
    """One `expired` without an id; the snapshot's cursor works."""
    await ask(web, session_id)
    received = await until_end(listen(web, slot))
    valkey.command("UNLINK", f"ecowas:events:{{ecowas:history:energy:{kept(session_id)}}}")
    again = [event async for event in listen(web, slot, received[-1].id)]
    assert [(event.id, event.type) for event in again] == [("", "expired")]
    fresh = (await web.get(slot)).json()
    assert [said["content"] for said in fresh["messages"]] == [
        "What is WAPP?",
        received[-1].text,
    ]
    await ask(web, session_id, "and now?")
    more = await until_end(listen(web, slot, fresh["cursor"]))
    assert more[0].type == "queued"


async def test_an_outage_ends_the_stream_and_the_client_goes_on_where_it_was(
    web: httpx.AsyncClient, session_id: str, slot: str, valkey: ValkeyServer
) -> None:
    """The stream ends, tidily; later the same cursor has all that came meanwhile."""
    await ask(web, session_id)
    received: list[ServerSent] = []
    async for event in listen(web, slot):
        received.append(event)
        if len(received) == 5:
            await asyncio.to_thread(valkey.kill)
    assert (await web.get(slot)).status_code == 503
    await asyncio.to_thread(valkey.start)
    received += await until_end(listen(web, slot, **{"Last-Event-ID": received[-1].id}))
    assert received[-1].text == await committed(session_id)


async def test_an_answer_can_be_stopped(
    web: httpx.AsyncClient, session_id: str, slot: str, ollama: OllamaStandIn
) -> None:
    """`DELETE` ends it at the model too, followers learn it, the next message is answered."""
    job_id = await ask(web, session_id)
    events = listen(web, slot)
    while (await anext(events)).type != "token":
        pass
    stopped = await web.delete(f"/jobs/{job_id}")
    assert (stopped.status_code, stopped.json()) == (202, {"outcome": "stopping"})
    assert (await until_end(events))[-1].type == "cancelled"
    found = (await web.get(slot)).json()
    assert found["pending"] == []
    assert all(said["cancelled"] for said in found["messages"])
    await eventually(lambda: ollama.stats.active == 0, timeout_s=WAIT_S, what="the model to stop")
    await ask(web, session_id, "Go on.")
    assert (await until_end(listen(web, slot, found["cursor"])))[-1].type == "done"


async def test_nobody_can_stop_a_job_that_nobody_knows(web: httpx.AsyncClient) -> None:
    """404."""
    assert (await web.delete(f"/jobs/{uuid.uuid4()}")).status_code == 404


async def test_the_same_idempotency_key_is_the_same_message(
    web: httpx.AsyncClient, session_id: str, slot: str
) -> None:
    """A page that did not see the answer sends again, and nothing doubles; another message under
    the same key is a conflict."""
    new = {"agent_id": "energy", "session_id": session_id, "message": "once"}
    headers = {"Idempotency-Key": "k"}
    answers = [await web.post("/chat", json=new, headers=headers) for _ in "12"]
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    other = await web.post("/chat", json={**new, "message": "twice"}, headers=headers)
    assert other.status_code == 409
    assert len((await web.get(slot)).json()["pending"]) == 1


@pytest.mark.parametrize("wrong", ["now", "1-", "-1", "1-1-1", "9" * 30])
async def test_a_cursor_that_is_none_is_refused(
    web: httpx.AsyncClient, slot: str, wrong: str
) -> None:
    """422, before a stream begins."""
    asked = web.get(f"{slot}/events", params={"after": wrong})
    resumed = web.get(f"{slot}/events", headers={"Last-Event-ID": wrong})
    assert {(await asked).status_code, (await resumed).status_code} == {422}


async def test_a_client_that_leaves_leaves_nothing_behind(
    session_id: str, slot: str, stack: GriotStack
) -> None:
    """Its follower ends with it, not with the next sign of life."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started, timeout_s=WAIT_S, what="the server")
    before = asyncio.all_tasks()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=bearer()) as web:
        streams = [listen(web, slot, "0-0") for _ in range(5)]
        await ask(web, session_id)
        for stream in streams:
            await anext(stream)
        assert len(asyncio.all_tasks() - before) >= len(streams)
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
    await eventually(
        lambda: asyncio.all_tasks() - before == set(), timeout_s=2, what="the followers to end"
    )
    server.should_exit = True
    await serving


async def test_the_page_runs_only_what_it_has_itself(web: httpx.AsyncClient) -> None:
    """The policy names the inline script and style by digest, and nothing from elsewhere."""
    answer = await web.get("/")
    policy = answer.headers["Content-Security-Policy"]
    for tag in ("script", "style"):
        (inline,) = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_puts_text_in_as_text_only() -> None:
    """Nothing that a model or a person writes can become markup or come from another server."""
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", PAGE)
    assert not re.search(r"\son\w+=|javascript:|(?:src|href)=\"(?:https?:)?//", PAGE)


async def test_a_stream_asks_not_to_be_buffered(web: httpx.AsyncClient, slot: str) -> None:
    """Tokens that a proxy holds back are not live."""
    async with web.stream("GET", f"{slot}/events") as answer:
        assert "no-transform" in answer.headers["Cache-Control"]
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert await anext(answer.aiter_lines()) == "retry: 1000"


def test_a_sign_of_life_is_a_comment() -> None:
    """Which no client takes for an event."""
    assert server_sent(Event(EventType.KEEP_ALIVE, "", 0, cursor="1-0")) == ": keep-alive\n\n"


def test_text_of_several_lines_stays_one_event() -> None:
    """Whatever a client takes for the end of a line, the reply brings none onto the wire."""
    text = "a\n\ndata: b\r\x0b\x85\u2028é"
    wire = server_sent(Event(EventType.TOKEN, "j", 1, text=text, cursor="1-0"))
    cursor, kind, data, end = wire.splitlines()
    assert (cursor, kind, end) == ("id: 1-0", "event: token", "")
    assert json.loads(data.removeprefix("data: "))["text"] == text


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        ([("started", 1, ""), ("token", 1, "a"), ("token", 1, "b")], (1, "ab")),
        ([("started", 1, ""), ("token", 1, "a"), ("started", 2, ""), ("token", 2, "b")], (2, "b")),
        ([("started", 2, ""), ("token", 1, "late"), ("token", 2, "b")], (2, "b")),
        ([("started", 1, ""), ("token", 1, "a"), ("started", 1, ""), ("token", 1, "b")], (1, "b")),
        ([("token", 1, "a"), ("token", 2, "b")], (2, "b")),
        ([("token", 1, "I'll look"), ("tool_call", 1, ""), ("token", 1, "b")], (1, "b")),
        ([], (0, "")),
    ],
    ids=["one", "second replaces", "late", "given back", "beginning lost", "tool", "none"],
)
def test_a_snapshot_has_the_text_of_the_last_attempt(
    happened: list[tuple[str, int, str]], expected: tuple[int, str]
) -> None:
    """As a client that had followed from the start."""
    waiting = WaitingMessage(job_id="j", message="m")
    found = [Event(EventType(kind), "j", attempt, text) for kind, attempt, text in happened]
    add_events([waiting], found)
    assert (waiting.attempt, waiting.text) == expected
