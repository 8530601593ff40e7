"""Messages that a job brings along stand before its own in the history."""

import pytest

from tasks.errors import InvalidJob
from tasks.job.job import ChatJob
from tasks.job.messages import cancelled_messages, messages_of
from tasks.job.preceding import MAX_PRECEDING, MAX_PRECEDING_BYTES
from tasks.job.result import result_from_reply

BEFORE = [{"role": "system", "content": "Be brief."}, {"role": "assistant", "content": "Hello"}]


def job(preceding: object) -> ChatJob:
    """A job that brings these along."""
    given = {"agent_id": "energy", "session_id": "s", "message": "Hi", "preceding": preceding}
    return ChatJob.checked(given, max_message_bytes=100)


def test_they_are_kept_before_the_question() -> None:
    """Each names the job that brought it, and is none of its own."""
    result = result_from_reply("1", "energy", "s", ({"content": "Ho"},))
    result["receipt"] = {}  # type: ignore[typeddict-item]  # it is only passed on
    kept = messages_of(job(BEFORE), result)
    assert [one["content"] for one in kept] == ["Be brief.", "Hello", "Hi", "Ho"]
    assert [one.get("before") for one in kept] == ["1", "1", None, None]
    assert [one.get("job_id") for one in kept] == [None, None, "1", "1"]
    cancelled = cancelled_messages("1", job(BEFORE), "H")
    assert [one["content"] for one in cancelled] == ["Be brief.", "Hello", "Hi", "H"]


@pytest.mark.parametrize(
    "preceding",
    [
        [{"role": "robot", "content": "x"}],
        [{"content": "x"}],
        [{"role": "user", "content": 7}],
        [{"role": "user", "content": "x"}] * (MAX_PRECEDING + 1),
        [{"role": "user", "content": "x" * MAX_PRECEDING_BYTES}],
        [{"role": "user", "content": "\ud800"}],
        [{"role": "user", "content": "x", "images": ["no base64"]}],
        [{"role": "user", "content": "x", "images": ["aGVsbG8="]}],
        "x",
    ],
)
def test_what_no_history_takes_is_refused(preceding: object) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidJob, match="preceding"):
        job(preceding)


RESULT = {"role": "tool", "content": "5 MW", "tool_call_id": "call_1"}


def test_a_turn_that_goes_on_has_no_question() -> None:
    """The results that it brings, and the reply; a cancelled one still says that it was."""
    going_on = ChatJob(agent_id="energy", session_id="s", message="", preceding=[RESULT])
    cancelled = cancelled_messages("1", going_on, "")
    assert [one["role"] for one in cancelled] == ["tool", "assistant"]
    assert (cancelled[0]["before"], cancelled[1]["cancelled"]) == ("1", True)
