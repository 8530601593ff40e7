"""Who may reach the gateway, and what: keys, scopes, owners, and every refusal of a request."""

import socket
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence

import httpx
import pytest

from memory import get_redis_memory
from memory.records import api_keys
from memory.records.api_keys import USUAL, ApiKey, Scope
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.e2e.gateway.conftest import AGENT
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from tests.support.warm.python import run_python

BOUNDS = {
    "GATEWAY_MAX_BODY_BYTES": "4096",
    "GATEWAY_HEAD_SECONDS": "1",
    "GATEWAY_BODY_SECONDS": "1",
    "GATEWAY_CORS_ORIGINS": "https://app.example",
    # Behind a proxy it asks for keys on loopback too.
    "GATEWAY_PROXIES": "127.0.0.1",
}
HELLO = {"model": AGENT, "input": "Hello"}


def griot(stack: GriotStack, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A command of Griot's, ended."""
    return run_python(
        "-m", "worker.cli", *arguments, env={**stack.env, **settings}, cwd=stack.directory,
        timeout_s=scaled(60),
    )  # fmt: skip


def key(name: str, owner: str, *scopes: Scope, agents: Sequence[str] | None = None) -> str:
    """A new API key."""
    made, token = ApiKey.new(name=name, owner=owner, scopes=scopes or USUAL, agents=agents)
    memory = get_redis_memory()
    memory.connection.run(api_keys.save(memory.keyspace, made))
    return token


@pytest.fixture(scope="module")
def keys(valkey: ValkeyServer) -> Mapping[str, str]:
    """Keys of two owners, and two that may do little."""
    assert valkey
    return {
        "ama": key("ama", "ama", *USUAL, Scope.ERASE),
        "kofi": key("kofi", "kofi"),
        "reader": key("reader", "ama", Scope.READ),
        "narrow": key("narrow", "narrow", agents=["supervisor"]),
    }


@pytest.fixture(scope="module")
def guarded(stack: GriotStack, keys: Mapping[str, str]) -> tuple[ServerProcess, str]:
    """A gateway that asks for keys, and its address."""
    assert keys
    return stack.gateway(name="guarded", **BOUNDS)


@pytest.fixture
def door(guarded: tuple[ServerProcess, str]) -> Iterator[httpx.Client]:
    """A client without a key."""
    with httpx.Client(base_url=guarded[1], trust_env=False, timeout=30) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    """The header that a key is sent in."""
    return {"Authorization": f"Bearer {token}"}


def error(answer: httpx.Response, status: int) -> dict[str, str]:
    """The error of an answer with this status, in OpenAI's form."""
    assert answer.status_code == status, answer.text
    found: dict[str, str] = answer.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return found


def elsewhere(stack: GriotStack, db: int) -> Mapping[str, str]:
    """Settings for another database: not another prefix, whose keys no user may touch."""
    return {"REDIS_URL": f"{stack.env['REDIS_URL'].rpartition('/')[0]}/{db}"}


def test_no_address_but_loopback_is_open(stack: GriotStack) -> None:
    """Without keys it does not start, and says what to do; this module makes them later."""
    for settings in ({"GATEWAY_HOST": "192.0.2.1"}, {"GATEWAY_PROXIES": "10.0.0.1"}):
        ended = griot(stack, "serve", GATEWAY_PORT="0", **settings, **elsewhere(stack, 5))
        assert ended.returncode == 1
        assert "griot keys create" in ended.stderr


def test_whoever_opens_a_gateway_again_says_so(stack: GriotStack) -> None:
    """Revoking the last key opens nothing; `griot keys open` does, and once there is no key."""
    own = elsewhere(stack, 8)
    made = griot(stack, "keys", "create", "last", **own)
    assert made.returncode == 0, made.stderr
    assert griot(stack, "keys", "open", **own).returncode == 1, "there is a key"
    assert griot(stack, "keys", "revoke", made.stdout.split("_")[1], **own).returncode == 0
    assert griot(stack, "keys", "open", **own).returncode == 0
    strangers = griot(stack, "serve", GATEWAY_HOST="192.0.2.1", GATEWAY_PORT="0", **own)
    assert "there are no API keys" in strangers.stderr


def test_a_key_is_needed(door: httpx.Client, keys: Mapping[str, str]) -> None:
    """None, a wrong one, one of another form, and one in the address are all refused alike."""
    right = keys["ama"]
    wrong = (
        {}, bearer("none"), bearer(right[:-1]), bearer(right + "x"), {"Authorization": right},
        bearer("griot_000000000000_" + "x" * 43), {"Cookie": f"key={right}"},
    )  # fmt: skip
    refusals = {error(door.get("/v1/models", headers=one), 401)["message"] for one in wrong}
    refusals |= {error(door.get("/v1/models", params={"api_key": right}), 401)["message"]}
    assert len(refusals) == 1
    assert door.get("/v1/models", headers=bearer(right)).status_code == 200
    assert door.get("/healthz").status_code == 200
    assert door.get("/readyz").status_code == 200


def test_a_key_does_what_its_scopes_say(door: httpx.Client, keys: Mapping[str, str]) -> None:
    """And uses the agents that it names."""
    assert error(door.post("/v1/responses", json=HELLO, headers=bearer(keys["reader"])), 403)
    assert error(door.get("/v1/models", headers=bearer(keys["reader"])), 403)
    for path in ("/v1/dead_letters", "/v1/jobs", "/v1/usage"):
        assert error(door.get(path, headers=bearer(keys["ama"])), 403)
    assert error(door.delete("/v1/responses/x", headers=bearer(keys["kofi"])), 403)
    assert error(door.post("/v1/responses", json=HELLO, headers=bearer(keys["narrow"])), 403)
    names = door.get("/v1/models", headers=bearer(keys["narrow"])).json()["data"]
    assert [one["id"] for one in names] == ["supervisor"]


def test_an_operator_finds_the_jobs_of_all_owners_and_what_they_used(
    door: httpx.Client, keys: Mapping[str, str]
) -> None:
    """By the tag of a request; a key for other agents sees none of it."""
    tag = f"run-{uuid.uuid4()}"
    asked = {**HELLO, "griot": {"tags": [tag]}, "user": "esi"}
    made = door.post("/v1/responses", json=asked, headers=bearer(keys["ama"])).json()
    every = bearer(key("every", "every", Scope.OPERATE))
    other = bearer(key("other", "other", Scope.OPERATE, agents=["supervisor"]))
    path = f"/v1/jobs?tag={tag}&state=done"

    def found() -> list[dict[str, object]]:
        listed: list[dict[str, object]] = door.get(path, headers=every).json()["data"]
        return listed

    wait_until(lambda: found() != [], timeout_s=scaled(10), what="the job is found")
    assert [one["id"] for one in found()] == [made["id"]]
    assert found()[0]["tags"] == [tag]
    assert door.get(path, headers=other).json() == {"object": "list", "data": [], "next": None}
    by_agent = door.get("/v1/usage?by=agent", headers=every).json()["data"]
    assert [one["turns"] > 0 for one in by_agent if one["agent"] == AGENT] == [True]
    assert door.get("/v1/usage?by=agent", headers=other).json()["data"] == []
    assert error(door.get("/v1/usage?by=user", headers=other), 403)
    for wrong in ("cursor=x", "since=2026-11-26T00:00:00", "state=lost", "limit=0"):
        assert door.get(f"/v1/jobs?{wrong}", headers=every).status_code in (400, 422), wrong
    for day in ("0001-01-01", "9999-12-31"):
        assert door.get(f"/v1/usage?since={day}&until={day}", headers=every).status_code == 200


def test_nobody_sees_what_is_another_owners(door: httpx.Client, keys: Mapping[str, str]) -> None:
    """Not by any route; what is another's cannot be told from what nobody has."""
    ama, kofi = bearer(keys["ama"]), bearer(keys["kofi"])
    conversation = f"web-{uuid.uuid4()}"
    made = door.post("/v1/responses", json={**HELLO, "conversation": conversation}, headers=ama)
    assert made.status_code == 200, made.text
    response_id = made.json()["id"]
    ways = [
        ("GET", f"/v1/responses/{response_id}"),
        ("GET", f"/v1/responses/{response_id}?stream=true"),
        ("GET", f"/v1/responses/{response_id}/input_items"),
        ("POST", f"/v1/responses/{response_id}/cancel"),
        ("GET", f"/v1/queue?response_id={response_id}"),
        ("GET", f"/v1/conversations/{conversation}"),
        ("GET", f"/v1/conversations/{conversation}/items"),
        ("GET", f"/v1/conversations/ama~{conversation}"),
    ]
    for method, way in ways:
        theirs = error(door.request(method, way, headers=kofi), 404)["message"]
        nobodys = way.replace(response_id, "resp_none").replace(conversation, "conv_none")
        none = error(door.request(method, nobodys, headers=kofi), 404)["message"]
        named = theirs.replace(response_id, "resp_none").replace(conversation, "conv_none")
        assert named == none, way
    assert "pending" not in door.get("/v1/queue", headers=kofi).json(), "counts those of others"
    follow = {**HELLO, "previous_response_id": response_id}
    assert error(door.post("/v1/responses", json=follow, headers=kofi), 404)
    own = door.post("/v1/responses", json={**HELLO, "conversation": conversation}, headers=kofi)
    assert own.status_code == 200, "the same name is another conversation"
    items = door.get(f"/v1/conversations/{conversation}/items", headers=kofi).json()["data"]
    assert len(items) == 2
    sessions = door.get("/v1/sessions", params={"agent": AGENT}, headers=kofi).json()["data"]
    assert [one["id"] for one in sessions] == [conversation]
    assert door.get(f"/v1/responses/{response_id}", headers=bearer(keys["reader"])).is_success


def test_a_revoked_key_opens_nothing(door: httpx.Client, stack: GriotStack) -> None:
    """At once, and the list has no secret."""
    made = griot(stack, "keys", "create", "short")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    assert door.get("/v1/models", headers=bearer(token)).status_code == 200
    key_id = token.split("_")[1]
    listed = griot(stack, "keys", "list", "--json").stdout
    assert key_id in listed
    assert token.split("_", 2)[2] not in listed
    assert griot(stack, "keys", "revoke", key_id).returncode == 0
    assert error(door.get("/v1/models", headers=bearer(token)), 401)
    assert griot(stack, "keys", "revoke", key_id).returncode == 1
    refused = griot(stack, "keys", "open")
    assert refused.returncode == 1, "others have keys"
    audit = griot(stack, "audit", "--json").stdout
    assert f"revoked {key_id}" in audit


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"model": AGENT}, "input"),
        ({**HELLO, "unknown": 1}, "unknown"),
        ({**HELLO, "temperature": 7}, "temperature"),
        ({**HELLO, "top_p": 1.5}, "top_p"),
        ({**HELLO, "metadata": {"a": "b" * 513}}, "metadata.a"),
        ({**HELLO, "store": False, "background": True}, "store"),
        ({**HELLO, "text": {"format": {"type": "xml"}}}, "text.format"),
        ({**HELLO, "tools": [{"type": "web_search"}]}, "tools[0]"),
        ({**HELLO, "tools": ["no_such_tool"], "tool_choice": "required"}, "tool_choice"),
        ({**HELLO, "input": [{"role": "assistant", "content": "x"}]}, "input"),
        ({**HELLO, "conversation": "a", "previous_response_id": "b"}, None),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    door: httpx.Client, keys: Mapping[str, str], wrong: dict[str, object], param: str | None
) -> None:
    """With 400, OpenAI's type and the parameter; nothing of what was said is repeated."""
    refused = error(door.post("/v1/responses", json=wrong, headers=bearer(keys["ama"])), 400)
    assert refused["type"] == "invalid_request_error"
    assert refused["param"] == param
    assert "Hello" not in refused["message"]


