"""What an operator has paused: an agent, a model, a model server, or all; one hash has them all.

Jobs of what is paused are taken in and wait (`memory.outages`); those that run go on. A pause with
an end ends by the server's clock, without anybody who resumes it.

Pure, as `mailbox`: functions return commands, which an executor sends.
"""

from dataclasses import dataclass
from enum import StrEnum

from memory.errors import CannotRead, InvalidInput
from memory.keys import Keyspace
from memory.redis.command import Command, LuaScript
from memory.redis.replies import code_and_rest, flag, pairs, unexpected_reply

PAUSE = LuaScript.load("pauses", "pause")
SCRIPTS = (PAUSE,)

MAX_PAUSES = 1000
MAX_REASON = 200
MAX_NAME_BYTES = 400
MAX_FOR_MS = 366 * 24 * 3600 * 1000
MOST_DIGITS = 14
"""Of a time in ms: until the year 5138."""
ANNOUNCED_AS = "pauses"
"""Stands for a job among those that workers are asked to stop: that the pauses have changed."""
UNREADABLE = "(the reason cannot be read by this process: it has other keys, or is older)"


class PauseKind(StrEnum):
    """What may be paused."""

    ALL = "all"
    AGENT = "agent"
    MODEL = "model"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class PauseTarget:
    """What is paused, as `agent energy`, `model llama3.2:1b`, `server http://gpu-1:11434`, `all`.

    Raises InvalidInput for a name that is missing, too long, no text, given with `all`, or has a
    space at an end.
    """

    kind: PauseKind
    name: str = ""

    def __post_init__(self) -> None:
        size_bytes = _size_bytes(self.name, what="the name")
        if (self.kind is PauseKind.ALL) is bool(self.name):
            raise InvalidInput(
                "`all` takes no name" if self.name else f"{self.kind} needs the name of one"
            )
        if size_bytes > MAX_NAME_BYTES:
            raise InvalidInput(f"the name is over {MAX_NAME_BYTES} bytes")
        if self.name != self.name.strip():
            raise InvalidInput("the name begins or ends with a space")

    @classmethod
    def of(cls, text: str) -> "PauseTarget":
        """What `str` has made of one. Raises InvalidInput for any other text."""
        kind, _, name = text.partition(" ")
        try:
            return cls(PauseKind(kind), name)
        except ValueError:
            raise InvalidInput("this is nothing that can be paused") from None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause: since when, until when (Unix time, ms; None until it is resumed), and why."""

    target: PauseTarget
    since_ms: int
    until_ms: int | None
    reason: str

    def is_over(self, now_ms: float) -> bool:
        """Whether it has ended by itself."""
        return self.until_ms is not None and self.until_ms <= now_ms


class PauseOutcome(StrEnum):
    """Whether something could be paused."""

    OK = "OK"
    FULL = "FULL"


def pause(
    keyspace: Keyspace, target: PauseTarget, reason: str, *, for_ms: int = 0
) -> Command[Pause | None]:
    """Pause something, for `for_ms` or, with 0, until it is resumed; None: MAX_PAUSES are there.

    Paused again it gets the new reason and end. Spaces around the reason go. Raises InvalidInput
    for a reason of over MAX_REASON characters, or that is no text, or a time of over MAX_FOR_MS.
    """
    _size_bytes(reason, what="the reason")
    # No record begins with a space, and what separates records is one (memory.encryption.keyring).
    reason = reason.strip()
    if len(reason) > MAX_REASON:
        raise InvalidInput(f"the reason has {len(reason)} characters; {MAX_REASON} are kept")
    if not 0 <= for_ms <= MAX_FOR_MS:
        raise InvalidInput(f"a pause lasts at most {MAX_FOR_MS // 86_400_000} days")

    def read(reply: object) -> Pause | None:
        match code_and_rest(PauseOutcome, reply):
            case PauseOutcome.OK, [int(since_ms), int(until_ms)]:
                return Pause(target, since_ms, until_ms or None, reason)
            case PauseOutcome.FULL, []:
                return None
        raise unexpected_reply(reply)

    stored = keyspace.cipher_of(keyspace.pauses).encrypted(reason.encode(), about(str(target)))
    return PAUSE.command(
        read, keyspace.pauses, target=str(target), for_ms=for_ms, reason=stored, most=MAX_PAUSES
    )


def resume(keyspace: Keyspace, target: PauseTarget) -> Command[bool]:
    """End a pause; False: there is none."""
    return Command(flag, ("HDEL", keyspace.pauses, str(target)))


def every(keyspace: Keyspace) -> Command[list[Pause]]:
    """All pauses, in the order in which they began; also those that have ended a while ago."""

    def read(reply: object) -> list[Pause]:
        found = (_pause(keyspace, name, stored) for name, stored in pairs(reply))
        return sorted((one for one in found if one is not None), key=lambda one: one.since_ms)

    return Command(read, ("HGETALL", keyspace.pauses))


def about(target: str) -> str:
    """What the encrypted reason of a pause is about."""
    return "pause\0" + target


def reencrypted(keyspace: Keyspace, target: bytes, stored: bytes) -> bytes:
    """A pause as it would be encrypted now. Raises CannotDecrypt."""
    since, end, reason = _parts(stored)
    cipher = keyspace.cipher_of(keyspace.pauses)
    return b" ".join(
        (since, end, cipher.reencrypted(reason, about(target.decode(errors="replace"))))
    )


def _pause(keyspace: Keyspace, name: bytes, stored: bytes) -> Pause | None:
    """A pause as it is stored; None of what another program has written there."""
    since, end, reason = _parts(stored)
    if not all(one.isdigit() and len(one) <= MOST_DIGITS for one in (since, end)):
        return None
    try:
        target = PauseTarget.of(name.decode(errors="replace"))
    except InvalidInput:
        return None
    try:
        plain = keyspace.cipher_of(keyspace.pauses).decrypted(reason, about(str(target)))
        text = plain.decode(errors="replace")
    except CannotRead:
        text = UNREADABLE
    return Pause(target, int(since), int(end) or None, text)


def _size_bytes(given: object, *, what: str) -> int:
    """How large a text is. Raises InvalidInput for what is none."""
    if not isinstance(given, str):
        raise InvalidInput(f"{what} must be text, not {type(given).__name__}")
    try:
        return len(given.encode())
    except UnicodeEncodeError:
        raise InvalidInput(f"{what} is not valid Unicode") from None


def _parts(stored: bytes) -> tuple[bytes, bytes, bytes]:
    since, _, rest = stored.partition(b" ")
    end, _, reason = rest.partition(b" ")
    return since, end, reason
