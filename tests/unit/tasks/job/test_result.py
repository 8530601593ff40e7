"""The result of a job, the two messages that the history keeps, and the way back."""

import logging
from datetime import datetime
from typing import cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils import json
from pydantic import JsonValue

from agents import Prompt
from llm import ChatRequest, Final, Fit, ModelReply, TokenBudget
from memory import (
    Acquired,
    AcquireOutcome,
    Event,
    EventType,
    InvalidInput,
    Keyspace,
    decode_messages,
    encode_message,
)
from memory.encryption.keyring import NO_KEYS, Cipher
from memory.mailbox.dead_letters import Letters
from memory.records.event import packed
from tasks.end.outcome import check_size, event_data, outcome_of
from tasks.job.job import ChatJob
from tasks.job.messages import cancelled_messages, messages_of
from tasks.job.result import ChatResult, RedactedResult, result_from_reply
from tasks.submit.followers import JobFollower
from tasks.turn.fitted_call import FittedReply
from tasks.turn.reply_check import ParsedReply
from tasks.turn.turn_result import result_of

SECRET = "what nobody may read in a log"  # noqa: S105  # text of a conversation
BUDGET = TokenBudget.of(4096, None)
ACQUIRED = Acquired(AcquireOutcome.RUN, attempt=2, stored_messages=10)


def job(message: str = "question", metadata: dict[str, JsonValue] | None = None) -> ChatJob:
    """A job with this message."""
    return ChatJob(agent_id="energy", session_id="s", message=message, metadata=metadata)


def result(
    given: ChatJob,
    text: str = SECRET,
    budget: TokenBudget = BUDGET,
    counted_tokens: int = 7,
    server: str = "",
) -> ChatResult:
    """What came of it."""
    final = Final(
        model="m",
        done_reason="stop",
        prompt_tokens=counted_tokens,
        completion_tokens=3,
        server=server,
    )
    reply = reply_of(given, ModelReply(text, final), budget)
    return result_of("job-1", given, [reply], ACQUIRED)


def reply_of(given: ChatJob, answer: ModelReply, budget: TokenBudget = BUDGET) -> FittedReply:
    """Six messages were sent, four of them of the history."""
    request = ChatRequest(model="m", messages=({"role": "user", "content": given.message},) * 6)
    prompt = Prompt(request, history_messages=4, fit=Fit(2, 9, 8.5, 1.0))
    return FittedReply(prompt, answer, budget)


def test_a_result_has_what_the_interface_promises() -> None:
    """The documented fields, by name and type; metadata only where there was some."""
    found = result(job())
    assert found == {
        "job_id": "job-1",
        "agent_id": "energy",
        "session_id": "s",
        "response": SECRET,
        "model": "m",
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
        "done_reason": "stop",
        "attempt": 2,
        "history_messages": 4,
        "receipt": {
            "messages_sent": 6,
            "messages_left_out": 6,
            "summary": False,
            "window_tokens": 4096,
            "estimated_prompt_tokens": 9,
            "prompt_tokens": 7,
            "done_reason": "stop",
            "truncated": False,
            "fallback_for": None,
        },
    }
    assert result(job(metadata={"a": None}))["metadata"] == {"a": None}
    assert result(job(), server="ollama:11434")["server"] == "ollama:11434"


def test_a_receipt_does_not_claim_what_nobody_knows() -> None:
    """A window that was assumed, and a count that the model's server left out."""
    receipt = result(job(), budget=TokenBudget.of(4096, None, is_known=False), counted_tokens=0)[
        "receipt"
    ]
    assert (receipt["window_tokens"], receipt["prompt_tokens"]) == (None, None)


@given(question=st.text(min_size=1), reply=st.text())
def test_the_result_can_be_read_back_from_the_history(question: str, reply: str) -> None:
    """From the bytes in Redis: all but the timings and the metadata, which stay with the job."""
    given = job(question)
    found = result(given, reply)
    stored = [encode_message(message, 10**7) for message in messages_of(given, found)]
    messages = decode_messages(stored).messages
    assert [message["content"] for message in messages] == [question, reply]
    again = result_from_reply("job-1", "energy", "s", messages[1:])
    assert again == found


def test_a_turn_in_the_history_carries_its_job_and_its_time() -> None:
    """Both messages; the question also the sender's metadata."""
    given = job(metadata={"twg": "energy"})
    question, reply = messages_of(given, result(given))
    assert (question["role"], reply["role"]) == ("user", "assistant")
    assert question["job_id"] == reply["job_id"] == "job-1"
    assert question["at"] == reply["at"]
    assert datetime.fromisoformat(str(reply["at"])).tzinfo is not None
    assert question["metadata"] == {"twg": "energy"}
    assert "metadata" not in reply


