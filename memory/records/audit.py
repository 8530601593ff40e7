"""Who did what to what is kept: cancelled, sent again, dropped, erased, exported, paused.

A deed has two entries in one capped stream: one before it, so that also a deed that was killed in
its middle has left its mark, and one with what came of it. Neither holds a word of a conversation,
and of a session or a user only a digest of the id: what is erased must not live on in the record of
its erasure. Whoever knows the id finds the records with it (`digest_of`).
"""

import getpass
import logging
import socket
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import blake2b
from typing import TypeAlias

from memory.errors import InvalidInput, MemoryServiceError
from memory.keys import Keyspace
from memory.lifetimes import AUDIT_MS
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import nothing, strings, unexpected_reply
from memory.settings import AuditSettings

logger = logging.getLogger(__name__)

KEPT_ENTRIES = 100_000
"""About 20 MB at most; the oldest go first."""
PAGE_ENTRIES = 500
MAX_TEXT = 200
_ACTING: ContextVar[str] = ContextVar("acting", default="")
DONE = "done"


class Deed(StrEnum):
    """What is recorded."""

    CANCEL = "cancel"
    REQUEUE = "requeue"
    DROP = "drop"
    """A dead letter was deleted."""
    ERASE = "erase"
    READ = "read"
    """An operator has read what was said, in a session that need not be theirs."""
    EXPORT = "export"
    IMPORT = "import"
    REENCRYPT = "reencrypt"
    MIGRATE = "migrate"
    CREATE_KEY = "create key"
    REVOKE_KEY = "revoke key"
    """An API key of the gateway."""
    CREATE_SCHEDULE = "create schedule"
    PAUSE_SCHEDULE = "pause schedule"
    RESUME_SCHEDULE = "resume schedule"
    DELETE_SCHEDULE = "delete schedule"
    PAUSE = "pause"
    RESUME = "resume"
    """Of an agent, a model, a model server, or all: the outcome names which."""
    DRAIN = "drain"
    """A worker was asked to finish and end: the outcome names it."""
    OPEN_GATEWAY = "open gateway"
    """It needs no key any more, as none is left."""


@dataclass(slots=True)
class OngoingDeed:
    """A deed that is being done; what `outcome` says when it ends is recorded, without any text of
    users."""

    deed: Deed
    agent_id: str = ""
    session: str = ""
    """A digest, as `user`."""
    user: str = ""
    job_id: str = ""
    outcome: str = DONE
    deed_id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class Record:
    """A deed as it is recorded, ids that it is not about empty. `outcome` None: it has not ended,
    or its process died."""

    at: datetime
    actor: str
    deed: str
    agent_id: str
    session: str
    user: str
    job_id: str
    outcome: str | None

    def is_about(self, an_id: str) -> bool:
        """Whether this is the id of its agent, session, user or job."""
        digest = digest_of(an_id)
        return an_id in (self.agent_id, self.job_id) or digest in (self.session, self.user)


Recording: TypeAlias = AbstractContextManager[OngoingDeed]
"""What records a deed while it is done."""


@contextmanager
def recorded(
    connection: Connection,
    keyspace: Keyspace,
    deed: Deed,
    *,
    agent_id: str = "",
    session_id: str = "",
    user: str = "",
    job_id: str = "",
) -> Iterator[OngoingDeed]:
    """Record a deed before it is done, and what comes of it: `outcome`, or the error's class.

    A record that cannot be written is logged as an error; it keeps nobody from a deed. Where the
    deed fails for the same reason, its error says it.
    """
    session, user = (digest_of(one) if one else "" for one in (session_id, user))
    entry = OngoingDeed(deed, agent_id, session, user, job_id)
    missing = _write(connection, keyspace, _beginning(entry))
    failure: BaseException | None = None
    try:
        yield entry
    except BaseException as exc:
        entry.outcome, failure = f"failed: {type(exc).__name__}", exc
        raise
    finally:
        # An outcome alone would be of no deed.
        end = {"of": entry.deed_id, "outcome": entry.outcome}
        missing = missing or _write(connection, keyspace, end)
        if missing is not None and type(missing) is not type(failure):
            ended = entry.outcome if failure else "was done"
            logger.error(
                "the %s by %s %s, but is missing in the audit: %s", deed, actor(), ended, missing
            )


