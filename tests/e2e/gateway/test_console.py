"""The operator's console over HTTP: what it shows and does, who may, and what the audit has."""

import uuid
from collections.abc import Iterator, Mapping

import httpx
import pytest

from memory import get_redis_memory
from memory.records.api_keys import USUAL, Scope
from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import JobFailed, chat_task
from tests.e2e.gateway.conftest import AGENT
from tests.e2e.gateway.test_access import bearer, error, key
from tests.support.machine import scaled
from tests.support.waiting import wait_until

HOSTILE = '"><img src=x onerror=alert(1)>/../%2e?#\u202e'
WAIT_S = scaled(20)


@pytest.fixture(scope="module")
def keys(valkey: ValkeyServer) -> Mapping[str, str]:
    """Operators with all rights, with few, and for one agent only, and somebody who is none."""
    assert valkey
    return {
        "all": key("root", "root", *Scope),
        "operator": key("ops", "ops", Scope.OPERATE),
        "narrow": key("narrow", "ops", Scope.OPERATE, Scope.ERASE, agents=["supervisor"]),
        "user": key("web", "web", *USUAL, Scope.ERASE, Scope.READ_TEXT),
    }


@pytest.fixture(scope="module")
def address(stack: GriotStack, keys: Mapping[str, str]) -> str:
    """A gateway that asks for keys."""
    assert keys
    return stack.gateway(name="console", GATEWAY_PROXIES="127.0.0.1")[1]


@pytest.fixture
def door(address: str) -> Iterator[httpx.Client]:
    """A client without a key."""
    with httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def ops(door: httpx.Client, keys: Mapping[str, str]) -> httpx.Client:
    """A client with all rights."""
    door.headers.update(bearer(keys["all"]))
    return door


@pytest.fixture
def session_id() -> str:
    """A session of the test's own, whose id is as bad as may be."""
    return f"{HOSTILE}{uuid.uuid4()}"


@pytest.fixture
def dead_job(ollama: OllamaStandIn, session_id: str) -> str:
    """The id of a job that the model has refused."""
    ollama.script("ok", ["bad-400"])
    sent = chat_task.delay(AGENT, session_id, "hear me", model="ok")
    with pytest.raises(JobFailed):
        sent.get(timeout=WAIT_S)
    return str(sent.id)


def act(client: httpx.Client, what: str, **facts: object) -> dict[str, object]:
    """An act in the console, which succeeds."""
    answer = client.post(f"/v1/console/{what}", json=facts)
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def deeds(client: httpx.Client, about: str) -> list[tuple[str, str, str]]:
    """Who did what to a job, and what came of it."""
    found = client.get("/v1/console", params={"slow": True}).json()["slow"]["audit"]
    return [(one["actor"], one["deed"], one["outcome"]) for one in found if one["job_id"] == about]


def test_only_operators_get_in(door: httpx.Client, keys: Mapping[str, str]) -> None:
    """Reading and every act, and erasing and reading words need a scope of their own besides."""
    bodies: dict[str, dict[str, object]] = {
        "read": {"job_id": "x"}, "cancel": {"job_id": "x"}, "requeue": {"job_id": "x"},
        "drop": {"job_id": "x"}, "erase": {"agent_id": AGENT, "session_id": "x"},
    }  # fmt: skip
    for path in ("/v1/console", "/v1/console/job?job_id=x"):
        assert error(door.get(path), 401)
        assert error(door.get(path, headers=bearer(keys["user"])), 403)
    for what, body in bodies.items():
        path = f"/v1/console/{what}"
        assert error(door.post(path, json=body), 401)
        assert error(door.post(path, json=body, headers=bearer(keys["user"])), 403)
    for what in ("read", "erase"):
        operator = bearer(keys["operator"])
        refused = error(door.post(f"/v1/console/{what}", json=bodies[what], headers=operator), 403)
        assert "lacks the scope" in refused["message"]


