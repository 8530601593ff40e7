"""Shares as they are written, and whose turn it is."""

from collections import Counter

import pytest

from memory.priority import RANKS, ClassTurns, Priority, Shares

INTERACTIVE, NORMAL, BATCH = RANKS


@pytest.mark.parametrize("text", ["80/15/5", " 80 / 15 / 5 ", "080/015/005"])
def test_shares_are_three_numbers(text: str) -> None:
    """Written as they are shown."""
    assert Shares.parse(text) == Shares(80, 15, 5)
    assert str(Shares.parse(text)) == "80/15/5"


@pytest.mark.parametrize("text", ["", "80", "80/15", "80/15/5/1", "80/15/0", "101/1/1", "a/b/c"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """Also a share of nothing: a class would never move."""
    with pytest.raises(ValueError, match=r"share|numbers"):
        Shares.parse(text)


@pytest.mark.parametrize("shares", [Shares(), Shares(1, 1, 1), Shares(7, 3, 2), Shares(1, 50, 9)])
def test_each_class_gets_its_share(shares: Shares) -> None:
    """While all of them wait; and of any hundred turns about as many."""
    turns, served = ClassTurns(shares), list[Priority]()
    whole = shares.interactive + shares.normal + shares.batch
    for _ in range(3 * whole):
        first = turns.order()[0]
        served.append(first)
        turns.served(first)
    for at in range(0, 3 * whole, whole):
        counted = Counter(served[at : at + whole])
        assert counted[INTERACTIVE] == shares.interactive
        assert counted[NORMAL] == shares.normal
        assert counted[BATCH] == shares.batch


def test_several_at_once_count_as_several() -> None:
    """A worker takes up to ten messages of a list in one step."""
    turns, served = ClassTurns(Shares(1, 1, 1)), Counter[Priority]()
    for amount in [10, 1, 1, 5, 3, 1, 1, 1] * 30:
        first = turns.order()[0]
        served[first] += amount
        turns.served(first, amount)
    assert max(served.values()) - min(served.values()) <= 10


def test_a_class_that_comes_back_is_owed_nothing_and_owes_nothing() -> None:
    """Neither a thousand turns without it, nor those that it had alone."""
    turns = ClassTurns(Shares())
    for _ in range(1000):
        first = next(one for one in turns.order() if one is not INTERACTIVE)
        turns.served(first, waiting=[NORMAL, BATCH])
    assert turns.order()[0] is INTERACTIVE
    turns.served(INTERACTIVE, waiting=[INTERACTIVE, BATCH])
    turns.nobody_waits()
    assert turns.order() == list(RANKS)


def test_what_is_ahead_counts_by_class() -> None:
    """Of a crowd in another class only those that are due before."""
    waiting = {INTERACTIVE: 3, NORMAL: 0, BATCH: 1000}
    assert Shares().ahead(INTERACTIVE, waiting) == 3
    assert Shares().ahead(NORMAL, waiting) == 3
    assert Shares().ahead(BATCH, waiting) == 1003
    assert Shares(1, 1, 1).ahead(INTERACTIVE, waiting) == 6
