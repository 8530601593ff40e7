"""The API keys that open the gateway: who has them and what they may do, never the key itself.

A key is shown once, when it is made: `griot_<id>_<secret>`. Kept is a SHA-256 of the secret, which
has 256 random bits, so nothing slower is needed.

Beside them lies a mark that there was a key. It stays when the last one is revoked, so that a
gateway that was closed opens again only where somebody says so.
"""

import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Self

import orjson

from memory.errors import CorruptData
from memory.keys import Keyspace
from memory.redis.command import Command
from memory.redis.replies import integer, optional, strings

MARK = "griot"
SECRET_BYTES = 32
ID_BYTES = 6
CLOSED = "closed"
"""The mark: no key has such an id."""


class Scope(StrEnum):
    """What a key may do."""

    AGENTS = "agents"
    """See which agents and models there are."""
    READ = "read"
    """Read responses and conversations of its owner."""
    WRITE = "write"
    """Send, cancel and change in the name of its owner."""
    OPERATE = "operate"
    """See the queue and the sessions of all owners, and handle dead letters."""
    ERASE = "erase"
    """Erase responses and conversations of its owner; with `operate` those of all."""
    READ_TEXT = "read_text"
    """With `operate`: read what was said in the sessions of all owners."""


USUAL = (Scope.AGENTS, Scope.READ, Scope.WRITE)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as it is kept. `agents`: those that it may use; None: all. `created_at` is Unix
    time in seconds. `quota`: the bounds of whoever has a key of this name, by the names that
    memory.quotas.owners.Quota has for them. `webhook` is told how each response has ended that
    names no other."""

    key_id: str
    name: str
    owner: str
    scopes: tuple[Scope, ...]
    agents: tuple[str, ...] | None
    created_at: float
    digest: str = field(repr=False)
    quota: Mapping[str, int] = field(default_factory=dict)
    webhook: str | None = field(default=None, repr=False)

    @classmethod
    def new(
        cls,
        *,
        name: str,
        owner: str,
        scopes: Sequence[Scope],
        agents: Sequence[str] | None,
        quota: Mapping[str, int] | None = None,
        webhook: str | None = None,
    ) -> tuple[Self, str]:
        """A new key, and what its holder sends: it is nowhere else."""
        key_id, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
        among = None if agents is None else tuple(agents)
        now_s, digest = time.time(), _digest(secret)
        key = cls(key_id, name, owner, tuple(scopes), among, now_s, digest, quota or {}, webhook)
        return key, "_".join((MARK, key_id, secret))

    def is_opened_by(self, secret: str) -> bool:
        """Whether this is the key's secret; takes the same time for any that is not."""
        return secrets.compare_digest(self.digest, _digest(secret))

    def packed(self) -> bytes:
        """The key as it lies in Redis."""
        return orjson.dumps(asdict(self))

    @classmethod
    def parsed(cls, stored: bytes) -> Self:
        """`packed` the other way round. Raises CorruptData."""
        try:
            facts: Mapping[str, object] = orjson.loads(stored)
            match facts:
                case {
                    "key_id": str(key_id), "name": str(name), "owner": str(owner),
                    "scopes": list(scopes), "agents": list() | None as agents,
                    "created_at": int() | float() as at, "digest": str(digest),
                }:  # fmt: skip
                    known = tuple(Scope(one) for one in scopes)
                    among = None if agents is None else tuple(map(str, agents))
                    quota, hook = _quota(facts.get("quota", {})), facts.get("webhook")
                    webhook = hook if isinstance(hook, str) else None
                    return cls(key_id, name, owner, known, among, float(at), digest, quota, webhook)
        except ValueError:
            pass
        raise CorruptData("an API key's record is none of ours")


def split(token: str) -> tuple[str, str] | None:
    """The id and the secret in what a client sends; None where it is no key of ours."""
    match token.split("_", 2):
        case [mark, key_id, secret] if mark == MARK and key_id and secret:
            return key_id, secret
    return None


def save(keyspace: Keyspace, key: ApiKey) -> Command[int]:
    """Keep a key, and that there was one. Safe to repeat."""
    return Command(integer, ("HSET", keyspace.api_keys, key.key_id, key.packed(), CLOSED, b""))


def find(keyspace: Keyspace, key_id: str) -> Command[ApiKey | None]:
    """A key by its id; None where there is none."""

    def read(reply: object) -> ApiKey | None:
        stored = optional(bytes)(reply)
        return ApiKey.parsed(stored) if stored else None

    return Command(read, ("HGET", keyspace.api_keys, key_id))


def every(keyspace: Keyspace) -> Command[list[ApiKey]]:
    """All keys, the oldest first."""

    def read(reply: object) -> list[ApiKey]:
        found = [ApiKey.parsed(stored) for stored in strings(reply) if stored]
        return sorted(found, key=lambda key: key.created_at)

    return Command(read, ("HVALS", keyspace.api_keys))


def is_closed(keyspace: Keyspace) -> Command[bool]:
    """Whether a key is needed: there is one, or there was one."""
    return Command(lambda reply: integer(reply) > 0, ("HLEN", keyspace.api_keys))


def reopen(keyspace: Keyspace) -> Command[int]:
    """Forget that there were keys; those that there are stay, and are needed."""
    return Command(integer, ("HDEL", keyspace.api_keys, CLOSED))


def revoke(keyspace: Keyspace, key_id: str) -> Command[int]:
    """Forget a key: 1, or 0 where there was none. It opens nothing from then on."""
    return Command(integer, ("HDEL", keyspace.api_keys, key_id))


def _quota(stored: object) -> dict[str, int]:
    if isinstance(stored, dict) and all(isinstance(one, int) for one in stored.values()):
        return {str(name): bound for name, bound in stored.items()}
    raise CorruptData("the quota of an API key is none of ours")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
