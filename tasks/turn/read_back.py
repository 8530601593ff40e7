"""A session that comes back: the end of its conversation, out of the archive into Redis."""

import asyncio
import logging
from dataclasses import replace

from memory import Acquired, ArchiveUnavailable, AsyncConnection, Keyspace, SessionKeys
from memory.archive.store import Archive
from memory.ids import shown_id
from memory.records import archived, history
from memory.redis.command import ignore_corrupt

logger = logging.getLogger(__name__)

AT_LEAST = 100
"""So many messages are read back, whatever the turn needs: a later one may be shown more."""


class ArchiveReader:
    """What reads back for the turns of a process. Without a `file` nothing is asked anywhere."""

    def __init__(
        self, memory: AsyncConnection, keyspace: Keyspace, file: Archive | None, *, most: int
    ) -> None:
        """`most`: messages that a history may have."""
        self._memory = memory
        self._keyspace = keyspace
        self._file = file
        self._most = most

    async def read_back(
        self, keys: SessionKeys, job_id: str, acquired: Acquired, *, wanted: int
    ) -> tuple[Acquired, int | None]:
        """What was acquired, with the history that the archive has of a session of which Redis has
        none: at least the last `wanted` messages. How many messages were read back for this job, be
        it by an earlier attempt; None where the archive cannot be read. Raises
        MemoryServiceError."""
        if self._file is None or acquired.stored_messages:
            return acquired, await self._came_back(keys, job_id)
        at_most = min(max(wanted, AT_LEAST), self._most)
        try:
            part = await asyncio.to_thread(self._file.newest, keys, at_most=at_most)
        except ArchiveUnavailable as exc:
            logger.error(
                "session %s is answered without its archived messages, which stay in the "
                "archive: %s",
                shown_id(keys.session_id),
                exc,
            )
            return acquired, None
        if part is None:
            return acquired, 0
        # After the archive was asked: what is forgotten or removed from here on is told apart.
        rev, is_readable = await self._memory.run_all(*archived.readable(self._keyspace, keys))
        if not is_readable:
            return acquired, 0
        back = archived.read_back(keys, part, job_id=job_id, attempt=acquired.attempt, rev=rev)
        is_back = await self._memory.run(back)
        # A repeat after a lost reply is told that there is a history: ours, as nobody else may
        # begin a turn meanwhile.
        found = await self._memory.run(history.stored(keys, at_most=max(wanted, 1)))
        if not is_back and not found:
            return acquired, 0
        stored = max(len(part.records), len(found))
        shown = tuple(found[-wanted:]) if wanted else ()
        return replace(acquired, history=shown, stored_messages=stored), len(part.records)

    async def _came_back(self, keys: SessionKeys, job_id: str) -> int:
        if self._file is None:
            return 0
        # Of a key that is damaged the archiver tells: no turn fails by it.
        return await self._memory.run(ignore_corrupt(archived.came_back(keys, job_id), 0))
