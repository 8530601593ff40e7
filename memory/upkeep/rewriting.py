"""Writing all records of a deployment once more, while it works.

Workers, clients and other runs may write meanwhile: a record is replaced only if it is still the
one that was read. A run that is killed leaves records of both kinds, all of which can be read; the
next run does the rest.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from memory.encryption.keyring import Cipher
from memory.errors import CannotRead, CorruptData, MemoryServiceError
from memory.keys import Keyspace, SessionKeys
from memory.records.swap import Entry, Swap, swap_elements, swap_fields, swap_stream, swap_value
from memory.records.values import OWN_TTL
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import optional, pairs, raw, strings, unexpected_reply
from memory.redis.scan import key_count, scan

SWAP_BYTES = 1_000_000
"""About how much one script writes: it holds all sessions up meanwhile."""
MOST_REASONS = 10
PATIENCE = 5
"""How often a stream is read again that somebody writes to."""

Rewrite = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Rewrites:
    """How each kind of record is written: a value of an agent or a session, what lies in a history,
    among the dead letters, in a stream, and in a field of the hashes that are named, by its name;
    and a pause, by what is paused.

    Each gives the same bytes where nothing is to be done, or where it is no record of ours, and may
    raise CannotRead.
    """

    value: Callable[[Cipher, bytes], bytes]
    message: Callable[[SessionKeys, bytes], bytes]
    letter: Callable[[SessionKeys, bytes], bytes]
    event: Callable[[SessionKeys, bytes], bytes]
    fields: Mapping[str, Callable[[SessionKeys, bytes, bytes], bytes]]
    pause: Callable[[Keyspace, bytes, bytes], bytes]


@dataclass(slots=True)
class Rewriting:
    """How far a run is. Of `total` keys, other programs' among them, `seen` were looked at.

    `written` records were written; `busy` ones, and streams, changed meanwhile and are left to
    the next run; `unreadable` ones could not be read and stay as they are, for `reasons`, of which
    the first are kept.
    """

    total: int
    seen: int = 0
    written: int = 0
    busy: int = 0
    unreadable: int = 0
    reasons: list[str] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether everything that was met is now as it is to be."""
        return not self.busy and not self.unreadable

    def note(self, error: MemoryServiceError) -> None:
        """Count a record that stays as it is."""
        self.unreadable += 1
        if len(self.reasons) < MOST_REASONS and str(error) not in self.reasons:
            self.reasons.append(str(error))


def rewrite(connection: Connection, keyspace: Keyspace, rewrites: Rewrites) -> Iterator[Rewriting]:
    """Go over all keys; how far it is, after each page of them. Raises MemoryServiceError."""
    rewriter = _Rewriter(connection, keyspace, rewrites, Rewriting(key_count(connection)))
    for page in scan(connection, f"{keyspace.prefix}:*"):
        for key in page:
            rewriter.rewrite(key)
        rewriter.progress.seen += len(page)
        yield rewriter.progress


@dataclass(frozen=True, slots=True)
class _Rewriter:
    connection: Connection
    keyspace: Keyspace
    rewrites: Rewrites
    progress: Rewriting

    def rewrite(self, key: str) -> None:
        """Write what lies under one key, if words may lie there."""
        word = key.removeprefix(f"{self.keyspace.prefix}:").partition(":")[0]
        try:
            if word in ("state", "session"):
                self._value(key)
            elif key == self.keyspace.pauses:
                self._fields(key, partial(self.rewrites.pause, self.keyspace))
            elif (found := self.keyspace.parse_session_key(key)) is not None:
                self._of_session(*found)
        except CorruptData as exc:
            self.progress.note(exc)

    def _of_session(self, kind: str, keys: SessionKeys) -> None:
        match kind:
            case "history":
                self._list(keys.history, partial(self.rewrites.message, keys))
            case "dead":
                self._list(keys.dead, partial(self.rewrites.letter, keys))
            case "events":
                self._stream(keys)
            case _ if kind in self.rewrites.fields:
                self._fields(getattr(keys, kind), partial(self.rewrites.fields[kind], keys))

    def _value(self, key: str) -> None:
        stored = self.connection.run(Command(optional(raw), ("GET", key)))
        if stored is None:
            return
        end = OWN_TTL if stored.endswith(OWN_TTL) else b""
        cipher = self.keyspace.cipher_of(key)
        new = self._new(stored.removesuffix(OWN_TTL), partial(self.rewrites.value, cipher)) + end
        if new != stored:
            self._count(1, self.connection.run(swap_value(key, stored, new)))

    def _list(self, key: str, rewrite: Rewrite) -> None:
        elements = self.connection.run(Command(strings, ("LRANGE", key, 0, -1)))
        swaps = [
            Swap(place, old, new)
            for place, old in enumerate(elements)
            if (new := self._new(old, rewrite)) != old
        ]
        self._swap(key, swaps, swap_elements)

    def _fields(self, key: str, rewrite: Callable[[bytes, bytes], bytes]) -> None:
        fields = self.connection.run(Command(pairs, ("HGETALL", key)))
        swaps = [
            Swap(name, old, new)
            for name, old in fields
            if (new := self._new(old, partial(rewrite, name))) != old
        ]
        self._swap(key, swaps, swap_fields)

    def _stream(self, keys: SessionKeys) -> None:
        for _ in range(PATIENCE):
            old = self.connection.run(Command(_entries, ("XRANGE", keys.events, "-", "+")))
            new = [(name, self._new_facts(keys, facts)) for name, facts in old]
            if old == new:
                return
            if written := self.connection.run(swap_stream(keys.events, new)):
                self.progress.written += written
                return
        self.progress.busy += 1

    def _new_facts(self, keys: SessionKeys, facts: Sequence[bytes]) -> Sequence[bytes]:
        return [self._new(one, partial(self.rewrites.event, keys)) for one in facts]

    def _new(self, stored: bytes, rewrite: Rewrite) -> bytes:
        """A record as it is to be; itself where it cannot be read."""
        try:
            return rewrite(stored)
        except CannotRead as exc:
            self.progress.note(exc)
            return stored

    def _swap(
        self,
        key: str,
        swaps: Sequence[Swap],
        command: Callable[[str, Sequence[Swap]], Command[int]],
    ) -> None:
        for part in _parts(swaps):
            self._count(len(part), self.connection.run(command(key, part)))

    def _count(self, wanted: int, written: int) -> None:
        self.progress.written += written
        self.progress.busy += wanted - written


def _parts(swaps: Sequence[Swap]) -> Iterator[list[Swap]]:
    """The swaps in parts of about SWAP_BYTES."""
    part, size_bytes = list[Swap](), 0
    for one in swaps:
        part.append(one)
        size_bytes += len(one.old) + len(one.new)
        if size_bytes >= SWAP_BYTES:
            yield part
            part, size_bytes = [], 0
    if part:
        yield part


def _entries(reply: object) -> list[Entry]:
    if not isinstance(reply, list):
        raise unexpected_reply(reply)
    return [(raw(name), strings(facts)) for name, facts in reply]
