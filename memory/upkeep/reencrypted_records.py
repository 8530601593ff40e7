"""Records as they would be encrypted now, each kind that may hold words.

Pure. Each function gives the same bytes where nothing is to be done, or where it is no record of
ours, and raises CannotRead.
"""

from collections.abc import Callable, Mapping

from memory.encryption.keyring import MARK
from memory.errors import CorruptData
from memory.keys import SessionKeys
from memory.mailbox.netstrings import netstrings, packed_netstrings
from memory.mailbox.schedules import about_schedule
from memory.mailbox.words import (
    ERROR,
    TOO_LARGE,
    about_envelope,
    decrypted_callbacks,
    decrypted_envelope,
    encrypted_callbacks,
)
from memory.records.event import about_reason, repacked
from memory.records.history import MESSAGE
from memory.records.summary import NAME_BYTES, SUMMARY, UNTIL


def reencrypted_message(keys: SessionKeys, stored: bytes) -> bytes:
    """An element of a history."""
    return keys.cipher.reencrypted(stored, MESSAGE)


def reencrypted_event(keys: SessionKeys, stored: bytes) -> bytes:
    """An event, or another field of its entry."""
    return repacked(stored, keys.cipher)


def reencrypted_letter(keys: SessionKeys, stored: bytes) -> bytes:
    """A dead letter."""
    try:
        job, seq_us, attempts, died_at_ms, reason, envelope, errors = netstrings(stored)
        parts = [
            *(job, seq_us, attempts, died_at_ms),
            keys.cipher.reencrypted(reason, about_reason(job.decode())),
            envelope if TOO_LARGE.fullmatch(envelope) else _envelope(keys, job, envelope),
            _errors(keys, errors),
        ]
        return packed_netstrings(parts)
    except ValueError:
        return stored


def _envelope(keys: SessionKeys, job: bytes, stored: bytes) -> bytes:
    # What MERGE has put together begins as if it were plain.
    if keys.cipher.keyring.is_current(stored) and MARK not in stored[1:]:
        return stored
    job_id = job.decode(errors="replace")
    try:
        plain = decrypted_envelope(keys, job_id, stored)
    except CorruptData:
        return stored
    return keys.cipher.encrypted(plain, about_envelope(job_id))


def _callbacks(keys: SessionKeys, stored: bytes) -> bytes:
    if all(map(keys.cipher.keyring.is_current, stored.splitlines())):
        return stored
    return encrypted_callbacks(keys, decrypted_callbacks(keys, stored))


def _errors(keys: SessionKeys, stored: bytes) -> bytes:
    """What the attempts at a job came to: number, time and error of each."""
    parts = list(netstrings(stored))
    parts[2::3] = [keys.cipher.reencrypted(one, ERROR) for one in parts[2::3]]
    return packed_netstrings(parts)


def _of_lease(keys: SessionKeys, name: bytes, stored: bytes) -> bytes:
    try:
        return _errors(keys, stored) if name == b"errors" else stored
    except ValueError:
        return stored


def _of_outbox(keys: SessionKeys, _: bytes, stored: bytes) -> bytes:
    *head, rest = stored.split(b" ", 4)
    if len(head) != 4 or not head[3].isdigit():
        return stored
    size = int(head[3])
    event = repacked(rest[:size], keys.cipher)
    head[3] = b"%d" % len(event)
    return b" ".join(head) + b" " + event + _callbacks(keys, rest[size:])


def _of_summary(keys: SessionKeys, name: bytes, stored: bytes) -> bytes:
    if name == b"text":
        return keys.cipher.reencrypted(stored, SUMMARY)
    if name != b"until" or not stored:
        return stored
    # A plain one may begin with any byte.
    if len(stored) > NAME_BYTES:
        return keys.cipher.reencrypted(stored, UNTIL)
    return keys.cipher.encrypted(stored, UNTIL)


FIELDS: Mapping[str, Callable[[SessionKeys, bytes, bytes], bytes]] = {
    "jobs": _envelope,
    "callbacks": lambda keys, _, stored: _callbacks(keys, stored),
    "lease": _of_lease,
    "outbox": _of_outbox,
    "summary": _of_summary,
    "schedules": lambda keys, name, stored: keys.cipher.reencrypted(
        stored, about_schedule(name.decode(errors="replace"))
    ),
}
"""How a session's hashes are encrypted anew, by the hash, the field's name and its value."""
