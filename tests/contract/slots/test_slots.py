"""The slots of a model: taken, renewed, released, reserved for the next waiter."""

import re

import pytest

from memory.errors import CorruptData
from memory.keys import Keyspace
from memory.lifetimes import SLOTS_TTL_MS
from memory.priority import Priority
from memory.slots.occupancy import Occupancy
from tests.support.memory_fixtures import Backend
from tests.support.slots.rig import LEASE_MS, MODEL, OTHER, RESERVE_MS, SERVER, SlotRig

WAITING = {Priority.INTERACTIVE: 0, Priority.NORMAL: 2, Priority.BATCH: 0}
KEYS = ("waiters", "round_robin", "enqueued_at", "call_stats")


@pytest.fixture
def rig(backend: Backend) -> SlotRig:
    """A model with one slot, on the real and on the fake server in turn."""
    return SlotRig(backend.connection, Keyspace(backend.prefix))


# ---- taking and leaving


def test_there_are_as_many_slots_as_the_limit_says(rig: SlotRig) -> None:
    """And no more, whoever asks."""
    rig.limit = 2
    assert rig.take("a/1")
    assert rig.take("b/1")
    assert not rig.take("a/2")
    assert not rig.take("c/1")


def test_models_and_servers_have_slots_of_their_own(rig: SlotRig) -> None:
    """One being full says nothing of another."""
    assert rig.take("a/1")
    assert rig.at_model("other").take("a/2")
    assert not rig.take("a/3")


def test_taking_may_be_repeated(rig: SlotRig) -> None:
    """Its reply was lost: the same token has one slot, whose lease begins anew."""
    assert rig.take("a/1")
    assert rig.take("a/1")
    rig.release("a/1")
    assert rig.take("a/2")


def test_a_slot_that_was_left_is_free(rig: SlotRig) -> None:
    """Leaving twice frees it once."""
    rig.take("a/1")
    assert rig.release("a/1") == []
    assert rig.take("a/2")
    assert rig.release("a/1") == []
    assert not rig.take("a/3")


def test_a_refusal_writes_nothing(rig: SlotRig) -> None:
    """Only WAIT_FOR_SLOT makes a waiter of a session."""
    rig.take("a/1")
    before = rig.dump()
    assert not rig.take("a/2")
    assert rig.dump() == before


# ---- leases


def test_a_held_slot_does_not_end(rig: SlotRig) -> None:
    """As long as its holder renews it."""
    rig.take("a/1")
    for _ in range(5):
        rig.later(LEASE_MS - 1)
        assert rig.renew("a/1")
        assert rig.grant_next() == []
    assert not rig.take("a/2")


def test_a_dead_holders_slot_goes_to_the_next_waiter(rig: SlotRig) -> None:
    """When its lease has ended, and not before."""
    rig.take("a/1")
    rig.wait("b/1", 1)
    rig.later(LEASE_MS - 1)
    assert rig.grant_next() == []
    rig.later(1)
    assert rig.grant_next() == ["b/1"]
    assert not rig.renew("a/1"), "who held it is told"
    assert rig.take("b/1")


def test_a_late_holder_keeps_a_slot_that_nobody_was_given(rig: SlotRig) -> None:
    """It was only slow; and its slot counts as taken all the time."""
    rig.take("a/1")
    rig.later(LEASE_MS * 2)
    assert not rig.take("b/1")
    assert rig.renew("a/1")
    assert rig.grant_next() == []
    assert not rig.take("b/1")


def test_without_a_slot_there_is_nothing_to_hold(rig: SlotRig) -> None:
    """A question writes nothing."""
    assert not rig.renew("a/1")
    assert rig.dump() == {}


def test_servers_have_as_many_slots_as_each_is_given(rig: SlotRig) -> None:
    """Those that are taken, those that are granted, and the estimate of the wait."""
    rig.servers, rig.own_limits = (SERVER, OTHER), {OTHER: 3}
    taken = [rig.take_at(f"a/{number}") for number in range(5)]
    assert taken == [SERVER, OTHER, OTHER, OTHER, None]
    for number in range(4):
        rig.wait(f"b/{number}", number)
    for number in range(4):
        rig.connection.run(rig.slots.release(f"a/{number}", took_ms=1000))
    assert rig.grant_next() == [f"b/{number}" for number in range(4)]
    assert rig.occupancy().taken == (1, 3)
    assert rig.wait("c/1", 9).wait_ms == 250


