"""OpenAI's own client has messages answered through the gateway."""

import openai

from tests.e2e.gateway.conftest import AGENT


def test_a_response_is_created_and_retrieved(client: openai.OpenAI) -> None:
    """The text is the agent's, and the response is found again by its id."""
    made = client.responses.create(model=AGENT, input="What is WAPP?")
    assert made.status == "completed"
    assert "What is WAPP?" in made.output_text
    assert made.usage is not None
    assert made.usage.total_tokens > 0
    again = client.responses.retrieve(made.id)
    assert again.to_dict() == made.to_dict()


def test_a_stream_is_accumulated_by_the_client(client: openai.OpenAI) -> None:
    """The client's own accumulator ends with the response, and numbers have no gap."""
    with client.responses.stream(model=AGENT, input="Hello") as stream:
        events = list(stream)
        final = stream.get_final_response()
    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == final.output_text
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert client.responses.retrieve(final.id).output_text == final.output_text
