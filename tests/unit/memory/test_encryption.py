"""Records are encrypted for one owner, and nothing is paid where no key is set."""

import base64
import hmac
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from memory import InvalidInput, MemorySettings
from memory.encryption.keyring import NO_KEYS, Keyring
from memory.errors import CannotDecrypt, CorruptData
from memory.keys import Keyspace
from memory.mailbox.dead_letters import DeadLetter
from memory.mailbox.netstrings import packed_netstrings
from memory.records.event import Event, EventType, packed, parsed, repacked
from memory.settings import settings_for
from memory.upkeep.reencrypted_records import reencrypted_letter
from tests.support.encryption import key_of, keyring_of

ROOT = Path(__file__).resolve().parents[3]
CIPHER = keyring_of("k2", "k1").cipher_of("session")
PLAIN = NO_KEYS.cipher_of("session")


@given(st.binary(max_size=200), st.text(max_size=20))
def test_a_record_comes_back_as_it_was(plain: bytes, about: str) -> None:
    """Whatever is in it. What lies in Redis is text that Lua may put anywhere."""
    record = CIPHER.encrypted(plain, about)
    assert record.startswith(b"\x1e1:k2:")
    assert not set(b' \n\r"\\,') & set(record)
    assert CIPHER.decrypted(record, about) == plain
    assert CIPHER.encrypted(plain, about) != record, "two equal texts cannot be told apart"


def test_a_record_is_what_the_document_says() -> None:
    """So that a backup can be read without Griot; each session has a key of its own."""
    secret = base64.b64decode(key_of("k2").partition(":")[2])
    own = hmac.digest(secret, b"griot record 1\0session", "sha256")
    mark, key_id, encoded = CIPHER.encrypted(b"words", "envelope\0job").split(b":")
    box = base64.b64decode(encoded)
    plain = AESGCM(own).decrypt(box[:12], box[12:], b"session\0envelope\0job")
    assert (mark, key_id, plain) == (b"\x1e1", b"k2", b"words")


def test_all_keys_decrypt_and_the_first_one_encrypts() -> None:
    """So keys are changed while records of both lie there."""
    old = keyring_of("k1").cipher_of("session").encrypted(b"words", "x")
    assert CIPHER.decrypted(old, "x") == b"words"
    assert CIPHER.decrypted(b"plain words", "x") == b"plain words"
    new = CIPHER.reencrypted(old, "x")
    assert new.startswith(b"\x1e1:k2:")
    assert CIPHER.reencrypted(new, "x") is new
    off = keyring_of("plain", "k1").cipher_of("session")
    assert (off.reencrypted(old, "x"), off.encrypted(b"words", "x")) == (b"words", b"words")


@pytest.mark.parametrize(
    ("cipher", "about"),
    [
        (keyring_of("k2").cipher_of("another session"), "x"),
        (keyring_of("k2").cipher_of("session"), "another job"),
        (Keyring.parse(key_of("else").replace("else", "k2")).cipher_of("session"), "x"),
    ],
    ids=["session", "job", "key"],
)
def test_a_record_of_something_else_does_not_decrypt(cipher: object, about: str) -> None:
    """The error names the setting and the key, and no word."""
    record = CIPHER.encrypted(b"words", "x")
    with pytest.raises(CannotDecrypt, match=r"'k2'.*GRIOT_ENCRYPTION_KEYS") as caught:
        cipher.decrypted(record, about)  # type: ignore[attr-defined]
    assert caught.value.is_known
    assert not isinstance(caught.value, CorruptData), "nobody may take it for damage"


@pytest.mark.parametrize(
    "damaged",
    [b"\x1e", b"\x1e1:k2:", b"\x1e1:k2:!!", b"\x1e1:k2:AAAA", b"\x1e1:k2:AAAAA", b"\x1e1:k9:AAAA"],
)
def test_a_record_that_is_damaged_or_unknown_is_no_words(damaged: bytes) -> None:
    """It is an error each time, whatever is wrong with it."""
    for cipher in (CIPHER, PLAIN):
        with pytest.raises(CannotDecrypt):
            cipher.decrypted(damaged, "x")


def test_without_the_package_and_a_key_nothing_is_imported() -> None:
    """Who encrypts nothing installs nothing and pays nothing."""
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "import memory, tasks\n"
        "assert memory.MemorySettings().keyspace.keyring.first is None\n"
        "assert 'memory.encryption.aead' not in sys.modules\n"
        "try: memory.get_redis_memory()\n"
        "except Exception as exc: raise SystemExit(exc)\n"
        "import os; os.environ['GRIOT_ENCRYPTION_KEYS'] = sys.argv[1]\n"
        "memory.reset_redis_memory()\n"
        "try: memory.get_redis_memory()\n"
        "except memory.InvalidInput as exc: print(exc)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, key_of("k1")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "pip install './griot[encryption]'" in done.stdout