ODD = (
    b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"model":NaN}', b'{"model":1e999,"input":"x"}',
    b'{"model":"energy","input":"\\ud800"}', b'{"model":"\\ud800","input":"x"}',
    b'{"model":"energy","input":"x","instructions":"\\ud800"}',
    b'{"model":"energy","input":"x","metadata":{"\\ud800":"x"}}',
    b'{"model":"energy","input":"x","conversation":"\\ud800"}',
    b'{"model":"energy","input":"x","previous_response_id":"\\ud800"}',
    b'{"model":"energy","input":"x","text":{"format":{"type":"json_schema","schema":{"a":NaN}}}}',
    b'{"model":"energy","input":[{"role":"user","content":[null]}]}',
    b'{"model":"energy","input":[{"role":"user","content":' + b"[" * 900 + b"]" * 900 + b"}]}",
    b'{"model":"energy","input":[]}', b'{"model":"energy","input":[{}]}',
    b'{"model":"energy","input":"x","reasoning":{"effort":[1]}}',
    b'{"model":"agent:","input":"x"}', b'{"model":"energy","input":"x","user":"\\ud800"}',
)  # fmt: skip


@pytest.mark.parametrize("body", ODD)
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions", "/v1/conversations"])
def test_odd_bodies_are_no_fault_of_the_server(
    door: httpx.Client, keys: Mapping[str, str], path: str, body: bytes
) -> None:
    """Each is a client's error, in OpenAI's form; only an empty one makes a conversation."""
    body = body if "chat" not in path else body.replace(b'"input":"x"', b'"messages":[{}]')
    headers = {**bearer(keys["ama"]), "Content-Type": "application/json"}
    answer = door.post(path, content=body, headers=headers)
    if path == "/v1/conversations" and body in (b"", b"null"):
        assert answer.status_code == 200
    else:
        assert 400 <= answer.status_code < 500, answer.text
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_busy_session_and_a_full_one_are_told_apart(
    door: httpx.Client, keys: Mapping[str, str]
) -> None:
    """409 with `on_busy: reject`; and a client may come back after a 429."""
    ama = bearer(keys["ama"])
    slow = {"model": "slow-tokens:200x50ms", "input": "1", "background": True,
            "conversation": f"busy-{uuid.uuid4()}"}  # fmt: skip
    first = door.post("/v1/responses", json=slow, headers=ama).json()
    reject = {**slow, "griot": {"on_busy": "reject"}}
    busy = door.post("/v1/responses", json=reject, headers=ama)
    assert error(busy, 409)["code"] == "session_busy"
    assert busy.json()["griot"] == {"accepted": "no"}
    door.post(f"/v1/responses/{first['id']}/cancel", headers=ama)


