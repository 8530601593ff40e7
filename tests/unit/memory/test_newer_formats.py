"""A record that a newer Griot has written is refused by its version, and nothing of it is shown."""

import orjson
import pytest

from memory import CannotDecrypt, EventType, Keyspace, NewerFormat
from memory.encryption.keyring import VERSION as RECORD_VERSION
from memory.mailbox.outbox import End, TakenEnds
from memory.mailbox.words import decrypted_callbacks, decrypted_envelope
from memory.records import history, values
from memory.records.event import ENDINGS, VERSION, Event, packed, parsed
from tests.support.encryption import keyspace_of

KEYS = Keyspace().session("energy", "s")
NEWER = b"\x1e%d:what only a newer Griot knows" % (RECORD_VERSION + 1)
SAYS = rf"version {RECORD_VERSION + 1} and this Griot reads up to version {RECORD_VERSION}"


def newer_event(kind: str) -> bytes:
    """An event of the next version."""
    facts = {"type": kind, "v": VERSION + 1, "job": "j1", "attempt": 2, "said": ["anything"]}
    return orjson.dumps(facts)


@pytest.mark.parametrize("has_keys", [False, True])
def test_a_message_is_not_left_out_as_garbage(has_keys: bool) -> None:
    """The turn waits for a worker that can read it, with keys and without."""
    keys = keyspace_of("ecowas", "k1").session("energy", "s") if has_keys else KEYS
    with pytest.raises(NewerFormat, match=SAYS) as caught:
        history.decode(keys, [b'{"role": "user", "content": "hello"}', NEWER])
    assert "what only" not in str(caught.value)


def test_a_value_is_not_taken_for_damaged() -> None:
    """Of an agent's state or a session's data."""
    with pytest.raises(NewerFormat, match=SAYS):
        values.load(Keyspace(), "ecowas:state:energy:s").parse(NEWER)


def test_an_envelope_and_callbacks_are_records_too() -> None:
    """A line of callbacks each."""
    with pytest.raises(NewerFormat, match=SAYS):
        decrypted_envelope(KEYS, "j1", NEWER)
    with pytest.raises(NewerFormat, match=SAYS):
        decrypted_callbacks(KEYS, b'{"task": "x"}\n' + NEWER + b"\n")


@pytest.mark.parametrize("stored", [b"\x1e1:no record", b"\x1ehello", b"\x1e0:k1:AA=="])
def test_what_is_of_no_newer_version_is_refused_as_before(stored: bytes) -> None:
    """A record that nothing decrypts."""
    with pytest.raises(CannotDecrypt):
        history.decode(KEYS, [stored])


def test_an_event_is_passed_over() -> None:
    """Who follows goes on behind it; whose it is, is known in every version."""
    event = parsed(newer_event("token"), KEYS.cipher, "1-1")
    assert event == Event(EventType.UNKNOWN, "j1", 2, cursor="1-1")
    assert parsed(newer_event("not invented yet"), KEYS.cipher).type is EventType.UNKNOWN


@pytest.mark.parametrize("kind", sorted(ENDINGS))
def test_the_end_of_a_job_is_not_passed_over(kind: str) -> None:
    """Its follower would wait without end, and its result would be another."""
    with pytest.raises(NewerFormat, match="the end of job j1 has format version"):
        parsed(newer_event(kind), KEYS.cipher)


def test_an_end_stays_in_the_outbox_for_a_newer_worker() -> None:
    """The others are delivered."""
    newer, own = newer_event("done"), packed(Event(EventType.CANCELLED, "j2", 1), KEYS.cipher)
    stored = [b"%d " % len(event) + event for event in (newer, own)]
    taken = TakenEnds.from_reply(KEYS, [b"OK", 0, b"j1", stored[0], b"j2", stored[1]])
    assert [end.job_id for end in taken.ends] == ["j2"]
    assert taken.left == 1
    assert [type(one) for one in taken.unreadable] == [NewerFormat]
    with pytest.raises(NewerFormat):
        End.parse(KEYS, "j1", stored[0])


@pytest.mark.parametrize("version", [VERSION, "9", None])
def test_an_event_of_this_version_is_read(version: object) -> None:
    """And one with anything else there, which is of another program."""
    facts = {"type": "token", "v": version, "job": "j1", "attempt": 1, "text": "hello"}
    assert parsed(orjson.dumps(facts), KEYS.cipher).text == "hello"


def test_what_is_written_says_no_version_as_it_is_the_first() -> None:
    """So it costs no byte."""
    assert b'"v"' not in packed(Event(EventType.TOKEN, "j1", 1, "hello"), KEYS.cipher)
