"""How long a turn may run: what a sender may write, and how Celery's time limits are read."""

import pytest

from tasks.errors import InvalidJob
from tasks.job.deadline import MAX_TIMEOUT_S, celery_timeout, timeout_of_message
from tasks.job.job import ChatJob


def job(**options: object) -> ChatJob:
    """A job with these options."""
    named = {"agent_id": "energy", "session_id": "s", "message": "hello"}
    return ChatJob.checked({**named, **options}, max_message_bytes=100)


@pytest.mark.parametrize("given", [0.5, 30, MAX_TIMEOUT_S, None])
def test_seconds_up_to_a_day_are_taken(given: float | None) -> None:
    """Whole ones and parts."""
    assert job(timeout_s=given).timeout_s == given


@pytest.mark.parametrize("given", [0, -1, MAX_TIMEOUT_S + 1, float("nan"), "30", True])
def test_what_cannot_be_meant_is_refused(given: object) -> None:
    """By its name."""
    with pytest.raises(InvalidJob, match="timeout_s"):
        job(timeout_s=given)


def test_it_is_part_of_what_is_asked() -> None:
    """As `max_tokens` is: it bounds the reply."""
    assert job(timeout_s=5).request != job().request
    assert job(timeout_s=None).request == job().request


@pytest.mark.parametrize(
    ("options", "timeout"),
    [
        ({}, None),
        ({"time_limit": None, "soft_time_limit": None}, None),
        ({"time_limit": 10}, 10),
        ({"time_limit": 10, "soft_time_limit": 5}, 5),
        ({"time_limit": 0}, 0),
        ({"time_limit": "soon", "soft_time_limit": 5}, "soon"),
    ],
)
def test_the_shorter_of_celerys_limits_counts(options: dict[str, object], timeout: object) -> None:
    """What is no number is left for the job's check to refuse."""
    assert celery_timeout(options) == timeout


@pytest.mark.parametrize(
    ("header", "timeout"),
    [
        (None, None),
        ([None, None], None),
        ([30, None], 30),
        ((30, 20), 20),
        ([0, 0], None),
        (5, None),
    ],
)
def test_a_message_says_it_in_a_header(header: object, timeout: object) -> None:
    """The hard and the soft one; a malformed header is Celery's to refuse."""
    assert timeout_of_message(header) == timeout