def test_bodies_are_json_small_and_of_our_own_pages(
    door: httpx.Client, keys: Mapping[str, str]
) -> None:
    """413, 415, 403; a page that the settings name may call."""
    ama = bearer(keys["ama"])
    large = {**HELLO, "input": "x" * 5000}
    assert error(door.post("/v1/responses", json=large, headers=ama), 413)
    plain = {**ama, "Content-Type": "text/plain"}
    assert error(door.post("/v1/responses", content=b"{}", headers=plain), 415)
    foreign = {**ama, "Origin": "https://evil.example"}
    assert error(door.post("/v1/responses", json=HELLO, headers=foreign), 403)
    known = {**ama, "Origin": "https://app.example"}
    allowed = door.post("/v1/responses", json=HELLO, headers=known)
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert door.options("/v1/responses", headers=asked).status_code == 400
    assert error(door.get("/v2/nothing", headers=ama), 404)
    assert error(door.put("/v1/responses", json={}, headers=ama), 405)


def test_a_request_has_an_id_that_the_log_has(
    door: httpx.Client, guarded: tuple[ServerProcess, str], keys: Mapping[str, str]
) -> None:
    """The client's own, unless it could break a line; the log has neither key nor words."""
    given = {**bearer(keys["ama"]), "X-Request-ID": "my-request-1"}
    answer = door.post("/v1/responses", json={**HELLO, "input": "canary"}, headers=given)
    assert answer.headers["x-request-id"] == "my-request-1"
    odd = door.get("/healthz", headers={"X-Request-ID": "a b\tc"})
    assert odd.headers["x-request-id"] != "a b\tc"
    log = guarded[0].log_text()
    line = next(line for line in log.splitlines() if "my-request-1" in line)
    assert "POST /v1/responses: 200" in line
    assert "'ama'" in line
    assert "canary" not in log
    assert keys["ama"].split("_", 2)[2] not in log


