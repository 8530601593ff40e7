"""Members of an index of ids that are none: another program wrote them."""

import logging
from collections.abc import Sequence

from memory.ids import is_id
from memory.records import index
from memory.records.index import Entry
from memory.redis.connection import Connection

logger = logging.getLogger(__name__)


def without_strangers(
    connection: Connection, index_key: str, batch: Sequence[Entry]
) -> list[Entry]:
    """Those of `batch` that are ids. The others are removed from the index, and counted in the log.

    Each run of clean-up would meet them first, and get no further.
    """
    ids = [entry for entry in batch if is_id(entry.member)]
    strangers = [entry for entry in batch if not is_id(entry.member)]
    if strangers:
        logger.warning(
            "%s had %d members that are not ids; they were removed",
            index_key,
            len(strangers),
        )
        connection.run(index.forget(index_key, strangers))
    return ids