def test_a_running_turn_is_shown_and_cancelled(ops: httpx.Client, session_id: str) -> None:
    """With its worker, model, server, attempt and speed, and the job behind it; no word of it."""
    running = chat_task.delay(AGENT, session_id, "canary in here", model="slow-tokens:200x50ms")
    behind = chat_task.delay(AGENT, session_id, "canary behind")

    def shown() -> dict[str, object] | None:
        found = ops.get("/v1/console").json()["running"]["data"]
        return next((one for one in found if one["job_id"] == running.id), None)

    wait_until(lambda: (shown() or {}).get("tokens_per_s"), timeout_s=WAIT_S, what="a running turn")
    turn = shown()
    assert turn is not None
    assert turn["session_id"] == session_id
    assert turn["agent_id"] == AGENT
    assert turn["attempt"] == 1
    assert turn["model"] == "slow-tokens:200x50ms"
    assert str(turn["server"]).startswith("http://127.0.0.1")
    assert turn["worker"]
    answer = ops.get("/v1/console")
    assert "canary" not in answer.text
    seen = answer.json()
    assert seen["workers"][0]["running"] >= 1
    assert seen["workers"][0]["late"]["p99_ms"] >= 0
    assert [one["calls"] for one in seen["servers"]] == [1]
    assert "slow-tokens:200x50ms" in seen["servers"][0]["loaded"]
    waits = {one["job_id"]: one for one in seen["waiting"]["data"]}
    assert waits[behind.id]["why"] == "behind"
    assert waits[behind.id]["ahead"] == running.id
    assert ops.get("/v1/console/job", params={"job_id": running.id}).json()["state"] == "running"

    assert act(ops, "cancel", job_id=running.id, policy="discard")["outcome"] == "stopping"
    assert behind.get(timeout=WAIT_S)["response"]
    assert deeds(ops, running.id) == [("root", "cancel", "stopping")]
    assert ops.get("/v1/console/job", params={"job_id": running.id}).json()["state"] == "ended"
    assert ops.get("/v1/console/job", params={"job_id": behind.id}).json()["state"] == "done"


def test_a_dead_letter_is_sent_again_or_dropped(
    ops: httpx.Client, ollama: OllamaStandIn, session_id: str, dead_job: str
) -> None:
    """It is listed without what was said, and each act is in the audit."""
    answer = ops.get("/v1/console", params={"slow": True})
    assert "hear me" not in answer.text
    listed = {one["job_id"]: one for one in answer.json()["slow"]["letters"]["data"]}
    assert listed[dead_job]["session_id"] == session_id
    assert listed[dead_job]["reason"]
    ollama.script("ok", ["bad-400"])
    again = str(act(ops, "requeue", job_id=dead_job)["requeued_as"])
    assert deeds(ops, dead_job) == [("root", "requeue", f"requeued as {again}")]

    def state() -> object:
        return ops.get("/v1/console/job", params={"job_id": again}).json()["state"]

    wait_until(lambda: state() == "dead", timeout_s=WAIT_S, what="the second death")
    act(ops, "drop", job_id=again)
    assert deeds(ops, again) == [("root", "drop", "dropped")]
    assert error(ops.post("/v1/console/drop", json={"job_id": again}), 400)
    assert state() == "ended"


def test_a_job_that_is_not_due_says_when_it_is(ops: httpx.Client, session_id: str) -> None:
    """It waits among the others, and can be cancelled as they can."""
    later = chat_task.apply_async((AGENT, session_id, "later"), countdown=3600)
    seen = ops.get("/v1/console").json()
    waits = {one["job_id"]: one for one in seen["waiting"]["data"]}
    assert waits[later.id]["why"] == "scheduled"
    assert waits[later.id]["until_ms"] > seen["now_ms"] + 3_500_000
    assert ops.get("/v1/console/job", params={"job_id": later.id}).json()["state"] == "scheduled"
    assert act(ops, "cancel", job_id=later.id)["outcome"] == "cancelled"
    assert ops.get("/v1/console/job", params={"job_id": later.id}).json()["state"] == "ended"


def test_words_are_read_with_a_scope_of_their_own(ops: httpx.Client, session_id: str) -> None:
    """And whoever reads them is in the audit."""
    sent = chat_task.delay(AGENT, session_id, "a secret")
    reply = sent.get(timeout=WAIT_S)["response"]
    found = ops.get("/v1/console/job", params={"job_id": sent.id})
    assert "a secret" not in found.text
    assert reply not in found.text
    said = act(ops, "read", job_id=sent.id)["messages"]
    assert said == [{"role": "user", "text": "a secret"}, {"role": "assistant", "text": reply}]
    assert deeds(ops, sent.id) == [("root", "read", "read: 2 messages")]


