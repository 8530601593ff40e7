"""Writing anew what lies in Redis, as the keys of GRIOT_ENCRYPTION_KEYS say it now.

That encrypts what is plain, brings what an older key encrypted under the first one, and makes all
of it plain where `plain` is first.
"""

from collections.abc import Iterator

from memory.keys import Keyspace
from memory.pauses import pauses
from memory.records.values import VALUE
from memory.redis.connection import Connection
from memory.upkeep.reencrypted_records import (
    FIELDS,
    reencrypted_event,
    reencrypted_letter,
    reencrypted_message,
)
from memory.upkeep.rewriting import Rewrites, Rewriting, rewrite

REENCRYPTED = Rewrites(
    value=lambda cipher, stored: cipher.reencrypted(stored, VALUE),
    message=reencrypted_message,
    letter=reencrypted_letter,
    event=reencrypted_event,
    fields=FIELDS,
    pause=pauses.reencrypted,
)


def reencrypt(connection: Connection, keyspace: Keyspace) -> Iterator[Rewriting]:
    """Go over all keys; how far it is, after each page of them. Raises MemoryServiceError."""
    return rewrite(connection, keyspace, REENCRYPTED)
