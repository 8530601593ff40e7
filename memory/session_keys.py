"""The names of the keys of one session."""

from dataclasses import dataclass, field
from functools import cache

from memory.encryption.keyring import Cipher
from memory.lifetimes import ARCHIVE_HOLD_S

OF_SESSION = (
    *("queue", "delayed", "schedules", "jobs", "callbacks", "lease", "done", "requests", "outbox"),
    *("dead", "events", "write_ids", "summary", "archive"),
)
"""The keys of a session that are named after its history's."""


@cache
def heads_of_session(prefix: str) -> tuple[tuple[str, str], ...]:
    """What they begin with under a prefix, by their names in `SessionKeys`."""
    heads = [(name, f"{prefix}:{name}:") for name in OF_SESSION]
    return (*heads, ("users", f"{prefix}:session_users:"))


# Not frozen, as a turn makes several: that would take three times as long.
@dataclass(slots=True)
class SessionKeys:
    """The keys of one session of one agent; all have one hash tag. `cipher` encrypts and decrypts
    what lies under them. A value: nobody changes it."""

    agent_id: str
    session_id: str
    history: str
    queue: str
    delayed: str
    schedules: str
    jobs: str
    callbacks: str
    lease: str
    done: str
    requests: str
    outbox: str
    dead: str
    events: str
    write_ids: str
    summary: str
    archive: str
    users: str
    cipher: Cipher = field(compare=False, repr=False)
    is_archived: bool = field(default=False, compare=False)
    """Whether the history goes to an archive before it leaves Redis."""

    def __hash__(self) -> int:
        # The relay looks one up for each token; the history's key says all that the others say.
        return hash(self.history)

    def held_s(self, ttl_s: int) -> int:
        """How long a history stays in Redis that is to be kept for `ttl_s`: where there is an
        archive, until that has taken it, ages later."""
        return ttl_s + ARCHIVE_HOLD_S if self.is_archived else ttl_s

    def promised_s(self, left_s: int) -> int:
        """What of a history's TTL is the time that it is kept for after its last use; 0 where that
        is over and the archive has not taken it yet."""
        return max(0, left_s - ARCHIVE_HOLD_S) if left_s > ARCHIVE_HOLD_S // 2 else left_s