SECRET = key_of("k1").partition(":")[2]


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        (SECRET, "element 1 is not <id>:<key>"),
        (f"k1:{SECRET[:-4]}", "'k1' is not base64 of 32 bytes; make one with `openssl"),
        (f"k1:{SECRET}!", "the key 'k1' is not base64 of 32 bytes"),
        (f"k1:{SECRET},k1:{SECRET}", "two keys have the id 'k1'"),
        (f"k1:{SECRET},plain", "element 2 is not <id>:<key>"),
        (f"a b:{SECRET}", "element 1 is not <id>:<key>"),
        ("plain", "it contains no key"),
        (",", "it contains no key"),
    ],
)
def test_a_setting_that_cannot_be_read_is_refused(
    setting: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its reason and without a key."""
    monkeypatch.setenv("GRIOT_ENCRYPTION_KEYS", setting)
    with pytest.raises(InvalidInput) as caught:
        settings_for(host="h", port=1, db=0, password=None, default_ttl_s=1)
    assert reason in str(caught.value)
    assert SECRET[:8] not in str(caught.value)


@pytest.mark.parametrize("size_bytes", [0, 1, 2, 3, 1000])
def test_no_record_is_longer_than_is_said(size_bytes: int) -> None:
    """A dead letter keeps each envelope that may be sent, encrypted or not."""
    plain = b"x" * size_bytes
    cipher = keyring_of("k" * 32).cipher_of("owner")
    assert len(cipher.encrypted(plain, "it")) <= cipher.largest_record(size_bytes)
    assert PLAIN.largest_record(size_bytes) == size_bytes


def test_a_letter_without_its_envelope_is_not_encrypted() -> None:
    """What is in place of the envelope is no word of anybody, and is still known after it."""
    parts = [b"j1", b"1", b"1", b"1", b"refused", b"too large: 99", b""]
    keys = Keyspace(keyring=keyring_of("k")).session("a", "s")
    new = reencrypted_letter(keys, packed_netstrings(parts))
    assert DeadLetter.parse(keys, new).too_large_bytes == 99


def test_keys_are_not_shown() -> None:
    """Neither by the settings nor by what is made of them."""
    settings = MemorySettings(GRIOT_ENCRYPTION_KEYS=f"plain, {key_of('k1')} ,{key_of('k2')}")  # type: ignore[call-arg]  # its alias
    keyspace = settings.keyspace
    assert keyspace.keyring.first is None
    assert list(keyspace.keyring.keys) == ["k1", "k2"]
    for shown in (settings, keyspace, keyspace.keyring, keyspace.session("a", "s")):
        assert SECRET not in repr(shown)
        assert str(keyring_of("k1").keys["k1"]) not in repr(shown)


SAID = Event(EventType.TOKEN, "job", 2, "words", {"model": "m"})


def test_an_event_shows_what_it_is_and_no_word() -> None:
    """Scripts read its type; followers get all of it."""
    stored = packed(SAID, CIPHER)
    assert stored.startswith(b'{"type":"token","job":"job","attempt":2,"encrypted":"')
    assert parsed(stored, CIPHER) == SAID
    assert parsed(packed(SAID, PLAIN), CIPHER) == SAID
    for was, becomes in ((b'"token"', b'"done"'), (b'"job":"job"', b'"job":"jo2"'), (b"2", b"3")):
        with pytest.raises(CannotDecrypt):
            parsed(stored.replace(was, becomes, 1), CIPHER)


@pytest.mark.parametrize(
    "event",
    [
        SAID,
        Event(EventType.STARTED, "job", 1),
        Event(EventType.QUEUED, "job", 0, data={"position": 3}),
        Event(EventType.FAILED, "job", 1, data={"error": "words"}),
    ],
)
def test_an_event_is_packed_anew_only_where_it_must_be(event: Event) -> None:
    """With the first key, or plain; an event without words stays as it is."""
    plain, off = packed(event, PLAIN), keyring_of("plain", "k2").cipher_of("session")
    is_wordless = event.type in (EventType.STARTED, EventType.QUEUED)
    encrypted = repacked(plain, CIPHER)
    assert (encrypted == plain) == is_wordless
    assert repacked(encrypted, CIPHER) == encrypted
    assert parsed(encrypted, CIPHER) == event
    assert repacked(encrypted, off) == plain
    assert repacked(b"no event", CIPHER) == b"no event"


def test_an_event_of_a_newer_version_keeps_its_type() -> None:
    """A process that does not know it packs it anew all the same."""
    stored = b'{"type":"newer","job":"j","attempt":0,"text":"words","more":1}'
    again = repacked(stored, CIPHER)
    assert again.startswith(b'{"type":"newer","job":"j","attempt":0,"more":1,"encrypted":')
    assert parsed(again, CIPHER).text == "words"
