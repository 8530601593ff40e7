"""Functions that the client runs, with OpenAI's own client."""

import json
import uuid
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseFunctionToolCall
from pydantic import BaseModel

from memory import get_redis_memory
from sandbox.ollama import OllamaStandIn
from tests.e2e.gateway.conftest import AGENT

SCHEMA = {
    "type": "object",
    "properties": {"country": {"type": "string"}},
    "required": ["country"],
    "additionalProperties": False,
}
# As JSON has them: the client takes dicts, its types do not say so of these.
LOOK_UP: Any = {"type": "function", "name": "look_up", "parameters": SCHEMA, "strict": True}
IN_CHAT: Any = {"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}
MODEL = "tools"


class Place(BaseModel):
    """What the function of the official helper takes."""

    country: str


def calls_of(response: Response) -> list[ResponseFunctionToolCall]:
    """The calls with which a response has ended."""
    return [item for item in response.output if item.type == "function_call"]


def results_of(response: Response) -> Any:
    """A result for each call of a response."""
    return [
        {"type": "function_call_output", "call_id": call.call_id, "output": "4975 MW"}
        for call in calls_of(response)
    ]


def roles(agent: str, session: str) -> list[object]:
    """Who has said something in a session, in this order."""
    return [one["role"] for one in get_redis_memory().get_conversation_history(agent, session)]


def test_a_call_ends_the_turn_and_its_result_begins_the_next(
    client: openai.OpenAI, ollama: OllamaStandIn
) -> None:
    """The model is shown question, call and result; the history has each of them once."""
    first = client.responses.create(model=MODEL, input="Ghana", tools=[LOOK_UP])
    (call,) = calls_of(first)
    assert (first.status, first.output_text) == ("completed", "")
    assert (call.name, json.loads(call.arguments)) == ("look_up", {"country": "Ghana"})
    assert first.tools[0].to_dict() == LOOK_UP
    assert client.responses.retrieve(first.id).to_dict() == first.to_dict()
    # Nothing of the history is to be shown, and yet the turn itself is.
    second = client.responses.create(
        model=MODEL, input=results_of(first), previous_response_id=first.id, tools=[LOOK_UP],
        extra_body={"griot": {"max_history": 0}},
    )  # fmt: skip
    assert (calls_of(second), second.status) == ([], "completed")
    assert second.output_text
    assert roles("default", first.id) == ["user", "assistant", "tool", "assistant"]
    shown = [one["role"] for one in ollama.calls[-1].messages if one["role"] != "system"]
    assert shown == ["user", "assistant", "tool"]
    asked = [item.type for item in client.responses.input_items.list(second.id).data]
    assert asked == ["function_call_output"]


async def test_a_stream_tells_a_call(aclient: openai.AsyncOpenAI) -> None:
    """With the events that the client's accumulators put together, numbered without a gap."""
    helped: Any = openai.pydantic_function_tool(Place)
    async with aclient.responses.stream(model=MODEL, input="Ghana", tools=[helped]) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    names = [event.type for event in events]
    assert names[-5:] == [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    (call,) = calls_of(final)
    assert call.parsed_arguments == Place(country="Ghana")  # type: ignore[attr-defined]  # the helper's own type
    again = await aclient.responses.retrieve(final.id, stream=True, starting_after=2)
    async with again as stream_again:
        assert [event.type async for event in stream_again] == names[3:]


def test_calls_lie_in_the_conversation(client: openai.OpenAI) -> None:
    """As items of it, under ids that stay; a result can be said with a message, and each call has
    one."""
    made = client.conversations.create()
    first = client.responses.create(
        model=MODEL, input="Ghana", tools=[LOOK_UP], conversation=made.id
    )
    said: Any = {"role": "user", "content": "And now?"}
    told = [*results_of(first), said]
    second = client.responses.create(
        model=MODEL, input=told, conversation=made.id, tool_choice="none"
    )
    assert second.output_text
    items = client.conversations.items.list(made.id, order="asc").data
    kinds = ["message", "function_call", "function_call_output", "message", "message"]
    assert [item.type for item in items] == kinds
    assert items[1].to_dict() == calls_of(first)[0].to_dict()
    with pytest.raises(openai.BadRequestError, match="has its result already"):
        client.responses.create(model=MODEL, input=results_of(first), conversation=made.id)
    with pytest.raises(openai.BadRequestError, match="No function call"):
        client.responses.create(model=MODEL, input=results_of(first))
    client.conversations.items.delete(str(items[1].id), conversation_id=made.id)
    left = client.conversations.items.list(made.id, order="asc").data
    assert [item.type for item in left] == [kinds[0], *kinds[2:]]


def test_a_result_that_is_sent_again_is_the_same_response(client: openai.OpenAI) -> None:
    """With an idempotency key: its results are not taken for another's."""
    first = client.responses.create(model=MODEL, input="Ghana", tools=[LOOK_UP])
    header = {"Idempotency-Key": uuid.uuid4().hex}
    asked: dict[str, Any] = {"input": results_of(first), "previous_response_id": first.id}
    done = client.responses.create(model=MODEL, **asked, extra_headers=header)
    again = client.responses.create(model=MODEL, **asked, extra_headers=header)
    assert again.to_dict() == done.to_dict()
    assert roles("default", first.id) == ["user", "assistant", "tool", "assistant"]


def test_the_agents_own_tools_are_run_before(client: openai.OpenAI) -> None:
    """In the same answer: they show as calls of a server, and the turn ends with the client's."""
    own: Any = {"type": "mcp", "server_label": "griot", "allowed_tools": ["capacity_of"]}
    made = client.conversations.create().id
    first = client.responses.create(
        model="agent:mixed", input="Ghana", tools=[own, LOOK_UP], conversation=made
    )
    assert [item.type for item in first.output] == ["mcp_call", "function_call"]
    second = client.responses.create(
        model="agent:mixed", input=results_of(first), conversation=made
    )
    assert second.output_text
    assert roles("mixed", made) == [
        "user", "assistant", "tool", "assistant", "tool", "assistant"
    ]  # fmt: skip
    kinds = [item.type for item in client.conversations.items.list(made, order="asc").data]
    assert kinds == ["message", "function_call", "function_call_output", "message"]


def test_one_call_at_once_where_that_is_asked_for(client: openai.OpenAI) -> None:
    """Of several calls in an answer the first counts."""
    many = client.responses.create(model="tools:calls2", input="Ghana", tools=[LOOK_UP])
    one = client.responses.create(
        model="tools:calls2", input="Ghana", tools=[LOOK_UP], parallel_tool_calls=False
    )
    assert (len(calls_of(many)), many.parallel_tool_calls) == (2, True)
    assert (len(calls_of(one)), one.parallel_tool_calls) == (1, False)


def test_strict_arguments_fit_or_do_not_come(client: openai.OpenAI) -> None:
    """The model is told what does not, and answers without the function once it has tried
    enough."""
    picky: Any = {**LOOK_UP, "parameters": {
        **SCHEMA, "properties": {"country": {"type": "string", "pattern": "^[A-Z]{2}$"}},
    }}  # fmt: skip
    strict = client.responses.create(model="tools:rounds9", input="Ghana", tools=[picky])
    assert calls_of(strict) == []
    loose = client.responses.create(
        model="tools:rounds9", input="Ghana", tools=[{**picky, "strict": False}]
    )
    assert len(calls_of(loose)) == 1


def test_chat_completions_call_functions(client: openai.OpenAI) -> None:
    """Stateless: the call and its result come in the messages."""
    asked: Any = [{"role": "user", "content": "Ghana"}]
    first = client.chat.completions.create(model=MODEL, messages=asked, tools=[IN_CHAT]).choices[0]
    assert first.finish_reason == "tool_calls"
    assert first.message.content is None
    (call,) = first.message.tool_calls or ()
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "4975 MW"}
    done = client.chat.completions.create(
        model=MODEL, messages=[*asked, first.message, result], tools=[IN_CHAT]
    )
    assert done.choices[0].finish_reason == "stop"
    assert done.choices[0].message.content


async def test_chunks_have_the_calls(aclient: openai.AsyncOpenAI) -> None:
    """And the client's accumulator puts them together; on a session only what is new is sent."""
    session = uuid.uuid4().hex
    asked: Any = [{"role": "user", "content": "Ghana"}]
    rest: dict[str, Any] = {"model": MODEL, "tools": [IN_CHAT], "metadata": {"session_id": session}}
    async with aclient.chat.completions.stream(messages=asked, **rest) as stream:
        chunks = [event.chunk async for event in stream if event.type == "chunk"]
        first = (await stream.get_final_completion()).choices[0]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    (call,) = first.message.tool_calls or ()
    assert json.loads(call.function.arguments) == {"country": "Ghana"}
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "4975 MW"}
    message: Any = first.message.to_dict(exclude_unset=True)
    done = await aclient.chat.completions.create(messages=[*asked, message, result], **rest)
    assert done.choices[0].message.content
    assert roles("default", session) == ["user", "assistant", "tool", "assistant"]


