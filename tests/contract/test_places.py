"""Places at a model: taken, held, left, kept for the next in line."""

import re

import pytest

from memory.errors import CorruptData
from memory.keys import Keyspace
from memory.places import TTL_MS, Occupancy
from tests.contract.place_rig import LEASE_MS, MODEL, OTHER, RESERVE_MS, SERVER, PlaceRig
from tests.memory_fixtures import Backend

KEYS = ("line", "turns", "arrivals", "pace")


@pytest.fixture
def rig(backend: Backend) -> PlaceRig:
    """A model with one place, on the real and on the fake server in turn."""
    return PlaceRig(backend.connection, Keyspace(backend.prefix))


# ---- taking and leaving


def test_there_are_as_many_places_as_the_limit_says(rig: PlaceRig) -> None:
    """And no more, whoever asks."""
    rig.limit = 2
    assert rig.take("a/1")
    assert rig.take("b/1")
    assert not rig.take("a/2")
    assert not rig.take("c/1")


def test_models_and_servers_have_places_of_their_own(rig: PlaceRig) -> None:
    """One being full says nothing of another."""
    assert rig.take("a/1")
    assert rig.at_model("other").take("a/2")
    assert not rig.take("a/3")


def test_taking_may_be_repeated(rig: PlaceRig) -> None:
    """Its reply was lost: the same token has one place, whose time begins anew."""
    assert rig.take("a/1")
    assert rig.take("a/1")
    rig.leave("a/1")
    assert rig.take("a/2")


def test_a_place_that_was_left_is_free(rig: PlaceRig) -> None:
    """Leaving twice frees it once."""
    rig.take("a/1")
    assert rig.leave("a/1") == []
    assert rig.take("a/2")
    assert rig.leave("a/1") == []
    assert not rig.take("a/3")


def test_a_refusal_writes_nothing(rig: PlaceRig) -> None:
    """Only STAND has somebody stand in line."""
    rig.take("a/1")
    before = rig.dump()
    assert not rig.take("a/2")
    assert rig.dump() == before


# ---- leases


def test_a_held_place_does_not_end(rig: PlaceRig) -> None:
    """As long as its holder renews it."""
    rig.take("a/1")
    for _ in range(5):
        rig.later(LEASE_MS - 1)
        assert rig.hold("a/1")
        assert rig.call_next() == []
    assert not rig.take("a/2")


def test_a_dead_holders_place_goes_to_the_next_in_line(rig: PlaceRig) -> None:
    """When its lease has ended, and not before."""
    rig.take("a/1")
    rig.stand("b/1", 1)
    rig.later(LEASE_MS - 1)
    assert rig.call_next() == []
    rig.later(1)
    assert rig.call_next() == ["b/1"]
    assert not rig.hold("a/1"), "who held it is told"
    assert rig.take("b/1")


def test_a_late_holder_keeps_a_place_that_nobody_was_given(rig: PlaceRig) -> None:
    """It was only slow; and its place counts as taken all the time."""
    rig.take("a/1")
    rig.later(LEASE_MS * 2)
    assert not rig.take("b/1")
    assert rig.hold("a/1")
    assert rig.call_next() == []
    assert not rig.take("b/1")


def test_without_a_place_there_is_nothing_to_hold(rig: PlaceRig) -> None:
    """A question writes nothing."""
    assert not rig.hold("a/1")
    assert rig.dump() == {}


# ---- the line


def test_who_comes_later_overtakes_nobody(rig: PlaceRig) -> None:
    """While others stand in line no place is free, also one that is nobody's."""
    rig.limit = 2
    rig.take("a/1")
    rig.stand("b/1", 1)
    assert not rig.take("c/1")
    assert rig.call_next() == ["b/1"]


def test_the_line_of_one_agent_is_in_order_of_arrival(rig: PlaceRig) -> None:
    """Whatever the order in which they stood in line."""
    rig.take("a/0")
    for arrived in (3, 11, 2, 1):
        rig.stand(f"a/{arrived}", arrived)
    assert rig.leave("a/0") == ["a/1"]
    assert rig.called_until_all_are() == []
    rig.take("a/1")
    assert rig.leave("a/1") == ["a/2"]


def test_agents_are_served_in_turn(rig: PlaceRig) -> None:
    """However many jobs each has, and however early they came."""
    for number in range(4):
        rig.stand(f"busy/{number}", number)
    rig.stand("calm/1", 100)
    rig.stand("calm/2", 101)
    rig.stand("late/1", 102)
    assert rig.called_until_all_are() == [
        "busy/0", "calm/1", "late/1", "busy/1", "calm/2", "busy/2", "busy/3",
    ]  # fmt: skip