@pytest.mark.parametrize(
    "begin", [b"", b"GET /healthz HTTP/1.1\r\nHost: lo", b"POST /v1/responses HTTP/1.1\r\nHost: "
              b"localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"]
)  # fmt: skip
def test_a_slow_client_is_not_waited_for(guarded: tuple[ServerProcess, str], begin: bytes) -> None:
    """Neither for the head of a request nor for its body."""
    port = int(guarded[1].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=scaled(20)) as slow:
        slow.sendall(begin)
        heard = b""
        while more := slow.recv(4096):
            heard += more
    assert heard == b"" or b" 408 " in heard.splitlines()[0]


def test_only_so_many_connections_are_served(stack: GriotStack, keys: Mapping[str, str]) -> None:
    """One more gets 503."""
    assert keys
    _, address = stack.gateway(name="small", GATEWAY_MAX_CONNECTIONS="3")
    port = int(address.rpartition(":")[2])
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]

    def status() -> int:
        with httpx.Client(base_url=address, trust_env=False) as client:
            answer = client.get("/healthz")
        assert answer.headers["x-request-id"]
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) > 0
            assert error(answer, 503)["code"] == "too_many_connections"
        return answer.status_code

    wait_until(lambda: status() == 503, what="the bound is reached")
    for one in held:
        one.close()
    wait_until(lambda: status() == 200, what="there is room again")