def test_a_session_of_any_owner_is_erased(
    ops: httpx.Client, door: httpx.Client, keys: Mapping[str, str]
) -> None:
    """First it is said what there is; the audit has the deed and not the id."""
    hello = {"model": AGENT, "input": "Hello", "conversation": "mine"}
    made = door.post("/v1/responses", json=hello, headers=bearer(keys["user"]))
    assert made.status_code == 200, made.text
    named = {"agent_id": AGENT, "session_id": "web~mine"}
    looked = act(ops, "erase", **named, dry_run=True)
    assert looked["erased"] is False
    assert looked["kept"]["messages"] == 2  # type: ignore[index]  # of JSON
    assert act(ops, "erase", **named)["erased"] is True
    assert act(ops, "erase", **named, dry_run=True)["kept"]["messages"] == 0  # type: ignore[index]  # of JSON
    audit = ops.get("/v1/console", params={"slow": True}).json()["slow"]["audit"]
    assert (audit[0]["actor"], audit[0]["deed"]) == ("root", "erase")
    assert "mine" not in audit[0]["session"]


def test_a_key_for_one_agent_sees_and_does_nothing_to_others(
    door: httpx.Client, keys: Mapping[str, str], dead_job: str
) -> None:
    """Nor by the routes for dead letters."""
    narrow = bearer(keys["narrow"])
    seen = door.get("/v1/console", params={"slow": True}, headers=narrow)
    assert dead_job not in seen.text
    assert error(door.get("/v1/console/job", params={"job_id": dead_job}, headers=narrow), 404)
    for what in ("cancel", "requeue", "drop"):
        named = {"job_id": dead_job}
        assert door.post(f"/v1/console/{what}", json=named, headers=narrow).status_code in {
            403,
            404,
        }
    erase = {"agent_id": AGENT, "session_id": "x"}
    assert error(door.post("/v1/console/erase", json=erase, headers=narrow), 403)
    for kind, name in (("agent", AGENT), ("model", "instant"), ("all", "")):
        named = {"kind": kind, "name": name}
        assert error(door.post("/v1/pauses", json=named, headers=narrow), 403)
        assert error(door.delete("/v1/pauses", params=named, headers=narrow), 403)
    assert door.get("/v1/dead_letters", headers=narrow).json()["data"] == []
    assert error(door.delete(f"/v1/dead_letters/{dead_job}", headers=narrow), 403)


def test_operators_pause_and_resume(ops: httpx.Client) -> None:
    """What is paused is listed, and the console has it; what cannot be paused is a 400."""
    agent = {"kind": "agent", "name": "nobody-asks-it"}
    made = ops.post("/v1/pauses", json={**agent, "reason": "wrong prices", "for_s": 600}).json()
    assert (made["id"], made["reason"]) == ("agent nobody-asks-it", "wrong prices")
    assert made["until"] == pytest.approx(made["since"] + 600)
    (shown,) = ops.get("/v1/pauses").json()["data"]
    assert (shown["id"], shown["is_paused"], shown["waiting"]) == (made["id"], True, 0)
    assert [one["what"] for one in ops.get("/v1/console").json()["pauses"]] == [made["id"]]
    assert ops.delete("/v1/pauses", params=agent).json()["deleted"] is True
    assert ops.delete("/v1/pauses", params=agent).json()["deleted"] is False
    assert ops.get("/v1/pauses").json()["data"] == []
    assert ops.post("/v1/pauses", json={"kind": "agent"}).status_code == 400
    assert ops.post("/v1/pauses", json={"kind": "server", "name": "http://x"}).status_code == 400


def test_pages_go_on_where_the_last_one_ended(ops: httpx.Client) -> None:
    """Each job once; what is no place is refused."""
    session = f"many-{uuid.uuid4()}"
    first = chat_task.delay(AGENT, session, "x", model="endless")
    rest = [chat_task.delay(AGENT, session, "x").id for _ in range(30)]
    its_id = {"job_id": first.id}
    wait_until(
        lambda: ops.get("/v1/console/job", params=its_id).json()["state"] == "running",
        timeout_s=WAIT_S,
        what="the first one",
    )
    seen = list[str]()
    place: str | None = ""
    while place is not None:
        page = ops.get("/v1/console", params={"jobs": place}).json()["waiting"]
        assert len(page["data"]) <= 10
        seen += [one["job_id"] for one in page["data"]]
        place = page["next"]
    # Those of one millisecond come in any order.
    assert sorted(one for one in seen if one in set(rest)) == sorted(rest)
    for wrong in ({"jobs": "x"}, {"letters": "1", "slow": True}):
        assert ops.get("/v1/console", params=wrong).status_code == 400
    act(ops, "erase", agent_id=AGENT, session_id=session)
    memory = get_redis_memory()
    assert memory.get_conversation_history(AGENT, session) == []
