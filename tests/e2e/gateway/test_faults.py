"""Gateways and workers die in mid-stream, and the client ends with exactly what was committed."""

import httpx
import openai
import pytest

from memory import get_redis_memory
from sandbox.ports import free_port
from sandbox.stack import GriotStack
from tests.support.effort import effort
from tests.support.machine import scaled
from tests.support.waiting import wait_until

SLOW = f"slow-tokens:80x{scaled(25):.0f}ms"
LONG = "slow-tokens:200x25ms"
KILLS = effort(2, long=10)


def client_of(address: str) -> openai.OpenAI:
    """The official client of a gateway."""
    http = httpx.Client(trust_env=False)
    return openai.OpenAI(
        base_url=f"{address}/v1", api_key="none", max_retries=0, http_client=http, timeout=30
    )


def committed(response_id: str) -> str:
    """The reply in the history."""
    history = get_redis_memory().get_conversation_history("default", response_id)
    return str(history[-1]["content"])


class Reader:
    """Reads a stream through whatever happens: what it was told, by output item."""

    def __init__(self, response_id: str) -> None:
        self.response_id = response_id
        self.last = -1
        self.texts: dict[str, str] = {}
        self.final = ""
        self.numbers: list[int] = []

    def read(self, client: openai.OpenAI, *, at_most: int = 10_000) -> None:
        """Read on, `at_most` so many events."""
        more = {} if self.last < 0 else {"starting_after": self.last}
        with client.responses.retrieve(self.response_id, stream=True, **more) as stream:  # type: ignore[call-overload]  # as it has them
            for event in stream:
                self.numbers.append(event.sequence_number)
                self.last = event.sequence_number
                if event.type == "response.output_text.delta":
                    known = self.texts.get(event.item_id, "")
                    self.texts[event.item_id] = known + event.delta
                if event.type == "response.completed":
                    self.final = event.response.output_text
                at_most -= 1
                if not at_most:
                    return


@pytest.fixture(scope="module")
def two(stack: GriotStack) -> tuple[str, str]:
    """Two gateways."""
    return stack.gateway(name="first")[1], stack.gateway(name="second")[1]


def test_a_stream_goes_on_at_another_gateway(two: tuple[str, str]) -> None:
    """Each few events at the other one, in mid-answer: no event twice, none missing."""
    first, second = client_of(two[0]), client_of(two[1])
    made = first.responses.create(model=SLOW, input="Hello", background=True)
    reader = Reader(made.id)
    while not reader.final:
        reader.read(second, at_most=4)
        reader.read(first, at_most=4)
    assert reader.numbers == list(range(len(reader.numbers)))
    assert list(reader.texts.values()) == [reader.final]
    assert reader.final == committed(made.id)
    assert second.responses.cancel(made.id).status == "completed"


def test_any_request_goes_to_either(two: tuple[str, str]) -> None:
    """What one gateway has made, the other one knows at once."""
    first, second = client_of(two[0]), client_of(two[1])
    conversation = first.conversations.create(metadata={"of": "first"})
    assert second.conversations.retrieve(conversation.id).metadata == {"of": "first"}
    made = second.responses.create(
        model="energy", input="Hello", conversation=conversation.id, background=True
    )
    wait_until(lambda: first.responses.retrieve(made.id).status == "completed", what="it is over")
    after = first.responses.create(model="energy", input="More", previous_response_id=made.id)
    assert len(second.conversations.items.list(conversation.id).data) == 4
    assert second.responses.input_items.list(after.id).data
    second.responses.delete(after.id)
    with pytest.raises(openai.NotFoundError):
        first.responses.retrieve(after.id)
    first.conversations.delete(conversation.id)
    with pytest.raises(openai.NotFoundError):
        second.conversations.retrieve(conversation.id)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_gateway_that_is_killed_loses_nothing(stack: GriotStack) -> None:
    """In mid-stream, and started again: the client ends with the committed text."""
    port = free_port()
    process, address = stack.gateway(port, name="mortal")
    client = client_of(address)
    with client.responses.create(model=LONG, input="Hello", stream=True) as stream:
        first = next(iter(stream))
        assert first.type == "response.created"
        reader = Reader(first.response.id)
        for _ in range(KILLS):
            process.kill()
            process, _ = stack.gateway(port, name="mortal")
            reader.read(client, at_most=6)
    reader.read(client)
    assert list(reader.texts.values()) == [reader.final]
    assert reader.final == committed(reader.response_id)
    assert reader.numbers == list(range(len(reader.numbers)))


def test_a_worker_that_is_killed_begins_a_new_item(stack: GriotStack, two: tuple[str, str]) -> None:
    """The stream says that what came before is no part of the answer, and goes on."""
    client = client_of(two[0])
    worker = next(one for one in stack.processes if one.name == "worker")
    made = client.responses.create(model=SLOW, input="Hello", background=True)
    reader = Reader(made.id)
    reader.read(client, at_most=8)
    assert reader.texts
    worker.kill()
    stack.worker(name="heir")
    reader.read(client)
    assert len(reader.texts) == 2
    assert list(reader.texts.values())[-1] == reader.final == committed(made.id)
    with client.responses.stream(response_id=made.id) as stream:
        assert stream.get_final_response().output_text == reader.final


def test_a_gateway_that_is_told_to_stop_cancels_nothing(stack: GriotStack) -> None:
    """Its streams end, and the answers go on."""
    process, address = stack.gateway(name="leaving")
    client = client_of(address)
    with client.responses.create(model=SLOW, input="Hello", stream=True) as stream:
        first = next(iter(stream))
        assert first.type == "response.created"
        process.stop()
    response_id = first.response.id
    history = get_redis_memory()
    wait_until(
        lambda: history.get_conversation_history("default", response_id), what="it is answered"
    )
    last = history.get_conversation_history("default", response_id)[-1]
    assert last.get("cancelled") is None
