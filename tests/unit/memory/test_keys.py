"""Keys of the memory: distinct for distinct sessions, one slot per session, no globs."""

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from memory import InvalidInput, Keyspace
from memory.ids import MAX_ID_BYTES, encode_id, new_uuid
from memory.keys import SessionKeys
from tests.support.key_kinds import KINDS

_CHARACTERS = st.characters(exclude_categories=["Cs"])
IDS = st.text(_CHARACTERS, min_size=1, max_size=40) | st.text(":{}*?[]%/ab\x00\n", min_size=1)
ODD_IDS = [
    ":",
    "a:b",
    "*",
    "?",
    "[a]",
    "{}",
    "{a}",
    "\n",
    "\x00",
    "é",
    "e\u0301",
    "%3A",
    " ",
    "-",
    ".",
]


def _all_keys(keys: SessionKeys) -> list[str]:
    names = [
        name
        for name in SessionKeys.__slots__
        if name not in ("agent_id", "session_id", "cipher", "is_archived")
    ]
    return [getattr(keys, name) for name in names]


@given(st.tuples(IDS, IDS), st.tuples(IDS, IDS))
def test_distinct_sessions_have_distinct_keys(one: tuple[str, str], other: tuple[str, str]) -> None:
    """No two pairs of ids share any key."""
    keyspace = Keyspace()
    shared = set(_all_keys(keyspace.session(*one))) & set(_all_keys(keyspace.session(*other)))

    assert bool(shared) == (one == other)


@given(IDS, IDS)
def test_all_keys_of_a_session_lie_in_one_slot(agent: str, session: str) -> None:
    """So that one script may touch them together on a cluster."""
    keys = Keyspace().session(agent, session)

    assert len({key_slot(key.encode()) for key in _all_keys(keys)}) == 1


@given(IDS, IDS)
def test_an_id_in_a_key_has_no_special_characters(agent: str, session: str) -> None:
    """No separator, no brace, no glob, no control character."""
    key = Keyspace().session(agent, session).history

    assert re.fullmatch(r"ecowas:history:[A-Za-z0-9._~@%-]+:[A-Za-z0-9._~@%-]+", key)
    assert Keyspace().parse_history(key).agent_id == agent
    assert Keyspace().parse_history(key).session_id == session


@given(IDS, IDS, IDS, IDS)
def test_session_data_of_two_sessions_is_apart(a: str, b: str, c: str, d: str) -> None:
    """Session `a`, key `b:c` is not session `a:b`, key `c`."""
    keyspace = Keyspace()

    assert (keyspace.session_data(a, b) == keyspace.session_data(c, d)) == ((a, b) == (c, d))
    assert keyspace.session_data(a, b) != keyspace.session_fields(a)


@pytest.mark.parametrize("odd", ODD_IDS)
def test_an_odd_id_is_kept_apart_from_every_other(odd: str) -> None:
    """NFC and NFD, separators, globs: refused or kept byte for byte; here all are kept."""
    others = [encode_id(other, what="id") for other in ODD_IDS if other != odd]

    assert encode_id(odd, what="id") not in others


def test_plain_ids_stand_in_keys_as_they_are() -> None:
    """The documented key format."""
    keys = Keyspace().session("energy", "user-123-session-1")

    assert keys.history == "ecowas:history:energy:user-123-session-1"
    assert keys.queue == "ecowas:queue:{ecowas:history:energy:user-123-session-1}"
    assert Keyspace().state("supervisor") == "ecowas:state:supervisor"
    assert Keyspace("x:y").session_data("s", "metadata") == "x:y:session:s:metadata"


@pytest.mark.parametrize(
    "wrong", ["", "\ud800", "a\udfff", "x" * (MAX_ID_BYTES + 1), "é" * MAX_ID_BYTES, 1, None, b"a"]
)
def test_an_impossible_id_is_refused(wrong: object) -> None:
    """Empty, not Unicode, too long, not a string."""
    with pytest.raises(InvalidInput):
        encode_id(wrong, what="id")  # type: ignore[arg-type]  # a wrong type is meant


def test_an_id_of_a_megabyte_is_refused_and_one_at_the_limit_is_not() -> None:
    """The limit counts bytes of UTF-8."""
    with pytest.raises(InvalidInput):
        encode_id("x" * 1_000_000, what="id")
    assert encode_id("x" * MAX_ID_BYTES, what="id")


@pytest.mark.parametrize("prefix", ["", "a b", "{a}", "*", ":a", "a:", "é", "ab\n"])
def test_an_impossible_prefix_is_refused(prefix: str) -> None:
    """A prefix cannot act as a glob or a hash tag either."""
    with pytest.raises(InvalidInput):
        Keyspace(prefix)


def test_every_kind_of_key_has_a_name_of_its_own() -> None:
    """The word after the prefix, and whether something follows it, tells what a key is."""
    words = [kind.pattern.partition(":")[:2] for kind in KINDS]

    assert len(set(words)) == len(words)


def test_a_new_uuid_is_one_and_random() -> None:
    """As `uuid.uuid4` makes them."""
    made = {new_uuid() for _ in range(1000)}
    assert len(made) == 1000
    assert {(uuid.UUID(one).version, str(uuid.UUID(one)) == one) for one in made} == {(4, True)}