def test_a_foreign_host_name_is_refused(stack: GriotStack, keys: Mapping[str, str]) -> None:
    """On loopback: no name that points here makes another site's page one of ours."""
    assert keys
    _, address = stack.gateway(name="local")
    with httpx.Client(base_url=address, trust_env=False) as client:
        asked = {"Host": "evil.example", "X-Request-ID": "mine"}
        refused = client.get("/v1/models", headers=asked)
    assert error(refused, 400)["code"] == "unknown_host"
    assert refused.headers["x-request-id"] == "mine"


def test_a_key_has_a_quota_of_its_own(
    door: httpx.Client, stack: GriotStack, keys: Mapping[str, str]
) -> None:
    """429 says when to come again; keys of other names go on."""
    assert keys
    made = griot(stack, "keys", "create", "frugal", "--jobs-per-minute", "2")
    frugal = bearer(made.stdout.strip())
    answers = [door.post("/v1/responses", json=HELLO, headers=frugal) for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert error(answers[2], 429)["code"] == "rate_limit_exceeded"
    assert 0 < int(answers[2].headers["retry-after"]) <= 60
    assert door.post("/v1/responses", json=HELLO, headers=bearer(keys["ama"])).is_success
    assert "2 jobs per minute" in griot(stack, "keys", "list", "--json").stdout


def test_what_is_no_request_is_told_so(guarded: tuple[ServerProcess, str]) -> None:
    """With an id and in OpenAI's form; a head without end is not read to it."""
    port = int(guarded[1].rpartition(":")[2])
    for begin in (b"HELLO\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 500_000):
        with socket.create_connection(("127.0.0.1", port), timeout=scaled(20)) as odd:
            odd.sendall(begin)
            heard = odd.recv(4096)
        assert heard.startswith(b"HTTP/1.1 400 ")
        assert b"x-request-id: " in heard.lower()


def test_many_pipelined_requests_are_answered(guarded: tuple[ServerProcess, str]) -> None:
    """Each of them, though they come in one piece and larger than what is read at once."""
    port = int(guarded[1].rpartition(":")[2])
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200 + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=scaled(20)) as one:
        one.sendall(600 * request)
        heard = b""
        while heard.count(b"HTTP/1.1 200 ") < 600:
            more = one.recv(65_536)
            assert more, heard.count(b"HTTP/1.1 200 ")
            heard += more
