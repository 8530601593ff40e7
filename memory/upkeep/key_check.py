"""Whether a process has the keys that the records of all others are encrypted with.

Under each key that encrypts, the first process that uses it leaves a record; everybody else tries
its own keys on those.
"""

from contextlib import suppress

from memory.errors import CannotDecrypt, NewerFormat
from memory.keys import Keyspace
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import nothing, pairs, strings

CANARY = b"griot"


def prove_keys(connection: Connection, keyspace: Keyspace) -> list[CannotDecrypt]:
    """Leave a record under the key that encrypts, if there is none yet, and try all that are there.

    What does not decrypt here; a record of a newer Griot proves nothing. Safe to repeat. Raises
    MemoryServiceError.
    """
    key, cipher = keyspace.encryption_keys, keyspace.cipher_of(keyspace.encryption_keys)
    if (first := keyspace.keyring.first) is not None:
        record = cipher.encrypted(CANARY, first)
        connection.run(Command(nothing, ("HSETNX", key, first, record)))
    found = list[CannotDecrypt]()
    for key_id, record in connection.run(Command(pairs, ("HGETALL", key))):
        try:
            with suppress(NewerFormat):
                cipher.decrypted(record, key_id.decode(errors="replace"))
        except CannotDecrypt as exc:
            found.append(exc)
    return found


def forget_other_keys(connection: Connection, keyspace: Keyspace) -> None:
    """Forget the keys that encrypt nothing any more: for who has written all records anew."""
    first = (keyspace.keyring.first or "").encode()
    known = connection.run(Command(strings, ("HKEYS", keyspace.encryption_keys)))
    if others := [one for one in known if one != first]:
        connection.run(Command(nothing, ("HDEL", keyspace.encryption_keys, *others)))
