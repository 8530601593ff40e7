"""What careless and hostile clients do: repeats, nulls, odd headers, answers nobody reads."""

import json
import uuid

import httpx
import pytest

from gateway.responses.request import MAX_ID_CHARS
from tests.e2e.gateway.conftest import AGENT

HELLO = {"model": AGENT, "input": "Hello"}
SLOW = "slow-tokens:20x50ms"


@pytest.fixture
def key() -> dict[str, str]:
    """The header with a new idempotency key."""
    return {"Idempotency-Key": uuid.uuid4().hex}


def test_going_on_from_a_response_may_be_sent_again(
    http: httpx.Client, key: dict[str, str]
) -> None:
    """It is the same response, though by now its own turn stands behind the one it follows."""
    first = http.post("/v1/responses", json=HELLO).json()["id"]
    follow = {**HELLO, "previous_response_id": first}
    answers = [http.post("/v1/responses", json=follow, headers=key) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200], answers[1].text
    assert answers[0].json()["id"] == answers[1].json()["id"]
    other = http.post("/v1/responses", json={**follow, "input": "Other"}, headers=key)
    assert other.status_code == 409


@pytest.mark.parametrize("more", [{}, {"store": False}])
def test_who_hangs_up_with_a_key_may_come_back(
    http: httpx.Client, key: dict[str, str], more: dict[str, bool]
) -> None:
    """A lost connection is what keys are for: the answer goes on, and is there the next time."""
    asked = {"model": SLOW, "input": "Hello", **more}
    with http.stream("POST", "/v1/responses", json={**asked, "stream": True}, headers=key) as begun:
        next(begun.iter_lines())
    again = http.post("/v1/responses", json=asked, headers=key).json()
    assert again["status"] == "completed"


def test_a_completion_that_is_not_kept_cannot_be_had_twice(
    http: httpx.Client, key: dict[str, str]
) -> None:
    """That is said as the client's error: OpenAI's clients send again after a 500."""
    asked = {"model": AGENT, "messages": [{"role": "user", "content": "Hello"}]}
    assert http.post("/v1/chat/completions", json=asked, headers=key).status_code == 200
    again = http.post("/v1/chat/completions", json=asked, headers=key)
    assert again.status_code == 409
    assert again.json()["error"]["code"] == "erased"


def test_null_is_as_good_as_nothing(http: httpx.Client) -> None:
    """OpenAI's clients send either for a field that is left out."""
    names = ("store", "stream", "background", "griot", "metadata", "tools", "max_tool_calls")
    nulls: dict[str, object] = dict.fromkeys(names)
    assert http.post("/v1/responses", json={**HELLO, **nulls}).status_code == 200
    asked = {"model": AGENT, "messages": [{"role": "user", "content": "Hello"}], "stop": None,
             "stream": None, "stream_options": {"include_usage": None}}  # fmt: skip
    assert http.post("/v1/chat/completions", json=asked).status_code == 200


@pytest.mark.parametrize("session", ["", "x" * (MAX_ID_CHARS + 1)])
def test_a_session_of_no_possible_id_is_the_clients_error(http: httpx.Client, session: str) -> None:
    """And named as such."""
    asked = {"model": AGENT, "messages": [{"role": "user", "content": "Hello"}],
             "metadata": {"session_id": session}}  # fmt: skip
    answer = http.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == "metadata.session_id"


def test_an_origin_that_is_no_address_is_foreign(http: httpx.Client) -> None:
    """403, as for any other page's."""
    answer = http.post("/v1/responses", json=HELLO, headers={"Origin": "http://["})
    assert answer.status_code == 403, answer.text


def test_a_key_that_nobody_has_does_not_open_an_open_gateway(http: httpx.Client) -> None:
    """Or the last key would open everything from the moment it is revoked."""
    unknown = {"Authorization": "Bearer griot_000000000000_" + "x" * 43}
    assert http.get("/v1/models", headers=unknown).status_code == 401
    assert http.get("/v1/models", headers={"Authorization": "Bearer none"}).status_code == 200


def test_a_developer_is_the_system_on_a_session_too(http: httpx.Client) -> None:
    """In text as in parts."""
    parts = [{"type": "text", "text": "Be brief."}]
    asked = {"model": AGENT, "metadata": {"session_id": uuid.uuid4().hex},
             "messages": [{"role": "developer", "content": parts},
                          {"role": "user", "content": "Hello"}]}  # fmt: skip
    answer = http.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 200, answer.text
    kept = http.get(f"/v1/responses/{answer.json()['id']}").json()
    assert kept["instructions"] == "Be brief.", json.dumps(kept)
