"""A job's events in OpenAI's words: numbers, items, and what becomes of an attempt that broke."""

from collections.abc import Sequence

import pytest
from openai import omit
from openai._models import construct_type_unchecked
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from gateway.doors.answers import server_sent
from gateway.responses.fold import ResponseFold
from gateway.responses.record import ResponseRecord
from gateway.responses.shape import Known
from memory import Event, EventType

JOB = "resp_1"
USAGE = {"usage": {"prompt_tokens": 3, "completion_tokens": 2}, "done_reason": "stop"}


def event(kind: EventType, attempt: int = 1, text: str = "", **data: object) -> Event:
    """One event of the job."""
    return Event(kind, JOB, attempt, text, data, "5-0")  # type: ignore[arg-type]  # JSON


QUEUED = event(EventType.QUEUED, 0, position=0)
STARTED = event(EventType.STARTED, model="m")


def told(events: Sequence[Event]) -> tuple[list[dict[str, object]], ResponseFold]:
    """All that is said of these events."""
    fold = ResponseFold(Known(JOB, "energy", "c", ResponseRecord(model="energy")))
    return [sent for one in events for sent in fold.take(one)], fold


def text_of(response: dict[str, object] | None) -> str:
    """The text of a response's messages."""
    assert response is not None
    output = response["output"]
    assert isinstance(output, list)
    messages = [item for item in output if item["type"] == "message"]
    return "".join(part["text"] for item in messages for part in item["content"])


