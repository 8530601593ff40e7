"""What can go wrong in the memory, by what the caller can do about it.

MemoryServiceError
├── InvalidInput            the caller's data is wrong: fix it; nothing was written
├── MemoryUnavailable       Redis cannot be reached or did not answer in time: try again later
│   └── MemoryBusy          it answered, but cannot serve now (loading, read-only, fail-over)
├── MemoryFull              Redis is out of memory: free some, then try again; nothing was written
├── MemoryRefused           wrong password, no permission, bad certificate: fix the configuration
├── CorruptData             a key holds another type than ours, or a reply has no meaning for us
├── CannotRead              another process can read the record: it stays where it is
│   ├── CannotDecrypt       it is encrypted with a key that is not set: set it
│   └── NewerFormat         a newer Griot wrote it: update this process
├── CursorExpired           the events after the cursor are gone: read the history, follow from now
└── MailboxError            an operation of a session's mailbox was refused
    └── Backpressure        the mailbox is full: wait for its jobs, or raise CHAT_MAX_PENDING

Nothing above this package ever sees an exception of redis-py: `failures.translating` is the one
place where those become these.
"""


class MemoryServiceError(Exception):
    """Any failure of the memory service."""


class InvalidInput(MemoryServiceError, ValueError):
    """An argument is not acceptable. Raised before anything is written."""


class MemoryUnavailable(MemoryServiceError, ConnectionError):
    """Redis could not be reached, or did not answer in time.

    Whether a write under way took effect is not known; every write of this package is safe to
    repeat.
    """


class MemoryBusy(MemoryUnavailable):
    """Redis answers but cannot serve just now: it loads its data, fails over or is read-only."""


class MemoryFull(MemoryServiceError):
    """Redis has reached `maxmemory` and refused the write. Nothing was written."""


class MemoryRefused(MemoryServiceError, PermissionError):
    """Redis rejected the password, this user may not run the command or touch the key, there is no
    database of that number, or its certificate was not accepted."""


class CorruptData(MemoryServiceError):
    """A key holds a value of another type than this package writes. Nothing was written."""


class CannotRead(MemoryServiceError):
    """A record cannot be read here, and can elsewhere. It stays where it is."""


class CannotDecrypt(CannotRead):
    """A record does not decrypt with the keys of GRIOT_ENCRYPTION_KEYS."""

    def __init__(self, owner: str, key_id: str, *, is_known: bool) -> None:
        why = (
            "but the key of that id in GRIOT_ENCRYPTION_KEYS does not decrypt it: either "
            "that key is a different one, or the record was changed or moved"
            if is_known
            else "which is not in GRIOT_ENCRYPTION_KEYS: add it there and restart the process"
        )
        super().__init__(f"a record of {owner} is encrypted with key {key_id!r}, {why}")
        self.key_id = key_id
        self.is_known = is_known


class NewerFormat(CannotRead):
    """A record has a version of its format that this Griot does not know (docs/decisions.md, "Each
    record says which version of its format it has")."""

    def __init__(self, what: str, version: int, newest: int) -> None:
        super().__init__(
            f"{what} has format version {version} and this Griot reads up to version {newest}: a "
            "newer Griot wrote it; update this process"
        )
        self.version = version

    @classmethod
    def check(cls, what: str, version: object, newest: int) -> None:
        """Raise it where `version`, as a record says it, is a number over `newest`."""
        if isinstance(version, int) and version > newest:
            raise cls(what, version, newest)


class CursorExpired(MemoryServiceError):
    """Events after this cursor have been trimmed or have expired; the history has what was said."""

    def __init__(self, cursor: str) -> None:
        super().__init__(
            f"the events after {cursor} are no longer kept; read the history and follow from now"
        )
        self.cursor = cursor


class MailboxError(MemoryServiceError):
    """A mailbox refused an operation."""


class Backpressure(MailboxError):
    """The session already has as many unanswered jobs as it may have. The job was not taken in."""

    def __init__(self, agent_id: str, session_id: str, pending: int) -> None:
        super().__init__(
            f"session {session_id!r} of agent {agent_id!r} already has {pending} unanswered jobs; "
            "wait for some of them, or raise CHAT_MAX_PENDING"
        )
        self.pending = pending
