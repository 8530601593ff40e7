"""What of a job holds words: its envelope, its callbacks, and why it or an attempt at it failed.

Encrypted on their way into a mailbox, decrypted on their way out. Pure.
"""

import re

from memory.encryption.keyring import MARK
from memory.errors import CorruptData
from memory.keys import SessionKeys
from memory.mailbox.netstrings import netstrings, packed_netstrings
from memory.records.event import about_reason

CANNOT_TAKE_APART = "an envelope contains merged jobs and cannot be read"
CALLBACKS = "callbacks"
"""What an encrypted line of callbacks is about: not its job, for MERGE gives it to another."""
ERROR = "error"
"""What the encrypted error of an attempt is about."""

MAX_ENVELOPE_BYTES = 268_435_456
"""No envelope is larger, whatever is set."""
TOO_LARGE = re.compile(rb"too large: ([0-9]{1,10})")
"""What a dead letter has in place of an envelope that is too large to be kept: its size, bytes."""


def about_envelope(job_id: str) -> str:
    """What an encrypted envelope is about."""
    return "envelope\0" + job_id


def decrypted_envelope(keys: SessionKeys, job_id: str, stored: bytes) -> bytes:
    """The envelope of a job as `MergedEnvelope.parse` reads it; what is plain is itself.

    Raises CannotRead, and CorruptData for several that cannot be taken apart.
    """
    plain = keys.cipher.decrypted(stored, about_envelope(job_id))
    # Where MERGE has put several into one, each is a record.
    if MARK not in plain or not plain[:1].isdigit():
        return plain
    try:
        own, *others = netstrings(plain)
        parts = [keys.cipher.decrypted(own, about_envelope(job_id))]
        for other, envelope in zip(others[::2], others[1::2], strict=True):
            parts += [other, decrypted_envelope(keys, other.decode(), envelope)]
    except (ValueError, RecursionError) as exc:
        raise CorruptData(CANNOT_TAKE_APART) from exc
    return packed_netstrings(parts)


def encrypted_callbacks(keys: SessionKeys, lines: bytes) -> bytes:
    """Lines that say what follows a job, each a record: MERGE puts those of several together."""
    if keys.cipher.keyring.first is None:
        return lines
    records = [keys.cipher.encrypted(line, CALLBACKS) for line in lines.splitlines()]
    return b"".join(record + b"\n" for record in records)


def decrypted_callbacks(keys: SessionKeys, stored: bytes) -> bytes:
    """`encrypted_callbacks` the other way round. Raises CannotRead."""
    if MARK not in stored:
        return stored
    lines = [keys.cipher.decrypted(line, CALLBACKS) for line in stored.splitlines()]
    return b"".join(line + b"\n" for line in lines)


def encrypted_error(keys: SessionKeys, error: str) -> str:
    """What an attempt came to, as the lease and a dead letter have it."""
    return keys.cipher.encrypted_text(error, ERROR) if error else ""


def encrypted_reason(keys: SessionKeys, job_id: str, reason: str) -> str:
    """Why a job ends, as its dead letter and its last event have it."""
    return keys.cipher.encrypted_text(reason, about_reason(job_id))
