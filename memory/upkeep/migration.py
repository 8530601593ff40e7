"""Which versions the records of a deployment have, and bringing the too old ones to the next.

A reader takes its own version of a format and the one before. So a release that reads one no more
brings a step here, which makes of a record of that version one of the next; its operators run
`griot migrate` before they replace the last process of the release before.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from memory.encryption.keyring import Cipher
from memory.errors import CorruptData
from memory.keys import Keyspace, SessionKeys
from memory.mailbox.netstrings import netstrings, packed_netstrings
from memory.mailbox.schedules import about_schedule
from memory.mailbox.words import about_envelope, decrypted_envelope
from memory.records.history import MESSAGE
from memory.records.values import VALUE
from memory.redis.connection import Connection
from memory.upkeep.rewriting import Rewrites, Rewriting, rewrite

ENVELOPE, SCHEDULE, EVENT, LETTER = "job", "schedule", "event", "dead letter"
PAUSE = "pause"
FIRST = 1
_LETTER_PARTS = 7

Step = Callable[[bytes], bytes]
Steps = Mapping[tuple[str, int], Step]
"""By kind and version: what makes of a record, decrypted, the same in the next version."""

STEPS: Steps = {}
"""Those of this release: it reads all versions that there are."""


@dataclass(slots=True)
class Migration:
    """A look at all records. `versions` counts them by kind and version, `old` those of them that
    have a step. Unless it `is_dry`, they are written as the step says."""

    steps: Steps = field(default_factory=lambda: STEPS)
    is_dry: bool = False
    versions: Counter[tuple[str, int]] = field(default_factory=Counter)
    old: int = 0

    def run(self, connection: Connection, keyspace: Keyspace) -> Iterator[Rewriting]:
        """Go over all keys; how far it is, after each page of them. Safe to repeat: what is written
        has no step any more. Raises MemoryServiceError."""
        return rewrite(connection, keyspace, self._rewrites)

    @property
    def _rewrites(self) -> Rewrites:
        return Rewrites(
            value=lambda cipher, stored: self._record(VALUE, VALUE, cipher, stored),
            message=lambda keys, stored: self._record(MESSAGE, MESSAGE, keys.cipher, stored),
            letter=self._letter,
            event=self._event,
            fields={"jobs": self._job, "schedules": self._schedule},
            pause=self._pause,
        )

    def _record(self, kind: str, about: str, cipher: Cipher, stored: bytes) -> bytes:
        plain = cipher.decrypted(stored, about)
        new = self._stepped(kind, FIRST, plain)
        return stored if new == plain else cipher.encrypted(new, about)

    def _schedule(self, keys: SessionKeys, name: bytes, stored: bytes) -> bytes:
        about = about_schedule(name.decode(errors="replace"))
        plain = keys.cipher.decrypted(stored, about)
        new = self._stepped(SCHEDULE, version_in(plain), plain)
        return stored if new == plain else keys.cipher.encrypted(new, about)

    def _job(self, keys: SessionKeys, name: bytes, stored: bytes) -> bytes:
        job_id = name.decode(errors="replace")
        try:
            plain = decrypted_envelope(keys, job_id, stored)
            new = self._envelopes(plain)
        except (CorruptData, ValueError, RecursionError):
            return stored  # whoever runs it says what is wrong
        return stored if new == plain else keys.cipher.encrypted(new, about_envelope(job_id))

    def _envelopes(self, plain: bytes) -> bytes:
        """An envelope, or several that MERGE has put into one: the own one, then id and envelope
        of each other."""
        if not plain[:1].isdigit():
            return self._stepped(ENVELOPE, version_in(plain), plain)
        parts = list(netstrings(plain))
        parts[::2] = map(self._envelopes, parts[::2])
        return packed_netstrings(parts)

    def _letter(self, _: SessionKeys, stored: bytes) -> bytes:
        try:
            is_one = len(list(netstrings(stored))) == _LETTER_PARTS
        except ValueError:
            is_one = False
        return self._stepped(LETTER, FIRST, stored) if is_one else stored

    def _pause(self, _: Keyspace, __: bytes, stored: bytes) -> bytes:
        return self._stepped(PAUSE, FIRST, stored)

    def _event(self, _: SessionKeys, stored: bytes) -> bytes:
        # The name of the field comes along.
        return self._stepped(EVENT, version_in(stored), stored) if stored[:1] == b"{" else stored

    def _stepped(self, kind: str, version: int, plain: bytes) -> bytes:
        """A record as it is to be; itself where nothing is to be done, or to be written."""
        self.versions[kind, version] += 1
        step = self.steps.get((kind, version))
        if step is None:
            return plain
        self.old += 1
        return plain if self.is_dry else step(plain)


def version_in(packed: bytes) -> int:
    """The version that an object of JSON says; the first where it says none, or is none."""
    try:
        found = orjson.loads(packed)
    except orjson.JSONDecodeError:
        return FIRST
    version = found.get("v") if isinstance(found, dict) else None
    return version if isinstance(version, int) and version > FIRST else FIRST
