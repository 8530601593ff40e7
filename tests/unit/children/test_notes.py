"""Of what is told too often the newest is handed on."""

from collections.abc import Callable

import pytest

from children import notes
from children.notes import Newest


class Clock:
    """A clock that a test moves, with what is to happen later."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def monotonic(self) -> float:
        """The time."""
        return self.now_s

    def later(self, wait_s: float, act: Callable[[], None]) -> None:
        """Have it done then."""
        self.due.append((self.now_s + wait_s, act))

    def move(self, seconds: float) -> None:
        """Go on, and do what is due."""
        self.now_s += seconds
        due = [act for at_s, act in self.due if at_s <= self.now_s]
        self.due = [one for one in self.due if one[0] > self.now_s]
        for act in due:
            act()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the test."""
    made = Clock()
    monkeypatch.setattr(notes, "time", made)
    return made


def test_the_newest_is_handed_on_and_the_last_is_not_lost(clock: Clock) -> None:
    """At most once in the time, however often it is told; one call of `later` for all of them."""
    sent: list[int] = []
    told = Newest(sent.append, clock.later, every_s=0.5)
    for number in range(3):
        told.tell(number)
    assert len(clock.due) == 1
    clock.move(0)
    for number in range(3, 1000):
        told.tell(number)
    assert len(clock.due) == 1
    clock.move(0.4)
    assert sent == [2]
    clock.move(0.1)
    assert sent == [2, 999]
    clock.move(10)
    assert sent == [2, 999]
    told.tell(1000)
    clock.move(0)
    assert sent == [2, 999, 1000]


def test_nothing_is_handed_on_after_the_end(clock: Clock) -> None:
    """Neither what waits, nor what a thread that was given up still says."""
    sent: list[int] = []
    told = Newest(sent.append, clock.later, every_s=0.5)
    told.tell(1)
    told.end()
    told.tell(2)
    clock.move(1)
    assert sent == []
    assert clock.due == []