# ---- the waiters


def test_a_later_session_overtakes_none(rig: SlotRig) -> None:
    """While others wait no slot is free for it, also one that no session has."""
    rig.limit = 2
    rig.take("a/1")
    rig.wait("b/1", 1)
    assert not rig.take("c/1")
    assert rig.grant_next() == ["b/1"]


def test_the_line_of_one_agent_is_in_order_of_arrival(rig: SlotRig) -> None:
    """Whatever the order in which they began to wait."""
    rig.take("a/0")
    for arrived in (3, 11, 2, 1):
        rig.wait(f"a/{arrived}", arrived)
    assert rig.release("a/0") == ["a/1"]
    assert rig.serve_all() == []
    rig.take("a/1")
    assert rig.release("a/1") == ["a/2"]


def test_agents_are_served_in_turn(rig: SlotRig) -> None:
    """However many jobs each has, and however early they came."""
    for number in range(4):
        rig.wait(f"busy/{number}", number)
    rig.wait("calm/1", 100)
    rig.wait("calm/2", 101)
    rig.wait("late/1", 102)
    assert rig.serve_all() == [
        "busy/0", "calm/1", "late/1", "busy/1", "calm/2", "busy/2", "busy/3",
    ]  # fmt: skip


def test_an_agent_that_comes_back_after_each_call_is_the_last_of_the_round(rig: SlotRig) -> None:
    """It does not starve one that has many jobs, nor is it starved."""
    for number in range(3):
        rig.wait(f"many/{number}", number)
    rig.wait("one/0", 10)
    order = []
    granted = rig.grant_next()
    for _ in range(5):
        (name,) = granted
        order.append(name)
        rig.take(name)
        if name.startswith("one/"):
            rig.wait(name, 20)
        granted = rig.release(name)
    assert order == ["many/0", "one/0", "many/1", "one/0", "many/2"]


def test_a_session_waits_once(rig: SlotRig) -> None:
    """Where its head was cancelled and another job came, that one's arrival counts."""
    rig.take("a/0")
    rig.wait("a/1", 1)
    rig.wait("a/2", 2)
    assert rig.wait("a/1", 3).ahead == 1
    assert rig.release("a/0") == ["a/2"]
    rig.take("a/2")
    assert rig.release("a/2") == ["a/1"]
    rig.take("a/1")
    assert rig.release("a/1") == []


def test_several_free_slots_call_several(rig: SlotRig) -> None:
    """Such as after the death of a worker that held many."""
    rig.limit = 3
    for number in range(3):
        rig.take(f"a/{number}")
    for number in range(5):
        rig.wait(f"b/{number}", number)
    rig.later(LEASE_MS)
    assert rig.grant_next() == ["b/0", "b/1", "b/2"]


def test_ids_of_any_kind_wait(rig: SlotRig) -> None:
    """Digits, colons, braces, percent signs."""
    names = ["1/2", "1/1", "a:b/c%d", "{x}/*", "é/0001"]
    rig.take("z/z")
    for number, name in enumerate(names):
        rig.wait(name, number)
    assert rig.release("z/z") == ["1/2"]
    rig.take("1/2")
    assert rig.release("1/2") == ["a:b/c%d"]
    rig.take("a:b/c%d")
    assert rig.serve_all() == []
    assert rig.release("a:b/c%d") == ["{x}/*"]


# ---- the reserved slot


def test_a_slot_is_reserved_for_the_granted_session(rig: SlotRig) -> None:
    """No other session gets it meanwhile."""
    rig.take("a/1")
    rig.wait("b/1", 1)
    assert rig.release("a/1") == ["b/1"]
    assert rig.grant_next() == [], "it is granted one slot"
    assert not rig.take("c/1")
    assert rig.take("b/1")
    assert not rig.take("c/1")


