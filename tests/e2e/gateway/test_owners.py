"""Every route of the application, asked for what another owner has: it cannot be told from what
nobody has. A new route fails here until it is in the table."""

import re
import uuid
from collections.abc import Mapping

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from gateway.app import create_app
from gateway.settings import GatewaySettings
from memory import get_redis_memory
from memory.records import api_keys
from memory.records.api_keys import ApiKey, Scope
from tests.e2e.gateway.conftest import AGENT

HELLO = {"model": AGENT, "input": "Hello"}
Ask = tuple[str, str, object]
"""Method, path and body."""

# Of each route what is asked of it; {response} and {conversation} are what another owner has.
THEIRS: Mapping[str, tuple[Ask, ...]] = {
    "GET /v1/responses/{response_id}": (
        ("GET", "/v1/responses/{response}", None),
        ("GET", "/v1/responses/{response}?stream=true&starting_after=1", None),
    ),
    "POST /v1/responses/{response_id}/cancel": (("POST", "/v1/responses/{response}/cancel", None),),
    "DELETE /v1/responses/{response_id}": (("DELETE", "/v1/responses/{response}", None),),
    "GET /v1/responses/{response_id}/input_items": (
        ("GET", "/v1/responses/{response}/input_items", None),
    ),
    "POST /v1/responses": (
        ("POST", "/v1/responses", {**HELLO, "previous_response_id": "{response}"}),
    ),
    "GET /v1/conversations/{conversation}": (
        ("GET", "/v1/conversations/{conversation}", None),
        ("GET", "/v1/conversations/ama~{conversation}", None),
    ),
    "POST /v1/conversations/{conversation}": (
        ("POST", "/v1/conversations/{conversation}", {"metadata": {}}),
    ),
    "DELETE /v1/conversations/{conversation}": (
        ("DELETE", "/v1/conversations/{conversation}", None),
    ),
    "GET /v1/conversations/{conversation}/items": (
        ("GET", "/v1/conversations/{conversation}/items", None),
    ),
    "POST /v1/conversations/{conversation}/items": (
        ("POST", "/v1/conversations/{conversation}/items",
         {"items": [{"role": "user", "content": "x"}]}),
    ),
    "GET /v1/conversations/{conversation}/items/{item_id}": (
        ("GET", "/v1/conversations/{conversation}/items/msg_{response}", None),
    ),
    "DELETE /v1/conversations/{conversation}/items/{item_id}": (
        ("DELETE", "/v1/conversations/{conversation}/items/msg_{response}", None),
    ),
    "GET /v1/queue": (("GET", "/v1/queue?response_id={response}", None),),
    # The page begins a conversation by looking at it: one that nobody has is empty.
    "GET /chat/session": (
        ("GET", f"/chat/session?agent={AGENT}&id={{conversation}}", None),
    ),
    "GET /chat/export": (
        ("GET", f"/chat/export?agent={AGENT}&id={{conversation}}", None),
    ),
}  # fmt: skip

# What names nothing of anybody, or what only operators may ask, whose scope spans all owners.
NOBODYS = {
    "GET /healthz", "GET /readyz", "GET /v1/models", "GET /v1/models/{name:path}",
    "GET /v1/agents", "POST /v1/conversations", "POST /v1/chat/completions",
    "POST /v1/embeddings",
    "GET /chat", "POST /chat/render", "GET /console", "GET /pages/{path:path}",
}  # fmt: skip
LISTS = {"GET /v1/sessions", "GET /chat/sessions"}
OPERATORS = {
    "GET /v1/dead_letters", "POST /v1/dead_letters/{job_id}/requeue",
    "DELETE /v1/dead_letters/{job_id}", "GET /v1/jobs", "GET /v1/usage",
    "GET /v1/console", "GET /v1/console/job", "POST /v1/console/cancel",
    "POST /v1/console/requeue", "POST /v1/console/drop", "POST /v1/console/erase",
    "POST /v1/console/read", "GET /v1/pauses", "POST /v1/pauses", "DELETE /v1/pauses",
}  # fmt: skip


