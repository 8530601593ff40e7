"""Urgent sessions get slots before others, each class gets its share, and none waits for ever."""

import random
from collections import Counter

import pytest

from memory.keys import Keyspace
from memory.priority import RANKS, ClassTurns, Priority, Shares
from tests.support.effort import effort
from tests.support.memory_fixtures import Backend
from tests.support.slots.rig import RESERVE_MS, SlotRig

INTERACTIVE, NORMAL, BATCH = RANKS
CROWD = effort(300, long=1000)


@pytest.fixture
def rig(backend: Backend) -> SlotRig:
    """A model with one slot, which is taken, on the real and on the fake server in turn."""
    rig = SlotRig(backend.connection, Keyspace(backend.prefix))
    rig.take("z/0")
    return rig


def served(rig: SlotRig, amount: int | None = None, holder: str = "z/0") -> list[str]:
    """Who gets the slot in turn; each comes once."""
    order: list[str] = []
    granted = rig.release(holder)
    while granted and (amount is None or len(order) < amount):
        (name,) = granted
        order.append(name)
        assert rig.take(name)
        if len(order) != amount:
            granted = rig.release(name)
    return order


def crowd(rig: SlotRig, priority: Priority, amount: int, agent: str = "a") -> list[str]:
    """So many sessions of one class begin to wait."""
    names = [f"{agent}/{priority}{number}" for number in range(amount)]
    for number, name in enumerate(names):
        rig.wait(name, number, priority)
    return names


def test_an_urgent_session_is_the_next(rig: SlotRig) -> None:
    """Before all that came earlier, of its own agent and of others."""
    crowd(rig, BATCH, 3)
    crowd(rig, NORMAL, 3, "b")
    rig.wait("a/now", 100, INTERACTIVE)
    assert rig.release("z/0") == ["a/now"]


def test_classes_get_their_shares(rig: SlotRig) -> None:
    """Of a hundred slots 80, 15 and 5, spread evenly."""
    for priority in RANKS:
        crowd(rig, priority, 90)
    classes = [name.partition("/")[2].rstrip("0123456789") for name in served(rig, 100)]
    assert Counter(classes) == {"interactive": 80, "normal": 15, "batch": 5}
    assert "batch" in classes[:22], "no share comes in one piece"


def test_a_slot_that_is_kept_in_vain_is_a_turn(rig: SlotRig) -> None:
    """Urgent sessions whose workers are late or dead keep their places, and the slot from nobody:
    the batch session comes after as many turns as beside those that are in time."""
    names = crowd(rig, INTERACTIVE, 20)
    rig.wait("b/one", 0, BATCH)
    granted, in_vain = rig.release("z/0"), []
    while granted != ["b/one"] and len(in_vain) < 20:
        in_vain += granted
        rig.later(RESERVE_MS)
        granted = rig.grant_next()
    assert in_vain == names[:1] * 16
    assert rig.take("b/one")
    assert rig.release("b/one") == names[:1]


def test_shares_are_a_setting(rig: SlotRig) -> None:
    """Whatever they add up to."""
    rig.shares = Shares(1, 1, 2)
    for priority in RANKS:
        crowd(rig, priority, 9)
    classes = [name.partition("/")[2].rstrip("0123456789") for name in served(rig, 8)]
    assert Counter(classes) == {"interactive": 2, "normal": 2, "batch": 4}


def test_what_a_class_leaves_is_the_others(rig: SlotRig) -> None:
    """No slot is kept for nobody."""
    names = crowd(rig, BATCH, 4)
    assert served(rig) == names


def test_a_class_that_waits_alone_gathers_no_debts(rig: SlotRig) -> None:
    """A thousand calls of the one class cost the other nothing when it comes."""
    crowd(rig, INTERACTIVE, 30)
    crowd(rig, BATCH, 30)
    last = served(rig, 50)[-1]
    rig.wait("b/1", 200, INTERACTIVE)
    rig.wait("b/2", 201, INTERACTIVE)
    assert rig.release(last) == ["b/1"]
    rig.take("b/1")
    assert rig.release("b/1") == ["b/2"]
    rig.take("b/2")
    served(rig, None, "b/2")
    assert not rig.ask("HEXISTS", rig.slots.keys.call_stats, "class_turns"), "nothing is kept"


def test_in_a_class_agents_are_served_in_turn(rig: SlotRig) -> None:
    """One that has a crowd holds up no other."""
    crowd(rig, INTERACTIVE, 3, "busy")
    crowd(rig, INTERACTIVE, 1, "calm")
    assert served(rig) == [
        "busy/interactive0", "calm/interactive0", "busy/interactive1", "busy/interactive2",
    ]  # fmt: skip