def test_a_slot_reserved_in_vain_goes_to_the_next_and_its_session_waits_again(
    rig: SlotRig,
) -> None:
    """Its wake-up was lost, or its publisher died: it is granted a slot again."""
    rig.take("a/1")
    rig.wait("b/1", 1)
    rig.wait("c/1", 2)
    assert rig.release("a/1") == ["b/1"]
    rig.later(RESERVE_MS - 1)
    assert rig.grant_next() == []
    rig.later(1)
    assert rig.grant_next() == ["c/1"]
    assert rig.take("c/1")
    assert rig.release("c/1") == ["b/1"]


def test_a_slot_kept_for_a_job_that_is_gone_is_passed_on(rig: SlotRig) -> None:
    """It was cancelled: it does not wait again."""
    rig.take("a/1")
    rig.wait("b/1", 1)
    rig.wait("c/1", 2)
    rig.release("a/1")
    assert rig.unreserve("b/1") == ["c/1"]
    assert rig.unreserve("b/1") == []
    rig.take("c/1")
    rig.later(RESERVE_MS)
    assert rig.release("c/1") == []


def test_unreserving_takes_nothing_from_a_session_that_came_or_waits(
    rig: SlotRig,
) -> None:
    """A late word about it is none."""
    rig.wait("b/1", 1)
    assert rig.grant_next() == ["b/1"]
    rig.take("b/1")
    rig.wait("c/1", 2)
    assert rig.unreserve("b/1") == []
    assert not rig.take("d/1")
    assert rig.unreserve("c/1") == []
    assert rig.release("b/1") == ["c/1"]


def test_standing_while_a_slot_is_kept_changes_nothing(rig: SlotRig) -> None:
    """It has a slot reserved already."""
    rig.wait("b/1", 1)
    rig.grant_next()
    before = rig.dump()
    assert rig.wait("b/1", 1).ahead == 0
    assert rig.dump() == before
    assert rig.take("b/1")


def test_a_line_whose_round_was_lost_is_still_served(rig: SlotRig) -> None:
    """A key was deleted: no session waits for ever."""
    rig.take("a/1")
    rig.wait("b/1", 1)
    rig.wait("b/2", 2)
    rig.ask("DEL", rig.slots.keys.round_robin, rig.slots.keys.enqueued_at)
    assert rig.release("a/1") == ["b/1"]
    rig.take("b/1")
    assert rig.release("b/1") == ["b/2"]


def test_a_member_that_is_none_of_ours_blocks_nobody(rig: SlotRig) -> None:
    """Somebody wrote into a key: the server is not kept busy for ever, and the rest goes on."""
    rig.ask("ZADD", rig.slots.keys.waiters, 0, "nonsense")
    assert rig.grant_next() == []
    rig.wait("b/1", 1)
    assert rig.grant_next() == ["b/1"]


def test_a_lower_limit_calls_nobody_before_it_is_kept(rig: SlotRig) -> None:
    """And a higher one at once."""
    rig.limit = 2
    rig.take("a/1")
    rig.take("a/2")
    rig.wait("b/1", 1)
    rig.limit = 1
    assert rig.release("a/1") == []
    assert rig.release("a/2") == ["b/1"]
    rig.wait("b/2", 2)
    rig.limit = 2
    assert rig.grant_next() == ["b/2"]


# ---- what is told


def test_position_is_how_many_get_a_slot_before(rig: SlotRig) -> None:
    """Exactly, if no session comes or goes."""
    rig.take("z/0")
    told = {}
    arrivals = [("a/1", 1), ("a/2", 2), ("a/3", 3), ("b/1", 4), ("c/1", 5), ("b/2", 6), ("a/0", 0)]
    for name, arrived in arrivals:
        rig.wait(name, arrived)
    for name, arrived in arrivals:
        told[name] = rig.wait(name, arrived).ahead
    order = rig.release("z/0")
    rig.take(order[0])
    while granted := rig.release(order[-1]):
        order += granted
        rig.take(granted[0])
    assert order == sorted(told, key=lambda name: told[name])
    assert sorted(told.values()) == list(range(len(arrivals)))