def test_an_agent_that_comes_back_after_each_call_is_the_last_of_the_round(rig: PlaceRig) -> None:
    """It does not starve one that has many jobs, nor is it starved."""
    for number in range(3):
        rig.stand(f"many/{number}", number)
    rig.stand("one/0", 10)
    order = []
    called = rig.call_next()
    for _ in range(5):
        (name,) = called
        order.append(name)
        rig.take(name)
        if name.startswith("one/"):
            rig.stand(name, 20)
        called = rig.leave(name)
    assert order == ["many/0", "one/0", "many/1", "one/0", "many/2"]


def test_a_session_stands_in_line_once(rig: PlaceRig) -> None:
    """Where its head was cancelled and another job came, that one's arrival counts."""
    rig.take("a/0")
    rig.stand("a/1", 1)
    rig.stand("a/2", 2)
    assert rig.stand("a/1", 3).ahead == 1
    assert rig.leave("a/0") == ["a/2"]
    rig.take("a/2")
    assert rig.leave("a/2") == ["a/1"]
    rig.take("a/1")
    assert rig.leave("a/1") == []


def test_several_free_places_call_several(rig: PlaceRig) -> None:
    """Such as after the death of a worker that held many."""
    rig.limit = 3
    for number in range(3):
        rig.take(f"a/{number}")
    for number in range(5):
        rig.stand(f"b/{number}", number)
    rig.later(LEASE_MS)
    assert rig.call_next() == ["b/0", "b/1", "b/2"]


def test_ids_of_any_kind_stand_in_line(rig: PlaceRig) -> None:
    """Digits, colons, braces, percent signs."""
    names = ["1/2", "1/1", "a:b/c%d", "{x}/*", "é/0001"]
    rig.take("z/z")
    for number, name in enumerate(names):
        rig.stand(name, number)
    assert rig.leave("z/z") == ["1/2"]
    rig.take("1/2")
    assert rig.leave("1/2") == ["a:b/c%d"]
    rig.take("a:b/c%d")
    assert rig.called_until_all_are() == []
    assert rig.leave("a:b/c%d") == ["{x}/*"]


# ---- the place that is kept


def test_a_place_is_kept_for_who_is_called(rig: PlaceRig) -> None:
    """Nobody else gets it meanwhile."""
    rig.take("a/1")
    rig.stand("b/1", 1)
    assert rig.leave("a/1") == ["b/1"]
    assert rig.call_next() == [], "it is called once"
    assert not rig.take("c/1")
    assert rig.take("b/1")
    assert not rig.take("c/1")


def test_a_place_kept_in_vain_goes_to_the_next_and_its_session_stands_in_line_again(
    rig: PlaceRig,
) -> None:
    """Its wake-up was lost, or whoever was to publish it died: it is called again."""
    rig.take("a/1")
    rig.stand("b/1", 1)
    rig.stand("c/1", 2)
    assert rig.leave("a/1") == ["b/1"]
    rig.later(RESERVE_MS - 1)
    assert rig.call_next() == []
    rig.later(1)
    assert rig.call_next() == ["c/1"]
    assert rig.take("c/1")
    assert rig.leave("c/1") == ["b/1"]


def test_a_place_kept_for_a_job_that_is_gone_is_passed_on(rig: PlaceRig) -> None:
    """It was cancelled: it does not come back into the line."""
    rig.take("a/1")
    rig.stand("b/1", 1)
    rig.stand("c/1", 2)
    rig.leave("a/1")
    assert rig.pass_on("b/1") == ["c/1"]
    assert rig.pass_on("b/1") == []
    rig.take("c/1")
    rig.later(RESERVE_MS)
    assert rig.leave("c/1") == []


def test_passing_on_takes_nothing_from_a_session_that_came_or_stands_in_line(
    rig: PlaceRig,
) -> None:
    """A late word about it is none."""
    rig.stand("b/1", 1)
    assert rig.call_next() == ["b/1"]
    rig.take("b/1")
    rig.stand("c/1", 2)
    assert rig.pass_on("b/1") == []
    assert not rig.take("d/1")
    assert rig.pass_on("c/1") == []
    assert rig.leave("b/1") == ["c/1"]


def test_standing_while_a_place_is_kept_changes_nothing(rig: PlaceRig) -> None:
    """It is called already."""
    rig.stand("b/1", 1)
    rig.call_next()
    before = rig.dump()
    assert rig.stand("b/1", 1).ahead == 0
    assert rig.dump() == before
    assert rig.take("b/1")


def test_a_line_whose_round_was_lost_is_still_served(rig: PlaceRig) -> None:
    """Somebody deleted a key: nobody waits for ever."""
    rig.take("a/1")
    rig.stand("b/1", 1)
    rig.stand("b/2", 2)
    rig.ask("DEL", rig.places.keys.turns, rig.places.keys.arrivals)
    assert rig.leave("a/1") == ["b/1"]
    rig.take("b/1")
    assert rig.leave("b/1") == ["b/2"]