def test_a_turn_is_told_in_the_order_of_openai() -> None:
    """From created to completed, each event numbered from 0 on."""
    sent, fold = told([
        QUEUED, STARTED, event(EventType.TOKEN, text="He"), event(EventType.TOKEN, text="llo"),
        event(EventType.DONE, text="Hello", **USAGE),
    ])  # fmt: skip
    assert [one["type"] for one in sent] == [
        "response.created", "response.queued", "response.in_progress",
        "response.output_item.added", "response.content_part.added",
        "response.output_text.delta", "response.output_text.delta", "response.output_text.done",
        "response.content_part.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert [one["sequence_number"] for one in sent] == list(range(len(sent)))
    assert text_of(fold.final) == "Hello"
    assert fold.final is not None
    assert fold.final["completed_at"] == 0.005


@pytest.mark.parametrize("after", range(-1, 30))
def test_what_is_sent_is_what_is_told(after: int) -> None:
    """From behind each number; pieces of texts are packed without being told one by one."""
    page = [
        QUEUED, STARTED, event(EventType.THINKING, text="Hm"), event(EventType.THINKING, text="…"),
        *(event(EventType.TOKEN, text=text) for text in ("Ga", '"delta":""', "\n\u2028\x00", "é")),
        event(EventType.STARTED, 2, model="m"),
        *(event(EventType.TOKEN, 2, text) for text in ("Wa", "ga", "du")),
        event(EventType.DONE, 2, "Wagadu", **USAGE),
    ]  # fmt: skip
    sent, _ = told(page)
    packing = ResponseFold(Known(JOB, "energy", "c", ResponseRecord(model="energy")))
    packed = b"".join(packing.packed([one], after) for one in page)
    assert packed == b"".join(server_sent(one, str(one["type"])) for one in sent[after + 1 :])
    assert packing.number == len(sent) - 1


def test_a_second_attempt_begins_a_new_item_and_says_so() -> None:
    """What the first one said is no part of the response, and its item ends as abandoned."""
    sent, fold = told([
        QUEUED, STARTED, event(EventType.TOKEN, text="Wro"),
        event(EventType.STARTED, 2, model="m"), event(EventType.TOKEN, 2, "Right"),
        event(EventType.DONE, 2, "Right", **USAGE),
    ])  # fmt: skip
    ended = [one["item"] for one in sent if one["type"] == "response.output_item.done"]
    assert [item["status"] for item in ended] == ["incomplete", "completed"]  # type: ignore[index]  # an item
    assert ended[0]["griot"] == {"abandoned": True, "attempt": 1}  # type: ignore[index]  # an item
    assert len({item["id"] for item in ended}) == 2  # type: ignore[index]  # an item
    assert text_of(fold.final) == "Right"


@pytest.mark.parametrize("committed", ["Hello you", "Other"])
def test_the_response_is_what_was_committed(committed: str) -> None:
    """Where events were lost, or the reply was put right, the end has all of it."""
    sent, fold = told([
        QUEUED, STARTED, event(EventType.TOKEN, text="Hello"),
        event(EventType.DONE, text=committed, **USAGE),
    ])  # fmt: skip
    assert text_of(fold.final) == committed
    heard: dict[object, str] = {}
    for one in sent:
        if one["type"] == "response.output_text.delta":
            heard[one["item_id"]] = heard.get(one["item_id"], "") + str(one["delta"])
    assert list(heard.values())[-1] == committed


def test_tools_of_the_agent_are_those_of_a_server() -> None:
    """A call is an item of its own; what was said before it is no part of the response."""
    sent, fold = told([
        QUEUED, STARTED, event(EventType.TOKEN, text="Let me see"),
        event(EventType.TOOL_CALL, call=1, name="add", arguments={"a": 1}),
        event(EventType.TOOL_CALL, call=1, name="add", result="3", is_error=False, ms=1.0),
        STARTED, event(EventType.TOKEN, text="3"), event(EventType.DONE, text="3", **USAGE),
    ])  # fmt: skip
    assert fold.final is not None
    output = fold.final["output"]
    assert isinstance(output, list)
    assert [item["type"] for item in output] == ["mcp_call", "message"]
    assert (output[0]["arguments"], output[0]["output"]) == ('{"a":1}', "3")
    added = [one["output_index"] for one in sent if one["type"] == "response.output_item.added"]
    assert added == [0, 1, 2]


def test_how_far_a_tool_is_is_an_event_that_clients_know() -> None:
    """With Griot's own words in it; of a call that is not under way nothing is told."""
    far = {"fraction": 0.4, "text": "reading page 3"}
    data = {"call": 1, "name": "add", **far}
    progress = Event(EventType.TOOL_PROGRESS, JOB, 1, data=data, cursor="5-0")  # type: ignore[arg-type]  # JSON
    sent, fold = told([
        QUEUED, STARTED, progress,
        event(EventType.TOOL_CALL, call=1, name="add", arguments={"a": 1}),
        progress,
        event(EventType.TOOL_CALL, call=1, name="add", result="3", is_error=False, ms=1.0),
        progress,
        STARTED, event(EventType.TOKEN, text="3"), event(EventType.DONE, text="3", **USAGE),
    ])  # fmt: skip
    (begun, under_way) = (one for one in sent if one["type"] == "response.mcp_call.in_progress")
    assert under_way == {
        **begun, "griot": far, "sequence_number": under_way["sequence_number"],
    }  # fmt: skip
    assert text_of(fold.final) == "3"
    state = ResponseStreamState(input_tools=omit, text_format=omit)
    for one in sent:
        state.handle_event(construct_type_unchecked(type_=ResponseStreamEvent, value=one))


def test_thoughts_are_an_item_before_the_message() -> None:
    """They are streamed as such, and end where the answer begins."""
    _, fold = told([
        QUEUED, STARTED, event(EventType.THINKING, text="Hm"), event(EventType.TOKEN, text="3"),
        event(EventType.DONE, text="3", **USAGE),
    ])  # fmt: skip
    assert fold.final is not None
    output = fold.final["output"]
    assert isinstance(output, list)
    assert [item["type"] for item in output] == ["reasoning", "message"]


@pytest.mark.parametrize(
    ("end", "status", "name"),
    [
        (event(EventType.DONE, text="H", done_reason="length"), "incomplete", "incomplete"),
        (event(EventType.FAILED, error="no"), "failed", "failed"),
        (event(EventType.ERASED), "failed", "failed"),
        (event(EventType.CANCELLED, text="H"), "cancelled", "incomplete"),
    ],
)
def test_each_end_has_its_status(end: Event, status: str, name: str) -> None:
    """A stream ends with an event that says how."""
    sent, fold = told([QUEUED, STARTED, event(EventType.TOKEN, text="H"), end])
    assert fold.final is not None
    assert fold.final["status"] == status
    assert sent[-1]["type"] == f"response.{name}"
    if status == "cancelled":
        assert text_of(fold.final) == "H"


def test_a_job_that_waits_is_not_in_progress() -> None:
    """Nor is one that is cancelled before it has run."""
    sent, _ = told([QUEUED, event(EventType.WAITING, 0, reason="slot", ahead=1)])
    assert [one["type"] for one in sent] == ["response.created", "response.queued"]
    sent, _ = told([QUEUED, event(EventType.CANCELLED, 0)])
    assert [one["type"] for one in sent][-1] == "response.incomplete"
    assert len(sent) == 3