def test_the_wait_is_estimated_from_the_mean_length_of_calls(rig: SlotRig) -> None:
    """Unknown before the first call has ended."""
    rig.limit = 2
    rig.take("a/1")
    rig.take("a/2")
    assert rig.wait("b/1", 1).wait_ms is None
    rig.release("a/1", took_ms=1000)
    rig.take("b/1")
    assert rig.wait("b/2", 2).wait_ms == 500
    assert rig.wait("b/3", 3).wait_ms == 1000
    others = rig.at_model("fresh")
    for length_ms in [1000] + [2000] * 60:
        others.take("c/1")
        others.release("c/1", took_ms=length_ms)
    mean_ms = others.occupancy().call_ms
    assert mean_ms is not None
    assert 1990 < mean_ms < 2000, "the mean is one of the last calls"


def test_who_had_no_slot_does_not_count_as_a_call(rig: SlotRig) -> None:
    """A repeat of RELEASE_SLOT would make the mean wrong."""
    rig.take("a/1")
    rig.release("a/1", took_ms=1000)
    rig.release("a/1", took_ms=9000)
    assert rig.ask("HGETALL", rig.slots.keys.call_stats) == [b"calls", b"1", b"mean_ms", b"1000"]


def test_the_occupancy_tells_slots_line_and_mean(rig: SlotRig) -> None:
    """What `griot status` shows."""
    rig.take("a/1")
    rig.release("a/1", took_ms=1500)
    rig.take("a/2")
    rig.wait("b/1", 1)
    rig.wait("b/2", 2)
    assert rig.occupancy() == Occupancy((1,), WAITING, call_ms=1500.0)
    assert rig.occupancy().wait_ms((1,)) == 4500.0
    assert Occupancy((1, 0), {}, None).wait_ms((1, 1)) == 0.0
    assert Occupancy((1, 1), {}, None).wait_ms((1, 1)) is None
    assert Occupancy((1, 1), {Priority.NORMAL: 3}, 1000.0).wait_ms((1, 1)) == 2000.0


# ---- keys


def test_every_key_ends_by_itself(rig: SlotRig) -> None:
    """A day after the last use of a model nothing is left of it."""
    rig.take("a/1")
    rig.wait("b/1", 1)
    rig.release("x", took_ms=1)
    rig.release("a/1", took_ms=1)
    rig.wait("b/2", 2)
    keys = rig.slots.keys
    for name in [*keys.slots, *(getattr(keys, name) for name in KEYS)]:
        ttl_ms = rig.ask("PTTL", name)
        assert isinstance(ttl_ms, int)
        assert SLOTS_TTL_MS - 60_000 < ttl_ms <= SLOTS_TTL_MS, name


@pytest.mark.parametrize("name", [*KEYS, "slots"])
def test_a_key_of_another_type_is_an_error_and_nothing_is_written(rig: SlotRig, name: str) -> None:
    """TAKE_SLOT checks all keys: what it lets through, RELEASE_SLOT will not refuse."""
    key = rig.slots.keys.slots[0] if name == "slots" else getattr(rig.slots.keys, name)
    rig.ask("SET", key, "mine", "PX", 60_000)
    before = rig.dump()
    asks = [lambda: rig.take("a/1"), lambda: rig.wait("a/1", 1)]
    others = {
        "slots": [
            lambda: rig.renew("a/1"),
            lambda: rig.release("a/1"),
            lambda: rig.connection.run(
                rig.slots.expire(lease_ms=LEASE_MS, most_reserve_ms=RESERVE_MS)
            ),
            rig.grant_next,
        ],
        "enqueued_at": [
            lambda: rig.connection.run(
                rig.slots.expire(lease_ms=LEASE_MS, most_reserve_ms=RESERVE_MS)
            )
        ],
        "call_stats": [lambda: rig.release("a/1")],
    }
    for ask in (*asks, *others.get(name, [rig.grant_next])):
        with pytest.raises(CorruptData, match="holds a string"):
            ask()
    assert rig.dump() == before


# ---- several servers


@pytest.fixture
def wide(rig: SlotRig) -> SlotRig:
    """Two servers with one slot each."""
    rig.servers = (SERVER, OTHER)
    return rig


