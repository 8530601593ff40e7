"""Texts that wait for their vectors, and the vectors that wait for whoever asked.

Somebody waits for each request, so nothing of it is kept: who asks puts it here with a TTL, has a
worker told its id, and removes it when they have the answer or give up. A worker claims it for as
long as its lease lasts. Texts and vectors are encrypted where words of conversations are.

Pure, as `mailbox`: functions return commands. Each is safe to repeat.
"""

from memory.keys import Keyspace
from memory.redis.command import Command
from memory.redis.replies import integer, is_ok, optional

REQUEST, ANSWER = "embedding", "embedding_answer"
"""What the encrypted records are about."""


def put(keyspace: Keyspace, request_id: str, request: bytes, *, ttl_ms: int) -> Command[bool]:
    """Let a request wait for a worker, for `ttl_ms` at most."""
    key = keyspace.embedding(request_id).embedding
    stored = keyspace.cipher_of(key).encrypted(request, REQUEST)
    return Command(is_ok, ("SET", key, stored, "PX", ttl_ms))


def find(keyspace: Keyspace, request_id: str) -> Command[bytes | None]:
    """The request; None where nobody waits for its answer any more. May raise CannotRead."""
    key = keyspace.embedding(request_id).embedding
    cipher = keyspace.cipher_of(key)
    return Command(optional(lambda stored: cipher.decrypted(stored, REQUEST)), ("GET", key))


def is_wanted(keyspace: Keyspace, request_id: str) -> Command[int]:
    """1 while somebody waits for the answer."""
    return Command(integer, ("EXISTS", keyspace.embedding(request_id).embedding))


def claim(keyspace: Keyspace, request_id: str, token: str, *, lease_ms: int) -> Command[bool]:
    """Take a request on for `lease_ms`; False: another worker has it."""
    key = keyspace.embedding(request_id).embedding_lease

    def read(reply: object) -> bool:
        return reply is None or reply == token.encode()

    return Command(read, ("SET", key, token, "NX", "GET", "PX", lease_ms))


def renew(keyspace: Keyspace, request_id: str, *, lease_ms: int) -> Command[int]:
    """Prolong a claim; 0: it is lost."""
    return Command(integer, ("PEXPIRE", keyspace.embedding(request_id).embedding_lease, lease_ms))


def release(keyspace: Keyspace, request_id: str) -> Command[int]:
    """Give a claim up: the request may go to another worker."""
    return Command(integer, ("UNLINK", keyspace.embedding(request_id).embedding_lease))


def is_claimed(keyspace: Keyspace, request_id: str) -> Command[int]:
    """1 while a worker has the request."""
    return Command(integer, ("EXISTS", keyspace.embedding(request_id).embedding_lease))


def answer(keyspace: Keyspace, request_id: str, answer: bytes, *, ttl_ms: int) -> Command[bool]:
    """Leave the answer for whoever asked, for `ttl_ms` at most."""
    key = keyspace.embedding(request_id).embedding_answer
    stored = keyspace.cipher_of(key).encrypted(answer, ANSWER)
    return Command(is_ok, ("SET", key, stored, "PX", ttl_ms))


def answered(keyspace: Keyspace, request_id: str) -> Command[bytes | None]:
    """The answer; None where there is none yet. May raise CannotRead."""
    key = keyspace.embedding(request_id).embedding_answer
    cipher = keyspace.cipher_of(key)
    return Command(optional(lambda stored: cipher.decrypted(stored, ANSWER)), ("GET", key))


def forget(keyspace: Keyspace, request_id: str) -> Command[int]:
    """Remove all of a request; who works on it stops."""
    keys = keyspace.embedding(request_id)
    return Command(integer, ("UNLINK", keys.embedding, keys.embedding_answer))
