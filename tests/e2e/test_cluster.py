"""The whole of it with the memory on a Redis Cluster and the broker on a server of its own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.cluster import ValkeyCluster
from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.warm.python import run_python, warm

pytestmark = pytest.mark.slow

SESSIONS = 9

# A process of its own: the producer in this one knows one address for all tests.
CLIENT = """
import asyncio, json, sys
from memory import get_redis_memory
from tasks import chat_task, follow_job
from tasks.aio import aclose, follow, follow_job as afollow_job, send

async def talk(session):
    job = await send("energy", session, f"tell {session}", model="slow-tokens:20x0.02s")
    texts = ["".join([e.text async for e in afollow_job(job.id) if e.type == "token"])]
    async for event in follow("energy", session, "0-0"):
        if event.type == "done":
            return [*texts, event.text]

async def stop(session):
    job = await send("energy", session, "talk for ever", model="endless")
    async for event in afollow_job(job.id):
        if event.type == "token":
            chat_task.cancel(job.id)
    return event.type

async def main(sessions):
    told = await asyncio.gather(*map(talk, sessions))
    stopped = await stop("stopped")
    await aclose()
    return told, stopped

sessions = sys.argv[1:]
told, stopped = asyncio.run(main(sessions))
history = get_redis_memory().get_conversation_history
for session, texts in zip(sessions, told):
    texts.append(history("energy", session)[-1]["content"])
late = chat_task.delay("energy", sessions[0], "and now?")
blocking = "".join(event.text for event in follow_job(late.id) if event.type == "token")
asked = late.get(timeout=60)["response"]
print(json.dumps({"told": told, "stopped": stopped, "late": [blocking, asked]}))
"""


REFUSED = """
import asyncio, uuid
from tasks import InvalidJob, SessionBusy, app, chat_task, follow_job
from tasks.aio import aclose, send

def told(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except (InvalidJob, SessionBusy) as refused:
        return type(refused).__name__

async def sent(*arguments, **options):
    try:
        return await send(*arguments, **options)
    finally:
        await aclose()

def blocking(session, message, **options):
    return chat_task.apply_async(("energy", session, message), options, task_id=options.pop("id"))

def on_a_loop(session, message, **options):
    return asyncio.run(sent("energy", session, message, task_id=options.pop("id"), **options))

def raw(session, message, **options):
    job_id, arguments = options.pop("id"), {"agent_id": "energy", "session_id": session}
    kwargs = {**arguments, "message": message, **options}
    app.send_task("tasks.chat_task", kwargs=kwargs, task_id=job_id, queue="chat").get(timeout=30)

for sending in (blocking, on_a_loop, raw):
    # Ids lie on any of the three servers.
    for number in range(6):
        session, id = f"{sending.__name__}-{number}", str(uuid.uuid4())
        busy = chat_task.delay("energy", session, "talk for ever", model="endless")
        if told(sending, session, "me too", id=id, on_busy="reject") != "SessionBusy":
            raise SystemExit("it was taken in")
        if told(chat_task.cancel, id) != "InvalidJob":
            raise SystemExit("it is known though it was refused")
        chat_task.cancel(busy.id)
        list(follow_job(busy.id))
        again = blocking if sending is raw else sending
        if not list(follow_job(again(session, "another text", id=id).id)):
            raise SystemExit("it cannot be sent again")
"""


PAUSED = """
import json, time
from tasks import chat_task, find_jobs, follow_job, pause, paused, resume, send_many, usage

def states():
    return {one.state for one in find_jobs(tag="import-7").jobs}

pause("agent", "paused", reason="new prices", for_s=60)
jobs = [
    {"agent_id": "paused", "session_id": f"s-{n}", "message": "hello", "model": "instant",
     "tags": ["import-7"], "priority": ("batch", "interactive")[n % 2],
     "metadata": {"user_id": "ama"}}
    for n in range(9)
]
sent = [one.job_id for one in send_many(jobs)]
told = [next(one for one in follow_job(job) if one.type == "waiting").data for job in sent]
waiting = states()
resume("agent", "paused")
for job in sent:
    chat_task.AsyncResult(job).get(timeout=60)

# An end is counted when its result is stored.
until, turns = time.monotonic() + 20, 0
while turns < len(sent) and time.monotonic() < until:
    turns = sum(one.spent.turns for one in usage("user") if one.name == "ama")
print(json.dumps({
    "told": sorted({one["why"] for one in told}), "waiting": sorted(waiting),
    "done": sorted(states()), "turns": turns, "paused": len(paused()),
}))
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GriotStack]:
    """One worker; three servers for the memory, one for the broker and the results."""
    with (
        ValkeyCluster() as cluster,
        ValkeyServer() as broker,
        OllamaStandIn() as ollama,
        GriotStack(
            tmp_path_factory.mktemp("cluster"),
            redis_url=cluster.url.removesuffix("/0"),
            ollama_url=ollama.url,
            settings={
                **FAST,
                "REDIS_MODE": "cluster",
                "CELERY_BROKER_URL": broker.url(1),
                "CELERY_RESULT_BACKEND": broker.url(2),
            },
            starter=warm,
        ) as stack,
    ):
        stack.worker()
        yield stack


def test_sessions_on_all_servers_are_answered_followed_and_cancelled(
    stack: GriotStack, tmp_path: Path
) -> None:
    """From one event loop and from a thread, every follower has the committed text."""
    sessions = [f"session-{number}" for number in range(SESSIONS)]
    seen = json.loads(_run(stack, tmp_path, CLIENT, *sessions))
    for session, texts in zip(sessions, seen["told"], strict=True):
        assert len(set(texts)) == 1
        assert f"tell {session}" in texts[0]
    assert seen["stopped"] == "cancelled"
    assert seen["late"][0] == seen["late"][1]


def test_a_refused_job_was_never_heard_of(stack: GriotStack, tmp_path: Path) -> None:
    """Its id was claimed on another server before it was refused: it is free again."""
    _run(stack, tmp_path, REFUSED)


def test_what_is_paused_waits_is_found_and_counted(stack: GriotStack, tmp_path: Path) -> None:
    """Sessions of all servers, urgent ones and others; each of their turns counts once."""
    seen = json.loads(_run(stack, tmp_path, PAUSED))
    assert seen == {
        "told": ["new prices"],
        "waiting": ["paused"],
        "done": ["done"],
        "turns": SESSIONS,
        "paused": 0,
    }


def _run(stack: GriotStack, directory: Path, code: str, *arguments: str) -> str:
    client = run_python("-c", code, *arguments, env=stack.env, cwd=directory, timeout_s=scaled(40))
    assert client.returncode == 0, client.stderr[-3000:]
    return client.stdout