HUGE = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(2000)}}
REFUSED: dict[str, dict[str, Any]] = {
    "a bad name": {"tools": [{**LOOK_UP, "name": "look up"}]},
    "no name": {"tools": [{"type": "function"}]},
    "two of one name": {"tools": [LOOK_UP, LOOK_UP]},
    "a huge schema": {"tools": [{**LOOK_UP, "parameters": HUGE}]},
    "no schema": {"tools": [{**LOOK_UP, "parameters": {"type": "thing"}}]},
    "a schema of a text": {"tools": [{**LOOK_UP, "parameters": {"type": "string"}}]},
    "a recursive schema": {
        "tools": [{**LOOK_UP, "parameters": {"properties": {"a": {"$ref": "#"}}}}]
    },
    "too many": {"tools": [{**LOOK_UP, "name": f"f{n}"} for n in range(129)]},
    "OpenAI's own": {"tools": [{"type": "web_search"}]},
    "another server's": {"tools": [{"type": "mcp", "server_label": "mine", "server_url": "http://a"}]},
    "a call that must be": {"tools": [LOOK_UP], "tool_choice": "required"},
    "a form beside it": {"tools": [LOOK_UP], "text": {"format": {"type": "json_object"}}},
}  # fmt: skip


@pytest.mark.parametrize("asked", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_is_refused(client: openai.OpenAI, asked: dict[str, Any]) -> None:
    """With 400, before anything is sent."""
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model=AGENT, input="Hello", **asked)