def test_a_member_that_is_none_of_ours_blocks_nobody(rig: PlaceRig) -> None:
    """Somebody wrote into a key: the server is not kept busy for ever, and the rest goes on."""
    rig.ask("ZADD", rig.places.keys.line, 0, "nonsense")
    assert rig.call_next() == []
    rig.stand("b/1", 1)
    assert rig.call_next() == ["b/1"]


def test_a_lower_limit_calls_nobody_before_it_is_kept(rig: PlaceRig) -> None:
    """And a higher one at once."""
    rig.limit = 2
    rig.take("a/1")
    rig.take("a/2")
    rig.stand("b/1", 1)
    rig.limit = 1
    assert rig.leave("a/1") == []
    assert rig.leave("a/2") == ["b/1"]
    rig.stand("b/2", 2)
    rig.limit = 2
    assert rig.call_next() == ["b/2"]


# ---- what is told


def test_position_is_how_many_are_called_before(rig: PlaceRig) -> None:
    """Exactly, if nobody comes or goes."""
    rig.take("z/0")
    told = {}
    arrivals = [("a/1", 1), ("a/2", 2), ("a/3", 3), ("b/1", 4), ("c/1", 5), ("b/2", 6), ("a/0", 0)]
    for name, arrived in arrivals:
        rig.stand(name, arrived)
    for name, arrived in arrivals:
        told[name] = rig.stand(name, arrived).ahead
    order = rig.leave("z/0")
    rig.take(order[0])
    while called := rig.leave(order[-1]):
        order += called
        rig.take(called[0])
    assert order == sorted(told, key=lambda name: told[name])
    assert sorted(told.values()) == list(range(len(arrivals)))


def test_the_wait_is_estimated_from_the_mean_length_of_calls(rig: PlaceRig) -> None:
    """Unknown before the first call has ended."""
    rig.limit = 2
    rig.take("a/1")
    rig.take("a/2")
    assert rig.stand("b/1", 1).wait_ms is None
    rig.leave("a/1", took_ms=1000)
    rig.take("b/1")
    assert rig.stand("b/2", 2).wait_ms == 500
    assert rig.stand("b/3", 3).wait_ms == 1000
    others = rig.at_model("fresh")
    for length_ms in [1000] + [2000] * 60:
        others.take("c/1")
        others.leave("c/1", took_ms=length_ms)
    mean_ms = others.occupancy().call_ms
    assert mean_ms is not None
    assert 1990 < mean_ms < 2000, "the mean is one of the last calls"


def test_who_had_no_place_does_not_count_as_a_call(rig: PlaceRig) -> None:
    """A repeat of LEAVE would make the mean lie."""
    rig.take("a/1")
    rig.leave("a/1", took_ms=1000)
    rig.leave("a/1", took_ms=9000)
    assert rig.ask("HGETALL", rig.places.keys.pace) == [b"calls", b"1", b"mean_ms", b"1000"]


def test_the_occupancy_tells_places_line_and_mean(rig: PlaceRig) -> None:
    """What `griot status` shows."""
    rig.take("a/1")
    rig.leave("a/1", took_ms=1500)
    rig.take("a/2")
    rig.stand("b/1", 1)
    rig.stand("b/2", 2)
    assert rig.occupancy() == Occupancy(taken=(1,), waiting=2, call_ms=1500.0)
    assert rig.occupancy().wait_ms(1) == 4500.0
    assert Occupancy((1, 0), 0, None).wait_ms(1) == 0.0
    assert Occupancy((1, 1), 0, None).wait_ms(1) is None
    assert Occupancy((1, 1), 3, 1000.0).wait_ms(1) == 2000.0


# ---- keys


def test_every_key_ends_by_itself(rig: PlaceRig) -> None:
    """A day after the last use of a model nothing is left of it."""
    rig.take("a/1")
    rig.stand("b/1", 1)
    rig.leave("x", took_ms=1)
    rig.leave("a/1", took_ms=1)
    rig.stand("b/2", 2)
    keys = rig.places.keys
    for name in [*keys.places, *(getattr(keys, name) for name in KEYS)]:
        ttl_ms = rig.ask("PTTL", name)
        assert isinstance(ttl_ms, int)
        assert TTL_MS - 60_000 < ttl_ms <= TTL_MS, name


@pytest.mark.parametrize("name", [*KEYS, "places"])
def test_a_key_of_another_type_is_an_error_and_nothing_is_written(rig: PlaceRig, name: str) -> None:
    """PLACE looks at all keys: what it lets through, LEAVE will not refuse."""
    key = rig.places.keys.places[0] if name == "places" else getattr(rig.places.keys, name)
    rig.ask("SET", key, "mine", "PX", 60_000)
    before = rig.dump()
    asks = [lambda: rig.take("a/1"), lambda: rig.stand("a/1", 1)]
    others = {
        "places": [lambda: rig.hold("a/1"), lambda: rig.leave("a/1"), rig.call_next],
        "pace": [lambda: rig.leave("a/1")],
    }
    for ask in (*asks, *others.get(name, [rig.call_next])):
        with pytest.raises(CorruptData, match="holds a string"):
            ask()
    assert rig.dump() == before