def test_the_value_of_a_reply_can_be_read_back_too() -> None:
    """From its mark in the history; a reply that somebody changed since has none."""
    given = ChatJob(agent_id="energy", session_id="s", message="q", format={"type": "object"})
    answer = ModelReply('{"a": 1}', Final(model="m", done_reason="stop"))
    parsed = ParsedReply(answer.text, {"a": 1})
    found = result_of("job-1", given, [reply_of(given, answer)], ACQUIRED, parsed=parsed)
    assert found["parsed"] == {"a": 1}
    assert "parsed" not in event_data(found)
    reply = decode_messages([encode_message(messages_of(given, found)[1], 10**7)]).messages[0]
    assert result_from_reply("job-1", "energy", "s", [reply])["parsed"] == {"a": 1}
    changed = {**reply, "content": "no JSON"}
    assert result_from_reply("job-1", "energy", "s", [changed])["parsed"] is None


def test_images_stay_with_their_message() -> None:
    """In a turn, and in one that was cancelled."""
    given = ChatJob(agent_id="energy", session_id="s", message="q", images=["iVBORw0KGgo="])
    for kept in (messages_of(given, result(given)), cancelled_messages("job-1", given, "a")):
        assert [message.get("images") for message in kept] == [["iVBORw0KGgo="], None]


def test_the_question_of_a_cancelled_turn_is_that_of_any_turn() -> None:
    """With the caller's metadata too; it only says besides that it was cancelled."""
    given = job(metadata={"user_id": "u"})
    question, *_ = messages_of(given, result(given))
    cancelled, *_ = cancelled_messages("job-1", given, "a")
    assert cancelled == {**question, "at": cancelled["at"], "cancelled": True}


@pytest.mark.parametrize(
    "reply",
    [
        [],
        [{"role": "assistant"}],
        [{"usage": 5, "attempt": "x", "history_messages": None}],
    ],
)
def test_a_reply_that_was_trimmed_gives_an_empty_result(reply: list[dict[str, JsonValue]]) -> None:
    """The job was answered; only its text is gone."""
    found = result_from_reply("job-1", "energy", "s", reply)
    assert (found["job_id"], found["response"], found["attempt"]) == ("job-1", "", 0)
    assert found["usage"] == {"prompt_tokens": 0, "completion_tokens": 0}


def test_the_done_event_has_all_but_the_text() -> None:
    """The text has come in pieces before."""
    assert "response" not in event_data(result(job()))
    assert SECRET not in repr(event_data(result(job())))


def test_a_private_result_shows_no_text(caplog: pytest.LogCaptureFixture) -> None:
    """Neither by repr, str and format, nor in a log line."""
    private = RedactedResult(result(job()))
    logging.getLogger("t").warning("got %s %r", private, private)
    shown = [repr(private), str(private), f"{private}", caplog.text]
    assert not any(SECRET in text for text in shown)
    assert "energy" in repr(private)


def test_a_private_result_is_fetched_as_a_plain_dict() -> None:
    """kombu's JSON, which the result backend uses."""
    private = RedactedResult(result(job()))
    assert json.loads(json.dumps(private)) == result(job())
    assert json.loads(json.dumps({"result": private}))["result"]["response"] == SECRET


def test_a_private_result_can_be_used_like_a_dict() -> None:
    """In eager mode a caller gets it as it is."""
    private = RedactedResult(result(job()))
    assert private["response"] == SECRET
    assert dict(private) == cast("dict[str, object]", result(job()))
    assert len(private) == len(result(job()))
    with pytest.raises(KeyError):
        private["nothing"]


@pytest.mark.parametrize("content", [{}, {"content": None}])
def test_a_reply_without_words_is_an_empty_response(content: dict[str, JsonValue]) -> None:
    """Whoever reads what is kept of it: a result, and the last event of a follower."""
    stored = orjson.dumps({"role": "assistant", "job_id": "job-1", **content})
    keyspace = Keyspace()
    follower = JobFollower(keyspace, keyspace.session("energy", "s"), "job-1", "0-0")
    last = follower.conclusion([None, False, None, Letters(()), stored], is_committed=True)
    found = outcome_of(follower.keys, last).value
    assert found is not None
    assert (found["response"], last.text) == ("", "")


def test_a_result_of_so_many_bytes_and_no_more() -> None:
    """Counted as its last event is stored, at the bound and one over it."""
    found = result(job(), "ü" * 500)
    last = Event(EventType.DONE, "j", 1, found["response"], event_data(found))
    size_bytes = len(packed(last, Cipher(NO_KEYS, "")))
    check_size(last, size_bytes)
    with pytest.raises(InvalidInput, match=rf"has {size_bytes} bytes.*CHAT_MAX_RESULT_BYTES"):
        check_size(last, size_bytes - 1)


def test_a_reply_that_is_nested_too_deeply_has_a_result_all_the_same() -> None:
    """It was committed by a worker that took it: who waits is told, without a value."""
    keys, deep = Keyspace().session("energy", "s"), "[" * 300 + "]" * 300
    last = Event(EventType.DONE, "j", 1, deep, {"format": "json"})
    ended = outcome_of(keys, last).value
    assert orjson.loads(orjson.dumps(ended))["response"] == deep
    assert cast("ChatResult", ended)["parsed"] is None
    found = result_from_reply("j", "energy", "s", [{"content": deep, "format": "json"}])
    assert found["parsed"] is None