def test_each_server_has_its_slots(wide: SlotRig) -> None:
    """The first of those that may be asked is taken where it has one free."""
    assert wide.take_at("a/1") == SERVER
    assert wide.take_at("a/2") == OTHER
    assert wide.take_at("a/3") is None
    wide.release("a/2")
    assert wide.take_at("a/3", OTHER, SERVER) == OTHER
    assert wide.take_at("a/3") == OTHER, "a repeat gets the same slot"


def test_a_slot_moves_to_a_server_that_may_be_asked(wide: SlotRig) -> None:
    """At once, for it had one before; the released one goes to the next waiter."""
    wide.take_at("a/1")
    wide.wait("b/1", 1)
    assert wide.take_at("a/1", OTHER) == OTHER
    assert wide.renew("a/1")
    assert wide.occupancy().taken == (0, 1)
    assert wide.grant_next() == ["b/1"]


def test_a_slot_that_cannot_move_is_lost(wide: SlotRig) -> None:
    """The server failed, and the others are full."""
    wide.take_at("a/1")
    wide.take_at("a/2")
    assert wide.take_at("a/1", OTHER) is None
    assert not wide.renew("a/1")
    assert wide.occupancy().taken == (0, 1)


def test_a_server_that_may_not_be_asked_gives_no_slot(wide: SlotRig) -> None:
    """It is down, or lacks the model."""
    assert wide.take_at("a/1", OTHER) == OTHER
    assert wide.take_at("a/2", OTHER) is None
    assert wide.take_at("a/2", SERVER) == SERVER


def test_one_line_serves_all_servers(wide: SlotRig) -> None:
    """Whichever has a slot free first: the first waiter gets it."""
    wide.take_at("a/1")
    wide.take_at("a/2")
    wide.wait("b/1", 1)
    wide.wait("b/2", 2)
    assert wide.wait("b/3", 3).ahead == 2
    assert wide.release("a/2") == ["b/1"]
    assert wide.take_at("b/1") == OTHER
    assert wide.release("a/1") == ["b/2"]
    assert wide.take_at("b/2", OTHER, SERVER) == SERVER, "the reserved slot goes first"
    assert wide.renew("b/1")
    assert wide.renew("b/2")
    assert wide.occupancy() == Occupancy((1, 1), {**WAITING, Priority.NORMAL: 1}, 1000.0)


def test_calls_are_spread_over_the_servers(wide: SlotRig) -> None:
    """One slot at each in turn."""
    wide.limit = 3
    for number in range(4):
        wide.wait(f"a/{number}", number)
    assert len(wide.grant_next()) == 4
    assert wide.occupancy().taken == (2, 2)


def test_a_slot_kept_at_a_server_that_may_not_be_asked_any_more_is_given_up(
    wide: SlotRig,
) -> None:
    """The session has a slot reserved, so it goes before the waiters where another is free."""
    wide.take_at("a/1", OTHER)
    wide.wait("b/1", 1)
    assert wide.grant_next() == ["b/1"]
    wide.release("a/1")
    wide.wait("c/1", 2)
    assert wide.take_at("b/1", OTHER) == OTHER
    assert wide.grant_next() == ["c/1"]
    assert wide.take_at("c/1", OTHER) is None
    assert wide.occupancy().taken == (0, 1)


def test_a_dead_holder_is_noticed_at_any_server(wide: SlotRig) -> None:
    """Its slot, and no other, is granted again."""
    wide.take_at("a/1")
    wide.take_at("a/2")
    wide.wait("b/1", 1)
    wide.later(LEASE_MS - 1)
    assert wide.renew("a/1")
    wide.later(1)
    assert wide.grant_next() == ["b/1"]
    assert wide.take_at("b/1") == OTHER


def test_the_keys_of_a_model_lie_in_one_slot() -> None:
    """Whatever its name and its servers' are made of."""
    keys = Keyspace().slots("hf.co/a/{b}:Q4", ["http://[::1]:11434", "http://{x}:1"])
    for key in [*keys.slots, *(getattr(keys, name) for name in KEYS)]:
        assert re.findall(r"[{](.*?)[}]", key) == [keys.tag]
    assert len(set(keys.slots)) == 2
    assert keys.tag != Keyspace().slots(MODEL, []).tag
