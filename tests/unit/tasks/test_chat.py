"""The chat task where it must not even ask Redis."""

import pytest

from tasks import InvalidJob, chat_task
from tasks.submit.producer import producer

SECRET = "what nobody may read in a log"  # noqa: S105  # text of a conversation


@pytest.mark.parametrize(
    ("task_id", "arguments"),
    [
        ("x" * 513, {"agent_id": "energy", "session_id": "s"}),
        ("x" * 513, {"agent_id": "energy", "session_id": "s", "message": SECRET}),
        ("job", {"agent_id": "a" * 513, "session_id": "s"}),
        ("job", {"agent_id": "energy", "session_id": ""}),
        ("job", {"agent_id": "energy", "session_id": 5}),
        ("job", {"agent_id": "energy", "session_id": "s", "message": SECRET, "max_tokens": 0}),
    ],
)
def test_a_message_that_can_never_be_carried_out_fails_once(
    task_id: str, arguments: dict[str, object]
) -> None:
    """A raw send_task with an id that no key can hold is over, and not published again."""
    done = chat_task.apply(kwargs=arguments, task_id=task_id)
    assert done.status == "FAILURE"
    assert isinstance(done.result, InvalidJob)
    assert SECRET not in repr(done.result)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "missing a required argument: 'agent_id'"),
        (("energy", "s"), "missing a required argument: 'message'"),
        (("energy", "s", SECRET, SECRET), "too many positional arguments"),
    ],
)
def test_missing_arguments_are_named_with_the_signature(
    arguments: tuple[str, ...], reason: str
) -> None:
    """As a function would say it, before anything is sent."""
    with pytest.raises(InvalidJob) as caught:
        producer().checked(arguments, {})
    assert str(caught.value) == f"chat_task(agent_id, session_id, message, **options): {reason}"


def test_arguments_may_come_by_position_and_by_name() -> None:
    """`delay("energy", "s", "…", max_tokens=5)` and `apply_async(kwargs={…})` alike."""
    by_position = producer().checked(("energy", "s", "hello"), {"max_tokens": 5})
    by_name = producer().checked(
        (), {"agent_id": "energy", "session_id": "s", "message": "hello", "max_tokens": 5}
    )
    assert by_position == by_name


@pytest.mark.parametrize("option", ["soft_time_limit", "time_limit"])
def test_time_limits_are_those_of_the_job(option: str) -> None:
    """Before anything is sent: nothing listens where this test would send to."""
    with pytest.raises(InvalidJob, match="timeout_s: Input should be greater than 0"):
        chat_task.apply_async(("energy", "s", "hello"), **{option: -5})


def test_a_policy_that_is_none_is_refused() -> None:
    """With the names of those that are; before anything is asked."""
    with pytest.raises(InvalidJob, match="policy must be keep or discard, not 'x'"):
        chat_task.cancel("job", policy="x")  # type: ignore[arg-type]  # that is the point


def test_another_serializer_is_refused() -> None:
    """Before anything is sent: no worker would take such a message."""
    with pytest.raises(InvalidJob, match="chat jobs are sent as JSON"):
        chat_task.apply_async(("energy", "s", "hello"), serializer="pickle")