def bearer(name: str, *scopes: Scope) -> dict[str, str]:
    """The header of a new key, whose owner has its name."""
    made, token = ApiKey.new(name=name, owner=name, scopes=scopes, agents=None)
    memory = get_redis_memory()
    memory.connection.run(api_keys.save(memory.keyspace, made))
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def ama(gateway: str) -> dict[str, str]:
    """The key of whoever has something."""
    assert gateway
    return bearer("ama", *Scope)


@pytest.fixture(scope="module")
def kofi(gateway: str) -> dict[str, str]:
    """The key of somebody else, who may do all with what is their own."""
    assert gateway
    return bearer("kofi", Scope.AGENTS, Scope.READ, Scope.WRITE, Scope.ERASE)


@pytest.fixture(scope="module")
def known(gateway: str, ama: dict[str, str]) -> dict[str, str]:
    """What the first owner has: a response in a conversation."""
    conversation = f"web-{uuid.uuid4()}"
    with httpx.Client(base_url=gateway, trust_env=False, timeout=30) as client:
        made = client.post(
            "/v1/responses", json={**HELLO, "conversation": conversation}, headers=ama
        )
    assert made.status_code == 200, made.text
    return {"response": made.json()["id"], "conversation": conversation}


def test_each_route_is_in_the_table() -> None:
    """Whoever adds one says what another owner's key is told there."""
    app = create_app(GatewaySettings())
    routes = {
        f"{method} {found.path}"
        for found in iter_route_contexts(app.routes)
        if isinstance(found.original_route, APIRoute)
        for method in found.methods or ()
    }
    assert routes == {*THEIRS, *NOBODYS, *LISTS, *OPERATORS}


@pytest.mark.parametrize("ask", [one for asks in THEIRS.values() for one in asks])
def test_what_is_another_owners_is_as_what_nobody_has(
    http: httpx.Client, known: dict[str, str], kofi: dict[str, str], ask: Ask
) -> None:
    """The same status, and the same bytes but for the id that was asked for."""
    nobodys = {"response": f"resp_{uuid.uuid4().hex}", "conversation": f"web-{uuid.uuid4()}"}
    theirs = _asked(http, ask, known, kofi)
    nones = _asked(http, ask, nobodys, kofi)
    expected = 200 if ask[1].startswith("/chat/") else 404
    assert theirs.status_code == nones.status_code == expected, theirs.text
    assert _without(theirs, known) == _without(nones, nobodys)
    assert theirs.headers.keys() == nones.headers.keys()


def test_lists_and_keys_are_the_owners_own(
    http: httpx.Client, known: dict[str, str], ama: dict[str, str], kofi: dict[str, str]
) -> None:
    """An idempotency key of another owner is a new one, a list has nothing of others, and a queue
    no number that others' jobs would change."""
    again = {"Idempotency-Key": uuid.uuid4().hex}
    first = http.post("/v1/responses", json=HELLO, headers={**ama, **again})
    other = {**HELLO, "input": "Other"}
    second = http.post("/v1/responses", json=other, headers={**kofi, **again})
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["id"] != second.json()["id"]
    for path in (route.partition(" ")[2] for route in LISTS):
        listed = http.get(path, params={"agent": AGENT}, headers=kofi)
        assert listed.status_code == 200
        assert known["conversation"] not in listed.text
        assert "ama" not in listed.text
    assert http.get("/v1/queue", headers=kofi).json() == {"object": "queue"}
    for route in OPERATORS:
        method, _, path = route.partition(" ")
        assert http.request(method, path, headers=kofi).status_code == 403


def _asked(
    http: httpx.Client, ask: Ask, ids: Mapping[str, str], headers: dict[str, str]
) -> httpx.Response:
    method, path, body = ask
    filled = None if body is None else _filled(body, ids)
    return http.request(method, path.format(**ids), json=filled, headers=headers)


def _filled(body: object, ids: Mapping[str, str]) -> object:
    if not isinstance(body, dict):
        return body
    return {name: one.format(**ids) if isinstance(one, str) else one for name, one in body.items()}


def _without(answer: httpx.Response, ids: Mapping[str, str]) -> str:
    return re.sub("|".join(map(re.escape, ids.values())), "ID", answer.text)