# ---- several servers


@pytest.fixture
def wide(rig: PlaceRig) -> PlaceRig:
    """Two servers with one place each."""
    rig.servers = (SERVER, OTHER)
    return rig


def test_each_server_has_its_places(wide: PlaceRig) -> None:
    """The first of those that may be asked is taken where it has one free."""
    assert wide.take_at("a/1") == SERVER
    assert wide.take_at("a/2") == OTHER
    assert wide.take_at("a/3") is None
    wide.leave("a/2")
    assert wide.take_at("a/3", OTHER, SERVER) == OTHER
    assert wide.take_at("a/3") == OTHER, "a repeat gets the same place"


def test_a_place_moves_to_a_server_that_may_be_asked(wide: PlaceRig) -> None:
    """At once, for it was let in before; the one that is left goes to the next in line."""
    wide.take_at("a/1")
    wide.stand("b/1", 1)
    assert wide.take_at("a/1", OTHER) == OTHER
    assert wide.hold("a/1")
    assert wide.occupancy().taken == (0, 1)
    assert wide.call_next() == ["b/1"]


def test_a_place_that_cannot_move_is_lost(wide: PlaceRig) -> None:
    """The server failed, and the others are full."""
    wide.take_at("a/1")
    wide.take_at("a/2")
    assert wide.take_at("a/1", OTHER) is None
    assert not wide.hold("a/1")
    assert wide.occupancy().taken == (0, 1)


def test_a_server_that_may_not_be_asked_gives_no_place(wide: PlaceRig) -> None:
    """It is down, or lacks the model."""
    assert wide.take_at("a/1", OTHER) == OTHER
    assert wide.take_at("a/2", OTHER) is None
    assert wide.take_at("a/2", SERVER) == SERVER


def test_one_line_serves_all_servers(wide: PlaceRig) -> None:
    """Whichever has a place free first: the first in line gets it."""
    wide.take_at("a/1")
    wide.take_at("a/2")
    wide.stand("b/1", 1)
    wide.stand("b/2", 2)
    assert wide.stand("b/3", 3).ahead == 2
    assert wide.leave("a/2") == ["b/1"]
    assert wide.take_at("b/1") == OTHER
    assert wide.leave("a/1") == ["b/2"]
    assert wide.take_at("b/2", OTHER, SERVER) == SERVER, "the place that is kept goes first"
    assert wide.hold("b/1")
    assert wide.hold("b/2")
    assert wide.occupancy() == Occupancy(taken=(1, 1), waiting=1, call_ms=1000.0)


def test_calls_are_spread_over_the_servers(wide: PlaceRig) -> None:
    """One place at each in turn."""
    wide.limit = 3
    for number in range(4):
        wide.stand(f"a/{number}", number)
    assert len(wide.call_next()) == 4
    assert wide.occupancy().taken == (2, 2)


def test_a_place_kept_at_a_server_that_may_not_be_asked_any_more_is_given_up(
    wide: PlaceRig,
) -> None:
    """The session was called, so it goes before the line where another place is free."""
    wide.take_at("a/1", OTHER)
    wide.stand("b/1", 1)
    assert wide.call_next() == ["b/1"]
    wide.leave("a/1")
    wide.stand("c/1", 2)
    assert wide.take_at("b/1", OTHER) == OTHER
    assert wide.call_next() == ["c/1"]
    assert wide.take_at("c/1", OTHER) is None
    assert wide.occupancy().taken == (0, 1)


def test_a_dead_holder_is_noticed_at_any_server(wide: PlaceRig) -> None:
    """Its place, and no other, is given away."""
    wide.take_at("a/1")
    wide.take_at("a/2")
    wide.stand("b/1", 1)
    wide.later(LEASE_MS - 1)
    assert wide.hold("a/1")
    wide.later(1)
    assert wide.call_next() == ["b/1"]
    assert wide.take_at("b/1") == OTHER


def test_the_keys_of_a_model_lie_in_one_slot() -> None:
    """Whatever its name and its servers' are made of."""
    keys = Keyspace().places("hf.co/a/{b}:Q4", ["http://[::1]:11434", "http://{x}:1"])
    for key in [*keys.places, *(getattr(keys, name) for name in KEYS)]:
        assert re.findall(r"[{](.*?)[}]", key) == [keys.tag]
    assert len(set(keys.places)) == 2
    assert keys.tag != Keyspace().places(MODEL, []).tag
