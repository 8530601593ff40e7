"""OpenAI's own client has messages answered through the gateway."""

import uuid

import httpx
import openai
import pytest
import redis
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel

from memory import get_redis_memory
from sandbox.valkey import ValkeyServer
from tasks import chat_task
from tests.e2e.gateway.conftest import AGENT
from tests.support.waiting import wait_until

PIXEL = "iVBORw0KGgo="
SLOW = "slow-tokens:200x50ms"


class Verdict(BaseModel):
    """What the structured replies hold."""

    text: str
    score: int


def text_of(events: list[ResponseStreamEvent]) -> str:
    """The text that a stream has told."""
    return "".join(one.delta for one in events if one.type == "response.output_text.delta")


def ended(client: openai.OpenAI, response_id: str) -> Response:
    """A response once it is over."""
    over = ("completed", "failed", "cancelled", "incomplete")
    wait_until(
        lambda: client.responses.retrieve(response_id).status in over, what="the response is over"
    )
    return client.responses.retrieve(response_id)


def test_a_response_is_created_and_retrieved(client: openai.OpenAI) -> None:
    """The text is the agent's, and the response is found again by its id."""
    made = client.responses.create(
        model=AGENT, input="What is WAPP?", instructions="Be brief.", metadata={"a": "b"}
    )
    assert made.status == "completed"
    assert "What is WAPP?" in made.output_text
    assert made.usage is not None
    assert made.usage.total_tokens > 0
    assert (made.metadata, made.instructions) == ({"a": "b"}, "Be brief.")
    again = client.responses.retrieve(made.id)
    assert again.to_dict() == made.to_dict()
    items = client.responses.input_items.list(made.id).data
    assert [item.content[0].text for item in items] == ["What is WAPP?"]  # type: ignore[union-attr]  # messages


async def test_a_stream_is_accumulated_on_an_event_loop(aclient: openai.AsyncOpenAI) -> None:
    """The client's own accumulator ends with the response, and numbers have no gap."""
    async with aclient.responses.stream(model=f"agent:{AGENT}", input="Hello") as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert text_of(events) == final.output_text  # type: ignore[arg-type]  # the accumulator's own events
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert (await aclient.responses.retrieve(final.id)).output_text == final.output_text


def test_a_stream_goes_on_from_each_of_its_events(client: openai.OpenAI) -> None:
    """Also after the end: the same events with the same numbers."""
    with client.responses.create(model="slow-tokens:200x3ms", input="Hello", stream=True) as stream:
        whole = [event.to_dict() for event in stream]
    assert len(whole) > 8, "a busy machine puts many tokens into one event"
    response_id = str(whole[0]["response"]["id"])  # type: ignore[index]  # an event has one
    for number in range(len(whole)):
        with client.responses.retrieve(response_id, stream=True, starting_after=number) as stream:
            assert [event.to_dict() for event in stream] == whole[number + 1 :]
    with client.responses.retrieve(response_id, stream=True) as stream:
        assert [event.to_dict() for event in stream] == whole


def test_what_runs_in_the_background_is_asked_for(client: openai.OpenAI) -> None:
    """It is queued at once, and completed when it is done."""
    made = client.responses.create(model=AGENT, input="Hello", background=True)
    assert (made.status, made.background) == ("queued", True)
    assert "Hello" in ended(client, made.id).output_text


def test_a_response_is_cancelled(client: openai.OpenAI) -> None:
    """While it runs; what it has said so far is kept, and it stays cancelled."""
    made = client.responses.create(model=SLOW, input="Hello", background=True)
    wait_until(lambda: client.responses.retrieve(made.id).status == "in_progress", what="it runs")
    assert client.responses.cancel(made.id).status == "cancelled"
    assert client.responses.retrieve(made.id).status == "cancelled"


def test_who_hangs_up_has_the_response_cancelled(http: httpx.Client, client: openai.OpenAI) -> None:
    """A stream that nobody reads any more costs no model; one in the background goes on."""
    asked = {"model": SLOW, "input": "Hello", "stream": True}
    with http.stream("POST", "/v1/responses", json=asked) as stream:
        first = next(line for line in stream.iter_lines() if line.startswith("data:"))
    response_id = first.split('"id":"')[1].split('"')[0]
    assert ended(client, response_id).status == "cancelled"
    with http.stream("POST", "/v1/responses", json={**asked, "background": True}) as stream:
        first = next(line for line in stream.iter_lines() if line.startswith("data:"))
    response_id = first.split('"id":"')[1].split('"')[0]
    wait_until(
        lambda: client.responses.retrieve(response_id).status == "in_progress", what="it runs"
    )
    client.responses.cancel(response_id)


def test_structured_output_is_parsed(client: openai.OpenAI) -> None:
    """By the client's own helper, from a schema of pydantic's."""
    parsed = client.responses.parse(model=AGENT, input="Judge it.", text_format=Verdict)
    assert isinstance(parsed.output_parsed, Verdict)


