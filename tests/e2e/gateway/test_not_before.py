"""A response that is to be begun later, or by a time: through OpenAI's own client."""

import time
import uuid
from datetime import UTC, datetime, timedelta

import openai
import pytest
from openai.types.responses import Response

from tests.e2e.gateway.conftest import AGENT
from tests.support.machine import scaled
from tests.support.waiting import wait_until


def later(client: openai.OpenAI, not_before: object) -> Response:
    """A response that is not begun before then."""
    return client.responses.create(
        model=AGENT,
        input="What is WAPP?",
        background=True,
        extra_body={"griot": {"not_before": not_before}},
    )


def test_it_is_queued_until_then_and_answered(client: openai.OpenAI) -> None:
    """Its status is `queued`, its stream waits, and its events have the numbers of all others."""
    due_s = time.time() + 1.5
    made = later(client, due_s)
    found = client.responses.retrieve(made.id)
    assert (found.status, found.griot["not_before"]) == ("queued", due_s)  # type: ignore[attr-defined]
    types = [event.type for event in client.responses.retrieve(made.id, stream=True)]
    assert time.time() >= due_s
    assert types[:3] == ["response.created", "response.queued", "response.in_progress"]
    assert "What is WAPP?" in client.responses.retrieve(made.id).output_text


def test_it_can_be_cancelled(client: openai.OpenAI) -> None:
    """And is never begun."""
    made = later(client, (datetime.now(UTC) + timedelta(days=1)).isoformat())
    client.responses.cancel(made.id)
    wait_until(
        lambda: client.responses.retrieve(made.id).status == "cancelled", what="it is cancelled"
    )


@pytest.mark.parametrize("wrong", ["tomorrow", "2030-01-01T00:00:00", -1, 9e15])
def test_a_time_that_is_none_is_refused(client: openai.OpenAI, wrong: object) -> None:
    """400, with the reason."""
    with pytest.raises(openai.BadRequestError, match="not_before"):
        later(client, wrong)


def test_only_what_runs_in_the_background_waits(client: openai.OpenAI) -> None:
    """Nobody holds a connection open until tomorrow."""
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.create(
            model=AGENT, input="x", extra_body={"griot": {"not_before": time.time() + 9}}
        )


def test_what_is_not_begun_by_its_time_fails(client: openai.OpenAI) -> None:
    """With a code of OpenAI's and words that say why; what is in time is answered."""
    asked = {"model": AGENT, "input": "What is WAPP?"}
    past = {"griot": {"expires": "2026-01-01T00:00:00Z"}}
    late = client.responses.create(**asked, extra_body=past)  # type: ignore[call-overload]
    assert late.status == "failed"
    assert late.error.code == "server_error"
    assert "not begun by the time" in late.error.message
    in_time = {"griot": {"expires": 300}}
    found = client.responses.create(**asked, extra_body=in_time)  # type: ignore[call-overload]
    assert "What is WAPP?" in found.output_text
    with pytest.raises(openai.BadRequestError, match="expires"):
        client.responses.create(**asked, extra_body={"griot": {"expires": 0}})  # type: ignore[call-overload]


def test_an_answer_that_takes_too_long_fails(client: openai.OpenAI) -> None:
    """The same, and its conversation keeps what was said so far."""
    session = f"slow-{uuid.uuid4()}"
    asked = {"model": "slow-tokens:400x50ms", "input": "long", "conversation": session}
    late = client.responses.create(  # type: ignore[call-overload]
        **asked, extra_body={"griot": {"timeout_s": scaled(0.5)}}
    )
    assert (late.status, late.error.code) == ("failed", "server_error")
    assert "longer than the request" in late.error.message
    items = client.conversations.items.list(session).data
    assert {item.status for item in items} == {"incomplete"}  # type: ignore[union-attr]  # each
    with pytest.raises(openai.BadRequestError, match="timeout_s"):
        client.responses.create(**asked, extra_body={"griot": {"timeout_s": 0}})  # type: ignore[call-overload]
