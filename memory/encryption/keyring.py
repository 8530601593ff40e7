"""The keys of `GRIOT_ENCRYPTION_KEYS`, and the records that they encrypt and decrypt.

An encrypted record is text: `<RS>1:<key id>:<base64 of nonce and ciphertext>`, where RS is the
control character 0x1E. No JSON begins so, nor a size, nor a text that was stripped; and it holds no
line end, no space and no quote. So Lua may put it into netstrings, lines and JSON as it is.

The number is the version of the record's format; a plain record has none, and is of the first. What
begins with RS and a higher number, encrypted or not, was written by a newer Griot.
"""

import binascii
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol

from memory.errors import CannotDecrypt, NewerFormat

MARK = b"\x1e"
PLAIN = "plain"
KEY_BYTES = 32
KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_RECORD = re.compile(rb"\x1e1:([A-Za-z0-9._-]{1,32}):([A-Za-z0-9+/]+=*)")
VERSION = 1
"""Of the format of a record."""
_VERSION = re.compile(rb"\x1e([0-9]{1,9}):")
_AROUND_BYTES = 96
"""Mark, key id, nonce and tag of a record, and what base64 fills up."""
_PURPOSE = b"griot record 1\0"


class _Aead(Protocol):
    def sealed(self, plain: bytes, associated: bytes) -> bytes: ...
    def opened(self, box: bytes, associated: bytes) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys by their ids. `first` is the id of the one that encrypts; None: new records are
    plain. Every key decrypts."""

    first: str | None = None
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    new_aead: Callable[[bytes], _Aead] | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, setting: str) -> "Keyring":
        """Read `id:key,id:key`, each key 32 bytes of base64; `plain` may be the first element.

        Raises ValueError, which quotes no key; also where the package `cryptography` is missing.
        """
        elements = [one.strip() for one in setting.split(",") if one.strip()]
        is_plain = elements[:1] == [PLAIN]
        keys: dict[str, bytes] = {}
        for number, element in enumerate(elements[is_plain:], 1 + is_plain):
            key_id, key = _parsed(element, number)
            if key_id in keys:
                raise ValueError(f"two keys have the id {key_id!r}")
            keys[key_id] = key
        if not keys:
            raise ValueError("it contains no key: unset it to turn encryption off")
        return cls(None if is_plain else next(iter(keys)), keys, _new_aead())

    def cipher_of(self, owner: str) -> "Cipher":
        """What encrypts and decrypts the records of one owner: a session by the key of its history,
        or a key that belongs to no session."""
        return Cipher(self, owner)

    def is_current(self, stored: bytes) -> bool:
        """Whether a record is as it would be written now: under the first key, or plain."""
        found = _RECORD.fullmatch(stored)
        return (found[1].decode() if found else None) == self.first


class Cipher:
    """Encrypts and decrypts the records of one owner. Safe in threads.

    A record of another owner does not decrypt, nor does one that is `about` something else than it
    was encrypted as: a job's envelope is about that job.
    """

    __slots__ = ("_aeads", "_owner", "keyring")

    def __init__(self, keyring: Keyring, owner: str) -> None:
        self.keyring = keyring
        self._owner = owner
        self._aeads: dict[str, _Aead] = {}

    def encrypted(self, plain: bytes, about: str) -> bytes:
        """The record of these bytes; the bytes themselves where new records are plain."""
        key_id = self.keyring.first
        if key_id is None:
            return plain
        box = self._aead(key_id).sealed(plain, self._associated(about))
        encoded = binascii.b2a_base64(box, newline=False)
        return b"%s1:%s:%s" % (MARK, key_id.encode(), encoded)

    def decrypted(self, stored: bytes, about: str) -> bytes:
        """The bytes of a record; what is plain is itself. Raises CannotRead."""
        if not stored.startswith(MARK):
            return stored
        found = _RECORD.fullmatch(stored)
        if found is None and (version := _VERSION.match(stored)):
            NewerFormat.check(f"a record of {self._owner}", int(version[1]), VERSION)
        key_id = found[1].decode() if found else ""
        if found is None or key_id not in self.keyring.keys:
            raise CannotDecrypt(self._owner, key_id, is_known=False)
        try:
            box = binascii.a2b_base64(found[2])
        except binascii.Error:
            box = b""
        plain = self._aead(key_id).opened(box, self._associated(about))
        if plain is None:
            raise CannotDecrypt(self._owner, key_id, is_known=True)
        return plain

    def reencrypted(self, stored: bytes, about: str) -> bytes:
        """A record as it would be written now; itself where it is so. Raises CannotRead."""
        if self.keyring.is_current(stored):
            return stored
        return self.encrypted(self.decrypted(stored, about), about)

    def largest_record(self, plain_bytes: int) -> int:
        """How long a record of so many bytes may be, bytes; plain or under any key."""
        return plain_bytes // 3 * 4 + _AROUND_BYTES if self.keyring.keys else plain_bytes

    def encrypted_text(self, plain: str, about: str) -> str:
        """`encrypted` for a text."""
        if self.keyring.first is None:
            return plain
        return self.encrypted(plain.encode(errors="surrogatepass"), about).decode()

    def decrypted_text(self, stored: str, about: str) -> str:
        """`decrypted` for a text."""
        if not stored.startswith("\x1e"):
            return stored
        plain = self.decrypted(stored.encode(errors="surrogatepass"), about)
        return plain.decode(errors="surrogatepass")

    def _associated(self, about: str) -> bytes:
        # No owner holds the separator: it is the name of a key, in which ids are encoded.
        return f"{self._owner}\0{about}".encode(errors="surrogatepass")

    def _aead(self, key_id: str) -> _Aead:
        # A key for each owner: random nonces of one key may repeat after some billions of records
        # (docs/decisions.md,
        # "Encryption at rest hides words and leaves the structure").
        aead = self._aeads.get(key_id)
        if aead is None:
            new_aead = self.keyring.new_aead or _new_aead()
            own = hmac.digest(self.keyring.keys[key_id], _PURPOSE + self._owner.encode(), "sha256")
            aead = self._aeads[key_id] = new_aead(own)
        return aead


NO_KEYS = Keyring()
"""Encrypts nothing, and decrypts only what is plain."""


def _parsed(element: str, number: int) -> tuple[str, bytes]:
    key_id, _, encoded = element.partition(":")
    if not KEY_ID.fullmatch(key_id) or key_id == PLAIN or not encoded:
        # Not quoted: somebody may have left the id out.
        raise ValueError(
            f"element {number} is not <id>:<key>; an id is 1 to 32 letters, digits and . _ -"
        )
    try:
        key = binascii.a2b_base64(encoded.translate(_URL_SAFE), strict_mode=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(
            f"the key {key_id!r} is not base64 of {KEY_BYTES} bytes; make one with "
            f"`openssl rand -base64 {KEY_BYTES}`"
        )
    return key_id, key


_URL_SAFE = str.maketrans("-_", "+/")


def _new_aead() -> Callable[[bytes], _Aead]:
    # Not at the top: who encrypts nothing needs no such package.
    try:
        module = import_module("memory.encryption.aead")
    except ImportError:
        raise ValueError(
            "the package cryptography is missing: pip install './griot[encryption]'"
        ) from None
    made: Callable[[bytes], _Aead] = module.Aead
    return made