def test_an_image_is_shown_to_the_model(client: openai.OpenAI) -> None:
    """As a data: URL; it lies in the history, and comes back as an item."""
    content = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PIXEL}"},
    ]
    made = client.responses.create(
        model="vision",
        input=[{"role": "user", "content": content}],  # type: ignore[list-item]  # a dict as JSON has it
    )
    assert made.status == "completed"
    item = client.responses.input_items.list(made.id).data[0]
    assert item.content[1].image_url.endswith(PIXEL)  # type: ignore[union-attr]  # an image


def test_a_tool_of_the_agent_is_run_by_griot(client: openai.OpenAI) -> None:
    """It shows as a call of a server's tool, with its result; tools can be named, and switched
    off."""
    made = client.responses.create(model="agent:tooled", input="How much?", tools=["capacity_of"])  # type: ignore[list-item]  # by name
    assert [item.type for item in made.output] == ["mcp_call", "message"]
    call = made.output[0]
    assert call.type == "mcp_call"
    assert (call.name, call.server_label, call.error) == ("capacity_of", "griot", None)
    assert "4975" in str(call.output)
    plain = client.responses.create(model="agent:tooled", input="How much?", tool_choice="none")
    assert [item.type for item in plain.output] == ["message"]


def test_the_same_key_is_the_same_response(client: openai.OpenAI) -> None:
    """Sending again is safe, and another request with the key is refused."""
    header = {"Idempotency-Key": uuid.uuid4().hex}
    first = client.responses.create(model=AGENT, input="Hello", extra_headers=header)
    again = client.responses.create(model=AGENT, input="Hello", extra_headers=header)
    assert again.to_dict() == first.to_dict()
    with pytest.raises(openai.ConflictError):
        client.responses.create(model=AGENT, input="Other", extra_headers=header)


def test_a_response_goes_on_from_the_one_before(client: openai.OpenAI) -> None:
    """In the same session; from one that is not the last it branches off with what was before."""
    first = client.responses.create(model="default", input="One")
    second = client.responses.create(model="default", input="Two", previous_response_id=first.id)
    branch = client.responses.create(model="default", input="Three", previous_response_id=first.id)
    memory = get_redis_memory()

    def said(session: str) -> list[object]:
        history = memory.get_conversation_history("default", session)
        return [one["content"] for one in history if one["role"] == "user"]

    assert said(first.id) == ["One", "Two"]
    assert said(branch.id) == ["One", "Three"]
    assert second.previous_response_id == first.id
    with pytest.raises(openai.BadRequestError, match="belongs to the agent"):
        client.responses.create(model=AGENT, input="Four", previous_response_id=first.id)


def test_what_is_not_stored_is_gone(client: openai.OpenAI) -> None:
    """The session is erased after its answer."""
    made = client.responses.create(model=AGENT, input="A secret", store=False)
    assert made.status == "completed"
    assert get_redis_memory().get_conversation_history(AGENT, made.id) == []


def test_several_messages_are_one_turn(client: openai.OpenAI) -> None:
    """Those before the last are in the history, in their order."""
    made = client.responses.create(
        model=AGENT,
        input=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "One"},
            {"role": "assistant", "content": "1"},
            {"role": "user", "content": "Two"},
        ],
    )
    history = get_redis_memory().get_conversation_history(AGENT, made.id)
    assert [one["role"] for one in history] == ["system", "user", "assistant", "user", "assistant"]


def test_each_job_is_a_response(client: openai.OpenAI) -> None:
    """Also one that a Python service has sent."""
    sent = chat_task.delay(AGENT, f"py-{uuid.uuid4()}", "Hello")
    result = sent.get(timeout=20)
    found = client.responses.retrieve(sent.id)
    assert (found.status, found.output_text) == ("completed", result["response"])
    assert found.created_at > 0
    with client.responses.retrieve(sent.id, stream=True) as stream:
        assert text_of(list(stream)) == result["response"]


def test_a_response_is_deleted(client: openai.OpenAI) -> None:
    """It is not found any more; its turn stays."""
    made = client.responses.create(model=AGENT, input="Hello")
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    assert len(get_redis_memory().get_conversation_history(AGENT, made.id)) == 2


def test_what_a_response_was_before_its_events_went(
    client: openai.OpenAI, valkey: ValkeyServer
) -> None:
    """From what is kept: the whole text, and a stream from its beginning only."""
    made = client.responses.create(model=AGENT, input="Hello")
    memory = get_redis_memory()
    keys = memory.keyspace.session(AGENT, made.id)
    with redis.Redis.from_url(valkey.url()) as observer:
        observer.delete(keys.events)
    assert client.responses.retrieve(made.id).output_text == made.output_text
    with client.responses.retrieve(made.id, stream=True) as stream:
        assert text_of(list(stream)) == made.output_text
    with pytest.raises(openai.BadRequestError, match="no longer kept"):
        client.responses.retrieve(made.id, stream=True, starting_after=3)
