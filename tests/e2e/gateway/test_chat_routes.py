"""What the page /chat asks besides the API: a conversation as it is, rendering, a file of it."""

import uuid
from collections.abc import Iterator, Mapping

import httpx
import pytest

from memory import get_redis_memory
from memory.records import api_keys
from memory.records.api_keys import USUAL, ApiKey, Scope
from tests.e2e.gateway.conftest import AGENT
from tests.support.waiting import wait_until

CHAT = ("/chat/sessions", "/chat/session", "/chat/export")


@pytest.fixture
def session() -> str:
    """A session of the test's own."""
    return f"pages-{uuid.uuid4()}"


def ask(http: httpx.Client, session: str, text: str, **more: object) -> dict[str, object]:
    """Send a message."""
    body = {"model": AGENT, "input": text, "conversation": session, **more}
    answer = http.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def test_a_conversation_is_shown_as_it_is(http: httpx.Client, session: str) -> None:
    """What is over with its receipt, what waits with its question; 304 while nothing is new; and
    it is in the list, under its first question."""
    where = {"agent": AGENT, "id": session}
    empty = http.get("/chat/session", params=where)
    assert (empty.status_code, empty.json()["turns"]) == (200, [])
    first = ask(http, session, "What is WAPP?")
    slow = {"background": True, "model": AGENT, "instructions": "slowly"}
    seen = http.get("/chat/session", params=where)
    tag = seen.headers["ETag"]
    assert tag != empty.headers["ETag"]
    (turn,) = seen.json()["turns"]
    assert (turn["id"], turn["state"], turn["question"]) == (first["id"], "done", "What is WAPP?")
    assert "What is WAPP?" in turn["answer"]
    assert turn["facts"]["receipt"]["messages_sent"] == 1
    again = http.get("/chat/session", params=where, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    second = ask(http, session, "And ECOWAPP?", **slow)
    changed = http.get("/chat/session", params=where, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert [one["id"] for one in changed.json()["turns"]] == [first["id"], second["id"]]
    listed = http.get("/chat/sessions", params={"agent": AGENT}).json()["data"]
    assert {"id": session, "title": "What is WAPP?"} in listed
    wait_until(
        lambda: all(
            one["state"] == "done"
            for one in http.get("/chat/session", params=where).json()["turns"]
        ),
        timeout_s=30,
        what="the answers",
    )


def test_a_conversation_is_had_as_a_file(http: httpx.Client, session: str) -> None:
    """To be saved and not shown, under a name that is none of a path; kept by no cache."""
    ask(http, session, "What is WAPP?")
    for form, kind in (("markdown", "text/markdown"), ("json", "application/json")):
        where = {"agent": AGENT, "id": session, "format": form}
        answer = http.get("/chat/export", params=where)
        assert "What is WAPP?" in answer.text
        assert answer.headers["Content-Type"].startswith(kind)
        assert answer.headers["Content-Disposition"].startswith(f'attachment; filename="{session}')
        assert answer.headers["Cache-Control"] == "no-store"


def test_texts_are_rendered(http: httpx.Client) -> None:
    """Several at once, in their order; too many are refused, unquoted."""
    answer = http.post("/chat/render", json={"texts": ["**a**", "<b>"]})
    assert answer.json() == {"html": ["<p><strong>a</strong></p>\n", "<p>&lt;b&gt;</p>\n"]}
    refused = http.post("/chat/render", json={"texts": ["wondrous"] * 51})
    assert (refused.status_code, "wondrous" in refused.text) == (400, False)


@pytest.mark.parametrize(
    "given", [{"id": "s"}, {"agent": AGENT, "id": "a" * 401}, {"agent": AGENT}]
)
def test_ids_that_are_none_are_refused(http: httpx.Client, given: Mapping[str, str]) -> None:
    """With 400."""
    assert http.get("/chat/session", params=given).status_code == 400


@pytest.fixture
def tokens() -> Iterator[dict[str, str]]:
    """Keys of two owners, and one that may not read; revoked again, for they close the door that
    the other tests go through."""
    memory = get_redis_memory()
    made = [
        ApiKey.new(name=owner, owner=owner, scopes=scopes, agents=None)
        for owner, scopes in (("ama", USUAL), ("kofi", USUAL), ("blind", (Scope.AGENTS,)))
    ]
    for key, _ in made:
        memory.connection.run(api_keys.save(memory.keyspace, key))
    yield {key.owner: token for key, token in made}
    for key, _ in made:
        memory.connection.run(api_keys.revoke(memory.keyspace, key.key_id))
    memory.connection.run(api_keys.reopen(memory.keyspace))


def test_conversations_are_those_of_one_owner(
    gateway: str, tokens: dict[str, str], session: str
) -> None:
    """Another's are as if there were none; without a key, or the scope, there is nothing."""
    memory = get_redis_memory()
    said = {"role": "user", "content": "a wondrous word"}
    memory.append_to_history(AGENT, f"ama~{session}", said, ttl=600)
    params = {"agent": AGENT, "id": session}
    with httpx.Client(base_url=gateway, trust_env=False) as http:
        for path in CHAT:
            answers = {}
            for owner, token in tokens.items():
                bearer = {"Authorization": f"Bearer {token}"}
                answers[owner] = http.get(path, params=params, headers=bearer)
            assert "wondrous" in answers["ama"].text
            assert (answers["kofi"].status_code, "wondrous" in answers["kofi"].text) == (200, False)
            assert answers["blind"].status_code == 403
            assert http.get(path, params=params).status_code == 401
        assert http.post("/chat/render", json={"texts": ["a"]}).status_code == 401
        # The page itself says nothing of anybody.
        assert http.get("/chat").status_code == 200