def test_a_session_that_has_become_more_urgent_takes_its_new_place(rig: SlotRig) -> None:
    """It waits once, and where it arrived before."""
    names = crowd(rig, BATCH, 3)
    rig.wait("b/1", 50, NORMAL)
    assert rig.wait(names[2], 2, INTERACTIVE).ahead == 0
    assert served(rig) == [names[2], "b/1", names[0], names[1]]


@pytest.mark.parametrize("priority", RANKS)
def test_a_session_that_did_not_come_waits_again_in_its_class(
    rig: SlotRig, priority: Priority
) -> None:
    """Its wake-up was lost: it is as urgent as before."""
    rig.wait("a/1", 1, priority)
    assert rig.release("z/0") == ["a/1"]
    crowd(rig, NORMAL, 1, "b")
    rig.later(RESERVE_MS)
    if priority is not INTERACTIVE:
        assert rig.wait("c/1", 9, INTERACTIVE).ahead == 0
    rig.connection.run(rig.slots.expire(lease_ms=1000, most_reserve_ms=RESERVE_MS))
    counts = rig.connection.run_each(rig.slots.waiting_of())
    expected = Counter([NORMAL, priority])
    if priority is not INTERACTIVE:
        expected[INTERACTIVE] += 1
    assert counts == [expected[one] for one in RANKS]


@pytest.mark.parametrize("seed", range(8))
def test_position_is_how_many_get_a_slot_before(rig: SlotRig, seed: int) -> None:
    """Exactly, over all classes, if no session comes or goes."""
    chosen = random.Random(seed)
    rig.shares = chosen.choice([Shares(), Shares(3, 2, 1), Shares(7, 7, 7)])
    names = {
        f"{chosen.choice('abc')}/{number}": (number, chosen.choice(RANKS)) for number in range(40)
    }
    holder = "z/0"
    for name, (arrived, priority) in names.items():
        rig.wait(name, arrived, priority)
    for name in served(rig, chosen.randrange(1, 15)):
        del names[name]
        holder = name
    told = {name: rig.wait(name, *waiting).ahead for name, waiting in names.items()}
    order = served(rig, None, holder)
    assert order == sorted(told, key=lambda name: told[name])
    assert sorted(told.values()) == list(range(len(names)))


@pytest.mark.parametrize("seed", range(4))
def test_the_scripts_and_the_process_choose_alike(rig: SlotRig, seed: int) -> None:
    """`ClassTurns` is what a worker has for the places in its own process."""
    chosen = random.Random(seed)
    rig.shares, left = Shares(5, 3, 1), Counter[Priority]()
    turns, holder, number = ClassTurns(rig.shares), "z/0", 0
    for _ in range(60):
        for _ in range(chosen.choice([0, 0, 1, 3])):
            priority, number = chosen.choice(RANKS), number + 1
            rig.wait(f"a/{number}", number, priority)
            left[priority] += 1
        waiting = [one for one in turns.order() if left[one]]
        granted = rig.release(holder)
        if not waiting:
            assert granted == []
            rig.take(holder)
            continue
        if len(waiting) == 1:
            turns.nobody_waits()
        else:
            turns.served(waiting[0], waiting=waiting)
        before = dict(left)
        left[waiting[0]] -= 1
        (holder,) = granted
        rig.take(holder)
        counts = rig.connection.run_each(rig.slots.waiting_of())
        assert counts == [left[one] for one in RANKS], (before, waiting)


def test_a_wait_is_estimated_by_class(rig: SlotRig) -> None:
    """As the position is; and for whoever has not come yet, too."""
    rig.release("z/0", took_ms=1000)
    rig.take("z/0")
    crowd(rig, BATCH, CROWD)
    crowd(rig, NORMAL, 2, "b")
    assert rig.occupancy().wait_ms((1,)) == 3000.0
    assert rig.occupancy().wait_ms((1,), priority=INTERACTIVE) == 1000.0
    assert rig.wait("c/1", 1, INTERACTIVE).wait_ms == 1000
    assert rig.wait("c/2", 2, NORMAL).wait_ms == 3000, "behind one of each agent before it"


def test_a_crowd_of_batch_sessions_holds_up_ten_urgent_ones_little(rig: SlotRig) -> None:
    """Positions: at most twice those of an empty queue, and batch moves meanwhile."""
    crowd(rig, BATCH, CROWD)
    told = [rig.wait(f"u/{number}", number, INTERACTIVE).ahead for number in range(20)]
    assert all(ahead <= 2 * number for number, ahead in enumerate(told)), told
    order = served(rig, 30)
    assert sum("batch" in name for name in order[:21]) == 1


def test_members_that_are_none_of_ours_block_no_class(rig: SlotRig) -> None:
    """The turn of a class in which nothing real waits goes to the others."""
    for nonsense in ("!nonsense", "#nonsense", "nonsense"):
        rig.ask("ZADD", rig.slots.keys.waiters, 0, nonsense)
    rig.wait("b/1", 1, BATCH)
    assert rig.release("z/0") == ["b/1"]
