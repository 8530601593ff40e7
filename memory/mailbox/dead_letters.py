"""Jobs that were given up, kept with the reason: listed, put back, or dropped.

The Lua operations write a letter as netstrings.

A job that is put back gets a new id, made from its own: the mark that it is done must stay, or a
late message of its first life would run it once more beside the second. As the new id is always
the same, putting back may be repeated after a lost reply without doubling the job.
"""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from memory.errors import CannotRead, CorruptData
from memory.ids import MAX_ID_BYTES
from memory.keys import Keyspace, SessionKeys
from memory.lifetimes import DEAD_MS, SESSION_TTL_S
from memory.mailbox.intake import Intake, Request
from memory.mailbox.mailbox import Mailbox
from memory.mailbox.netstrings import netstrings
from memory.mailbox.pointer import keep_pointer
from memory.mailbox.words import ERROR, TOO_LARGE, decrypted_envelope
from memory.priority import Priority
from memory.records.event import about_reason, without_code
from memory.records.index import touch_index
from memory.redis.command import Command, LuaScript, ignore_corrupt
from memory.redis.replies import after_ok, integer, strings, text, unexpected_reply

DROP_LETTERS = LuaScript.load("mailbox", "drop_letters")
SCRIPTS = (DROP_LETTERS,)

FAR_MS = 4_000_000_000_000_000
"""No letter is so young."""
_UNKNOWN = Request()
_NAMESPACE = uuid.UUID("0a8f4f4e-6c1e-5d6e-8d59-6772696f7433")
_AGAIN = re.compile(r"(?P<job_id>.+)~r(?P<times>[1-9][0-9]{0,5})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """What one attempt came to, and when."""

    attempt: int
    failed_at_ms: int
    error: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A job that was given up: when, why, after how many attempts. `stored` is its element.

    `failures` are the attempts before the last, whose error is the `reason`. An envelope that was
    too large to be kept is empty here: `too_large_bytes` is its size. `code` is the kind of the
    reason, "" for a letter of before 2026-11-26.
    """

    job_id: str
    seq_us: int
    attempts: int
    died_at_ms: int
    reason: str
    envelope: bytes = field(repr=False)
    stored: bytes = field(repr=False)
    failures: tuple[FailedAttempt, ...] = ()
    too_large_bytes: int = 0
    code: str = ""

    @classmethod
    def parse(cls, keys: SessionKeys, stored: bytes) -> "DeadLetter":
        """Read an element of the list. Raises CorruptData where it is none of ours.

        Reason and errors that do not decrypt are replaced by what says so.
        """
        try:
            job_id, seq_us, attempts, died_at_ms, reason, envelope, errors = netstrings(stored)
            too_large = TOO_LARGE.fullmatch(envelope)
            said, code = without_code(_shown(keys, reason.decode(), about_reason(job_id.decode())))
            return cls(
                job_id=job_id.decode(),
                seq_us=int(float(seq_us)),
                attempts=int(attempts),
                died_at_ms=int(died_at_ms),
                reason=said,
                code=code,
                envelope=b"" if too_large else envelope,
                stored=stored,
                failures=tuple(_failures(keys, errors)),
                too_large_bytes=int(too_large[1]) if too_large else 0,
            )
        except (ValueError, OverflowError) as exc:  # the latter: a number that is infinite
            raise CorruptData("the list of dead letters contains something else") from exc


@dataclass(frozen=True, slots=True)
class Letters:
    """Dead letters, the oldest first, and how many elements could not be read."""

    letters: tuple[DeadLetter, ...]
    corrupt: int = 0

    def find(self, job_id: str) -> DeadLetter | None:
        """The letter of a job; None where there is none."""
        return next((letter for letter in self.letters if letter.job_id == job_id), None)


@dataclass(frozen=True, slots=True)
class DroppedLetters:
    """The jobs whose letters went, how many a session has `left`, and when the oldest of them died
    (ms; 0: there is none, or it cannot be read)."""

    left: int
    next_ms: int
    jobs: tuple[str, ...] = ()

    @classmethod
    def from_reply(cls, reply: object) -> "DroppedLetters":
        """Read the reply of drop_letters.lua."""
        match after_ok(reply):
            case [int(left), int(next_ms), *jobs]:
                return cls(left, next_ms, tuple(text(job) for job in jobs))
        raise unexpected_reply(reply)


def note(mailbox: Mailbox) -> Command[int]:
    """Note that a session has a dead letter. Goes before the operation that makes it one."""
    return ignore_corrupt(touch_index(mailbox.keyspace.dead, mailbox.keys.history), 0)


def listed(mailbox: Mailbox, job_id: str) -> tuple[Command[None], Command[int]]:
    """List a session's dead letter, and keep what leads to it for as long. Safe to repeat."""
    return keep_pointer(mailbox.keyspace, job_id), note(mailbox)


def sessions(keyspace: Keyspace, *, limit: int = 0) -> Command[list[SessionKeys]]:
    """The sessions that were noted, the latest first, `limit` at most (0: all); what is no
    session's key is left out."""

    def read(reply: object) -> list[SessionKeys]:
        named = (keyspace.find_session(key.decode(errors="replace")) for key in strings(reply))
        return [keys for keys in named if keys is not None]

    return Command(read, ("ZREVRANGE", keyspace.dead, 0, limit - 1))


def forget(mailbox: Mailbox) -> Command[int]:
    """Take a session without dead letters off the list."""
    return Command(integer, ("ZREM", mailbox.keyspace.dead, mailbox.keys.history))


def forget_old(keyspace: Keyspace, *, now_ms: int) -> Command[int]:
    """Take the sessions off the list whose letters have expired; how many."""
    return Command(integer, ("ZREMRANGEBYSCORE", keyspace.dead, "-inf", now_ms - DEAD_MS))


def letters(mailbox: Mailbox) -> Command[Letters]:
    """All dead letters of a session."""
    return Command(lambda reply: _read(mailbox.keys, reply), ("LRANGE", mailbox.keys.dead, 0, -1))


def latest(mailbox: Mailbox, *, skip: int, limit: int) -> Command[Letters]:
    """So many dead letters of a session, the oldest first, without the last `skip` of all."""
    parts = ("LRANGE", mailbox.keys.dead, -skip - limit, -skip - 1)
    return Command(lambda reply: _read(mailbox.keys, reply), parts)


def listed_sessions(
    keyspace: Keyspace, *, skip: int, limit: int
) -> Command[list[SessionKeys | None]]:
    """The sessions that were noted from a place on, the latest first; None for what is none."""

    def read(reply: object) -> list[SessionKeys | None]:
        return [keyspace.find_session(key.decode(errors="replace")) for key in strings(reply)]

    return Command(read, ("ZREVRANGE", keyspace.dead, skip, skip + limit - 1))


def requeued(
    keys: SessionKeys,
    letter: DeadLetter,
    *,
    request: Request = _UNKNOWN,
    callbacks: bytes = b"",
    cap: int,
    ttl_s: int = SESSION_TTL_S,
    priority: Priority = Priority.NORMAL,
) -> Intake:
    """A dead job as it is taken in again, at the end of its mailbox and as `requeued_id`.

    Taking it in is safe to repeat. Only where the job is in or done, `drop` the letter then.
    Raises CannotRead.
    """
    # docs/decisions.md, "A requeued dead letter gets a new id".
    job_id = requeued_id(letter.job_id)
    envelope = _readable(keys, letter)
    return Intake(
        job_id,
        envelope,
        cap,
        request=request,
        callbacks=callbacks,
        ttl_s=ttl_s,
        priority=priority,
    )


def _readable(keys: SessionKeys, letter: DeadLetter) -> bytes:
    try:
        return decrypted_envelope(keys, letter.job_id, letter.envelope)
    except CorruptData:
        return letter.envelope  # the attempt at it says what is wrong with it


def drop(mailbox: Mailbox, letter: DeadLetter) -> Command[int]:
    """Remove one letter: 1, or 0 if it is gone. Its job stays marked as done. Safe to repeat."""
    return Command(integer, ("LREM", mailbox.keys.dead, 1, letter.stored))


def drop_oldest(mailbox: Mailbox, *, most: int, until_ms: int = FAR_MS) -> Command[DroppedLetters]:
    """Remove the oldest letters of a session, `most` of them at most, and none that died after
    `until_ms`. Their jobs stay marked as done. Safe to repeat."""
    return DROP_LETTERS.command(
        DroppedLetters.from_reply, mailbox.keys, until_ms=until_ms, most=most
    )


def requeued_id(job_id: str) -> str:
    """The id under which a dead job comes back: `x` as `x~r1`, and that as `x~r2`."""
    again = f"{job_id}~r1"
    if match := _AGAIN.fullmatch(job_id):
        again = f"{match['job_id']}~r{int(match['times']) + 1}"
    # An id may be as long as a key's part may be.
    return again if len(again.encode()) <= MAX_ID_BYTES else str(uuid.uuid5(_NAMESPACE, again))


def _shown(keys: SessionKeys, text: str, about: str) -> str:
    # The letter itself is not in it: it can be listed, and put back where the key is set.
    try:
        return keys.cipher.decrypted_text(text, about)
    except CannotRead as exc:
        return f"({exc})"


def _failures(keys: SessionKeys, errors: bytes) -> Iterator[FailedAttempt]:
    facts = netstrings(errors)
    for attempt, failed_at_ms, error in zip(facts, facts, facts, strict=True):
        yield FailedAttempt(int(attempt), int(failed_at_ms), _shown(keys, error.decode(), ERROR))


def _read(keys: SessionKeys, reply: object) -> Letters:
    found, corrupt = [], 0
    for stored in strings(reply):
        try:
            found.append(DeadLetter.parse(keys, stored))
        except CorruptData:
            corrupt += 1
    return Letters(tuple(found), corrupt)
