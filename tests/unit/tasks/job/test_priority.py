"""How senders say how urgent a job is, and where its wake-up goes."""

import pytest
from kombu.transport.redis import PRIORITY_STEPS

from memory import Priority
from tasks import InvalidJob
from tasks.job.job import ChatJob
from tasks.job.priority import LISTS, number_of, of_number, priority_of

ASKED = {"agent_id": "energy", "session_id": "s-1", "message": "Hello"}


@pytest.mark.parametrize("number", range(10))
def test_a_number_says_what_it_says_to_the_broker(number: int) -> None:
    """On Redis a larger one is later, on RabbitMQ sooner; 0 is what a message has that says
    nothing."""
    assert priority_of(number, is_rabbitmq=False) == (Priority.BATCH if number >= 3 else None)
    assert priority_of(number, is_rabbitmq=True) == (Priority.INTERACTIVE if number else None)


@pytest.mark.parametrize("number", [-1, 10, 2.5, True, float("nan"), float("inf"), 2**70])
def test_what_is_no_number_of_celerys_is_refused(number: object) -> None:
    """By name."""
    with pytest.raises(InvalidJob, match="priority must be interactive, normal, batch"):
        priority_of(number, is_rabbitmq=False)


@pytest.mark.parametrize("number", [None, "9", -1, 10, True, 2.0])
def test_what_is_none_in_a_message_says_nothing(number: object) -> None:
    """Whoever has written it: the message is handled."""
    assert of_number(number, is_rabbitmq=True) is of_number(number, is_rabbitmq=False) is None


def test_a_job_has_one_of_three_classes() -> None:
    """By name; none, and the agent's profile says."""
    for priority in Priority:
        job = ChatJob.checked({**ASKED, "priority": priority.value}, max_message_bytes=100)
        assert job.priority is priority
    assert ChatJob.checked(ASKED, max_message_bytes=100).priority is None
    with pytest.raises(InvalidJob, match=r"priority.*'interactive', 'normal' or 'batch'"):
        ChatJob.checked({**ASKED, "priority": "urgent"}, max_message_bytes=100)


def test_a_priority_makes_no_other_request() -> None:
    """The same id sent again is the same job; and jobs may be merged."""
    plain, urgent = (
        ChatJob.checked({**ASKED, "priority": one}, max_message_bytes=100).request
        for one in (None, "interactive")
    )
    assert plain == urgent


def test_every_list_of_kombu_is_of_a_class() -> None:
    """So no message lies where no worker looks; a wake-up goes to a list of its class."""
    assert sorted(number for numbers in LISTS.values() for number in numbers) == PRIORITY_STEPS
    for priority in Priority:
        assert (number_of(priority, is_rabbitmq=False) or 0) in LISTS[priority]
    assert number_of(Priority.NORMAL, is_rabbitmq=False) is None
    numbers = [number_of(one, is_rabbitmq=True) for one in Priority]
    assert numbers == [9, None, None]
