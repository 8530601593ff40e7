"""The dead letters of all sessions, page by page."""

import re
from dataclasses import dataclass
from typing import Self

from memory import Connection, Keyspace, Mailbox, dead_letters
from memory.redis.command import ignore_corrupt
from tasks.overview.paging import place_in

SESSIONS_LOOKED_AT = 200
"""A page may be short where sessions are listed whose letters have expired: it says where to go
on."""
NO_LETTERS = dead_letters.Letters(())
_PLACE = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class LetterShown:
    """A dead letter without its words. `size_bytes`: of the envelope as it is kept."""

    job_id: str
    agent_id: str
    session_id: str
    attempts: int
    died_at_ms: int
    reason: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class LetterPage:
    """Dead letters, of the session with the latest first; `next`: where the next page begins."""

    letters: tuple[LetterShown, ...]
    next: str | None


@dataclass(slots=True)
class _LetterStart:
    """In the list of sessions, and in the letters of that session, from its last one on."""

    session: int = 0
    letter: int = 0

    @classmethod
    def parsed(cls, text: str) -> Self:
        found = place_in(text, _PLACE)
        return cls() if found is None else cls(int(found[1]), int(found[2]))

    @property
    def packed(self) -> str:
        return f"{self.session}.{self.letter}"


def letters(memory: Connection, keyspace: Keyspace, place: str, *, limit: int) -> LetterPage:
    """A page of them. Where the list changes between two pages, a letter may be in both or in none.

    Raises InvalidInput for a `place` that is none of ours, and MemoryServiceError.
    """
    at, found = _LetterStart.parsed(place), list[LetterShown]()
    listed = dead_letters.listed_sessions(keyspace, skip=at.session, limit=SESSIONS_LOOKED_AT)
    sessions = memory.run(listed)
    for keys in sessions:
        if keys is not None:
            wanted = limit - len(found)
            mailbox = Mailbox(keyspace, keys)
            # One more than wanted: whether the session has others yet.
            page = dead_letters.latest(mailbox, skip=at.letter, limit=wanted + 1)
            read = memory.run(ignore_corrupt(page, NO_LETTERS))
            newest = [*reversed(read.letters)]
            found += [_shown(keys.agent_id, keys.session_id, one) for one in newest[:wanted]]
            if len(read.letters) + read.corrupt > wanted:
                at.letter += wanted
                return LetterPage(tuple(found), at.packed)
        at.session, at.letter = at.session + 1, 0
    return LetterPage(tuple(found), at.packed if len(sessions) == SESSIONS_LOOKED_AT else None)


def _shown(agent_id: str, session_id: str, one: dead_letters.DeadLetter) -> LetterShown:
    return LetterShown(
        job_id=one.job_id,
        agent_id=agent_id,
        session_id=session_id,
        attempts=one.attempts,
        died_at_ms=one.died_at_ms,
        reason=one.reason,
        size_bytes=one.too_large_bytes or len(one.envelope),
    )