def digest_of(an_id: str) -> str:
    """What the record has in place of the id of a session or user."""
    digest = blake2b(an_id.encode(errors="replace"), digest_size=16, person=b"griot audit")
    return f"blake2b:{digest.hexdigest()}"


def records(
    connection: Connection, keyspace: Keyspace, *, since: datetime | None = None
) -> Iterator[Record]:
    """The deeds recorded since a moment, the latest first; read a page at a time.

    What another program wrote there is left out. Raises InvalidInput for a moment without time
    zone, and MemoryServiceError.
    """
    if since is not None and since.tzinfo is None:
        raise InvalidInput("since must have a time zone")
    start = "-" if since is None else str(max(0, int(since.timestamp() * 1000)))
    outcomes: dict[str, str] = {}
    seen: set[str] = set()
    for entry_id, fields in _entries(connection, keyspace, start):
        if "outcome" in fields:
            outcomes[fields.get("of", "")] = fields["outcome"]
        # A write whose answer was lost is repeated.
        elif "deed" in fields and (deed_id := fields.get("id", "")) not in seen:
            seen.add(deed_id)
            yield _record(entry_id, fields, outcomes.pop(deed_id, None))


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Record what is done in this context, and in threads that it is copied to, as done by
    `name`: for a process that acts for many."""
    token = _ACTING.set(name)
    try:
        yield
    finally:
        _ACTING.reset(token)


def actor() -> str:
    """Who acts here: whom `acting_as` names, else GRIOT_ACTOR, else this process' user@host."""
    if acting := _ACTING.get():
        return acting
    if named := AuditSettings().actor:
        return named
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name; KeyError before Python 3.13
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def _beginning(entry: OngoingDeed) -> dict[str, str]:
    found = {
        "id": entry.deed_id,
        "deed": entry.deed.value,
        "actor": actor(),
        "agent": entry.agent_id,
        "session": entry.session,
        "user": entry.user,
        "job": entry.job_id,
    }
    return {name: value for name, value in found.items() if value}


def _write(
    connection: Connection, keyspace: Keyspace, fields: dict[str, str]
) -> MemoryServiceError | None:
    """Add an entry; what keeps it out of the audit, if anything does."""
    flat = [part for name, value in fields.items() for part in (name, _bounded(value))]
    add: tuple[str | int, ...] = ("XADD", keyspace.audit, "MAXLEN", "~", KEPT_ENTRIES, "*", *flat)
    live = ("PEXPIRE", keyspace.audit, AUDIT_MS)
    try:
        connection.run_all(Command(nothing, add), Command(nothing, live))
    except MemoryServiceError as exc:
        return exc
    return None


def _bounded(value: str) -> str:
    text = value.encode(errors="replace").decode()
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def _entries(
    connection: Connection, keyspace: Keyspace, start: str
) -> Iterator[tuple[str, dict[str, str]]]:
    end = "+"
    while True:
        parts = ("XREVRANGE", keyspace.audit, end, start, "COUNT", PAGE_ENTRIES)
        page = connection.run(Command(_page, parts))
        yield from page
        if len(page) < PAGE_ENTRIES:
            return
        end = f"({page[-1][0]}"


def _page(reply: object) -> list[tuple[str, dict[str, str]]]:
    if not isinstance(reply, list):
        raise unexpected_reply(reply)
    return [_entry(one) for one in reply]


def _entry(reply: object) -> tuple[str, dict[str, str]]:
    match reply:
        case [bytes(entry_id), list(flat)]:
            words = [one.decode(errors="replace") for one in strings(flat)]
            return entry_id.decode(), dict(zip(words[::2], words[1::2], strict=True))
    raise unexpected_reply(reply)


def _record(entry_id: str, fields: dict[str, str], outcome: str | None) -> Record:
    return Record(
        at=_moment(entry_id),
        actor=fields.get("actor", ""),
        deed=fields["deed"],
        agent_id=fields.get("agent", ""),
        session=fields.get("session", ""),
        user=fields.get("user", ""),
        job_id=fields.get("job", ""),
        outcome=outcome,
    )


def _moment(entry_id: str) -> datetime:
    try:
        return datetime.fromtimestamp(int(entry_id.partition("-")[0]) / 1000, tz=UTC)
    except (ValueError, OverflowError, OSError):  # of another program: beyond all years
        return datetime.fromtimestamp(0, tz=UTC)
