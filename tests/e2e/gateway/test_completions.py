"""Chat completions, models and the rest of the API, with OpenAI's own client."""

import uuid

import httpx
import openai
import pytest

from memory import get_redis_memory
from tests.e2e.gateway.conftest import AGENT

SAID = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "1"},
    {"role": "user", "content": "And two?"},
]


def test_a_conversation_in_the_request_is_answered(client: openai.OpenAI) -> None:
    """Nothing of it is kept."""
    done = client.chat.completions.create(model=AGENT, messages=SAID)  # type: ignore[arg-type]  # dicts
    assert "And two?" in str(done.choices[0].message.content)
    assert done.choices[0].finish_reason == "stop"
    assert done.usage is not None
    assert done.usage.total_tokens > 0
    assert get_redis_memory().get_conversation_history(AGENT, done.id) == []


def test_a_stream_has_the_same_text(client: openai.OpenAI) -> None:
    """And the usage, where it is asked for."""
    stream = client.chat.completions.create(
        model="slow-tokens:20x5ms",
        messages=[{"role": "user", "content": "Hello"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert len(text.split()) >= 20
    assert [one.choices[0].finish_reason for one in chunks if one.choices][-1] == "stop"
    assert chunks[-1].usage is not None


async def test_a_session_remembers(aclient: openai.AsyncOpenAI) -> None:
    """With `metadata.session_id` only the last message is sent: the session has the others."""
    session = uuid.uuid4().hex
    for text in ("One", "Two"):
        await aclient.chat.completions.create(
            model=AGENT,
            messages=[{"role": "user", "content": "Old"}, {"role": "user", "content": text}],
            metadata={"session_id": session},
        )
    history = get_redis_memory().get_conversation_history(AGENT, session)
    assert [one["content"] for one in history if one["role"] == "user"] == ["One", "Two"]


@pytest.mark.parametrize(
    ("wrong", "metadata", "param"),
    [
        ([{"role": "king", "content": "Hi"}, SAID[3]], {}, "messages[0]"),
        ([*SAID, {"role": "user", "content": 7}], {}, "messages[4]"),
        ([*SAID, {"role": "user", "content": 7}], {"session_id": "s"}, "messages[4]"),
        ([{"role": "user", "content": ""}], {}, "messages"),
        ([{"role": "user", "content": ""}], {"session_id": "s"}, "messages"),
        (
            [SAID[1], {"role": "tool", "tool_call_id": "no such", "content": "x"}],
            {"session_id": "s"},
            "messages",
        ),
    ],
)
def test_an_error_names_a_field_of_the_request(
    http: httpx.Client,
    wrong: list[dict[str, object]],
    metadata: dict[str, str],
    param: str,
) -> None:
    """By its place there, also where a session takes the last message alone."""
    asked = {"model": AGENT, "messages": wrong, "metadata": metadata}
    refused = http.post("/v1/chat/completions", json=asked)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_models_are_agents_and_models(client: openai.OpenAI, http: httpx.Client) -> None:
    """Each is found by its name, and what is neither is 404."""
    names = [model.id for model in client.models.list()]
    assert AGENT in names
    assert "default" in names
    assert client.models.retrieve(AGENT).owned_by == "griot"
    agents = http.get("/v1/agents").json()["data"]
    assert AGENT in [agent["id"] for agent in agents]
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.create(model="No such model", input="Hello")
    assert missing.value.code == "model_not_found"


def test_sessions_and_the_queue_are_seen(client: openai.OpenAI, http: httpx.Client) -> None:
    """A session of an agent, and where a response stands."""
    made = client.responses.create(model=AGENT, input="Hello")
    sessions = http.get("/v1/sessions", params={"agent": AGENT}).json()["data"]
    assert made.id in [one["id"] for one in sessions]
    first = client.responses.create(model="slow-tokens:200x50ms", input="1", background=True,
                                    conversation=f"c-{made.id}")  # fmt: skip
    second = client.responses.create(model="slow-tokens:200x50ms", input="2", background=True,
                                     conversation=f"c-{made.id}")  # fmt: skip
    queue = http.get("/v1/queue", params={"response_id": second.id}).json()
    assert queue["pending"] >= 2
    assert queue["response"] == {"id": second.id, "state": "waiting", "position": 1}
    assert client.responses.cancel(second.id).status == "cancelled"
    client.responses.cancel(first.id)


def test_a_dead_letter_is_sent_again_or_dropped(client: openai.OpenAI, http: httpx.Client) -> None:
    """By operators; the response says why it has failed."""
    failed = [
        client.responses.create(model="overflow-400", input="Hello", temperature=0) for _ in "12"
    ]
    assert {one.status for one in failed} == {"failed"}
    assert failed[0].error is not None
    ids = {one["id"] for one in http.get("/v1/dead_letters").json()["data"]}
    assert {one.id for one in failed} <= ids
    sent = http.post(f"/v1/dead_letters/{failed[0].id}/requeue").json()
    assert client.responses.retrieve(sent["requeued_as"]).status is not None
    assert http.delete(f"/v1/dead_letters/{failed[1].id}").json()["deleted"] is True
    assert http.delete(f"/v1/dead_letters/{failed[1].id}").status_code == 400
