"""Images, formats and thinking, from `delay` to the history, with a real worker."""

import base64
import json
from collections.abc import Iterator

import pytest

from memory import get_redis_memory
from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import EventType, InvalidJob, JobFailed, chat_task, follow_job
from tests.support.machine import scaled

WAIT_S = scaled(20)
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(100)).decode()
VERDICT = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "score": {"type": "integer"}},
    "required": ["text", "score"],
}
HIGH = {"type": "object", "properties": {"score": {"type": "integer", "minimum": 10}}}


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> Iterator[ServerProcess]:
    """One worker for all tests of this module."""
    return stack.worker(CHAT_MAX_ATTEMPTS="3")


@pytest.fixture(autouse=True)
def quiet(ollama: OllamaStandIn) -> None:
    """The calls that a test sees are its own."""
    ollama.reset()


def history(session_id: str) -> list[dict[str, object]]:
    """What the documented service gives."""
    return [*get_redis_memory().get_conversation_history("energy", session_id)]


def test_an_image_reaches_the_model_and_stays_in_the_history(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """In the documented field, and is there for the questions that follow."""
    chat_task.delay("energy", session_id, "what is this?", model="vision", images=[PNG]).get(WAIT_S)
    assert ollama.calls[-1].messages[-1]["images"] == [PNG]
    assert [message.get("images") for message in history(session_id)] == [[PNG], None]
    chat_task.delay("energy", session_id, "and its colour?", model="vision").get(WAIT_S)
    assert ollama.calls[-1].messages[1]["images"] == [PNG]
    chat_task.delay("energy", session_id, "another model's view?").get(WAIT_S)
    assert not any("images" in message for message in ollama.calls[-1].messages)


def test_a_schema_is_kept_and_its_value_is_in_the_result(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """The reply is the text, `parsed` its value."""
    result = chat_task.delay("energy", session_id, "judge", format=VERDICT).get(WAIT_S)
    assert json.loads(ollama.calls[-1].body)["format"] == VERDICT
    assert result["parsed"] == json.loads(result["response"])
    assert result["parsed"]["score"] == 1
    result = chat_task.delay("energy", session_id, "judge", format="json").get(WAIT_S)
    assert isinstance(result["parsed"], dict)


def test_a_reply_that_does_not_fit_is_asked_for_again(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """Nothing of the first stays but the count of attempts."""
    ollama.script("instant", ["instant:2", "instant"])
    sent = chat_task.delay("energy", session_id, "judge", format=VERDICT, model="instant")
    assert sent.get(WAIT_S)["attempt"] == 2
    assert len(history(session_id)) == 2
    assert ollama.stats.requests == 2


def test_a_reply_that_never_fits_is_a_dead_letter(session_id: str, ollama: OllamaStandIn) -> None:
    """After as many attempts as any failure has; the session goes on."""
    sent = chat_task.delay("energy", session_id, "judge", format=HIGH)
    after = chat_task.delay("energy", session_id, "next")
    with pytest.raises(JobFailed, match="see /properties/score/minimum"):
        sent.get(WAIT_S)
    after.get(WAIT_S)
    assert ollama.stats.requests == 3 + 1
    assert len(history(session_id)) == 2


def test_thinking_is_asked_for_and_told_apart(session_id: str, ollama: OllamaStandIn) -> None:
    """As events; it is no part of the reply."""
    sent = chat_task.delay("energy", session_id, "why?", model="think", think="high")
    thoughts = [event.text for event in follow_job(sent.id) if event.type is EventType.THINKING]
    assert "I was sent" in "".join(thoughts)
    assert "I was sent" not in sent.get(WAIT_S)["response"]
    chat_task.delay("energy", session_id, "quick!", model="think", think=False).get(WAIT_S)
    assert [json.loads(call.body)["think"] for call in ollama.calls] == ["high", False]


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "thinking": ({"model": "ok", "think": True}, "'ok' does not support thinking"),
    "vision": ({"model": "ok", "images": [PNG]}, "'ok' does not support vision"),
}


@pytest.mark.parametrize("ability", REFUSED)
def test_what_a_model_cannot_is_refused_before_the_call(
    session_id: str, ollama: OllamaStandIn, ability: str
) -> None:
    """One attempt, and the model is not called at all."""
    options, reason = REFUSED[ability]
    with pytest.raises(JobFailed, match=reason):
        chat_task.delay("energy", session_id, "try", **options).get(WAIT_S)
    assert ollama.stats.requests == 0
    assert history(session_id) == []


def test_a_server_that_does_not_tell_refuses_by_itself(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """One call, one attempt, the same words."""
    sent = chat_task.delay("energy", session_id, "try", model="no-abilities", think=True)
    with pytest.raises(JobFailed, match="'no-abilities' does not support thinking"):
        sent.get(WAIT_S)
    assert ollama.stats.requests == 1


@pytest.mark.parametrize(
    "options",
    [
        {"images": ["no image"]},
        {"images": [PNG] * 5},
        {"format": {"$ref": "http://127.0.0.1:9/x"}},
        {"think": 5},
    ],
)
def test_what_is_wrong_is_refused_by_delay(session_id: str, options: dict[str, object]) -> None:
    """Nothing is sent."""
    with pytest.raises(InvalidJob):
        chat_task.delay("energy", session_id, "hello", **options)
