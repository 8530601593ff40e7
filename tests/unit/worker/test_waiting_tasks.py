"""Which task begins next where all places of a worker are taken."""

import pytest

from memory.priority import Priority, Shares
from worker.broker.waiting_tasks import WaitingTasks


def waiting_tasks(shares: Shares | None = None) -> WaitingTasks[tuple[Priority, int]]:
    """Tasks that are a class and a number."""
    return WaitingTasks(lambda task: task[0], shares or Shares())


def test_of_one_class_they_begin_in_order() -> None:
    """As they came."""
    waiting = waiting_tasks()
    for number in range(3):
        waiting.append((Priority.NORMAL, number))
    assert [waiting.popleft()[1] for _ in range(3)] == [0, 1, 2]
    assert not waiting
    with pytest.raises(IndexError):
        waiting.popleft()


def test_an_urgent_one_overtakes_a_crowd_and_the_crowd_moves() -> None:
    """Of twenty turns one is of the crowd that has time."""
    waiting = waiting_tasks()
    for number in range(100):
        waiting.append((Priority.BATCH, number))
    for number in range(40):
        waiting.append((Priority.INTERACTIVE, number))
    begun = [waiting.popleft() for _ in range(42)]
    assert begun[0] == (Priority.INTERACTIVE, 0)
    assert [number for priority, number in begun if priority is Priority.BATCH] == [0, 1]


def test_what_is_forgotten_waits_no_more() -> None:
    """Of all classes: the worker stops."""
    waiting = waiting_tasks()
    for priority in Priority:
        waiting.append((priority, 1))
    waiting.take_all()
    assert not waiting
