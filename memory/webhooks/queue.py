"""Webhooks on their way: noted when a job has ended, claimed by whoever sends them, forgotten when
their receiver has them; a dead letter when that fails for good.

They lie apart from the mailboxes, as receivers are away for longer than an outbox lives. Each host
has a queue of its own, so that one that does not answer keeps no other waiting. A claim is a lease:
a sender that dies with it loses nothing (docs/decisions.md, "Webhooks wait in queues of their
receivers").

Pure, as `mailbox`: functions return commands. Each is safe to repeat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Self

import orjson

from memory.errors import CorruptData
from memory.key_groups import WebhookKeys
from memory.keys import Keyspace, SessionKeys
from memory.lifetimes import DEAD_MS, WEBHOOK_MS
from memory.redis.command import Command, LuaScript, ignore_corrupt
from memory.redis.replies import after_ok, code_and_count, flag, integer, raw, strings, text
from telemetry import tracing

NOTE_WEBHOOK = LuaScript.load("webhooks", "note_webhook")
CLAIM_WEBHOOKS = LuaScript.load("webhooks", "claim_webhooks")
PUT_OFF_WEBHOOK = LuaScript.load("webhooks", "put_off_webhook")
END_WEBHOOK = LuaScript.load("webhooks", "end_webhook")
GIVE_UP_WEBHOOK = LuaScript.load("webhooks", "give_up_webhook")

MOST = 10_000
"""So many webhooks may be pending, and so many dead letters of them are kept."""
FULL = f"{MOST} webhooks were pending"
"""Why one is a dead letter that was never tried."""
HOSTS_AT_ONCE = 200
ANY_HOST = "any"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook that is to be sent. `host` is name and port of `url`, `session` the key of its
    job's history; `created_at` is Unix time in seconds, `attempts` how often it was tried,
    `error` what the last try came to, and `trace` the place of its job in a trace."""

    event_id: str
    kind: str
    job_id: str
    host: str
    session: str
    url: str = field(repr=False)
    created_at: int = 0
    attempts: int = 0
    error: str = ""
    trace: Mapping[str, str] = field(default_factory=dict)

    def packed(self) -> bytes:
        """The webhook as it lies in Redis; scripts read its first two words."""
        facts = asdict(self)
        # Older processes know no such field, and take what has one for damaged.
        if not self.trace:
            del facts["trace"]
        return f"{self.host} {self.session} ".encode() + orjson.dumps(facts)

    @classmethod
    def parsed(cls, stored: bytes) -> Self:
        """`packed` the other way round. Raises CorruptData."""
        try:
            _, _, facts = stored.split(b" ", 2)
            match orjson.loads(facts):
                case {
                    "event_id": str(), "kind": str(), "job_id": str(), "host": str(),
                    "session": str(), "url": str(), "created_at": int(), "attempts": int(),
                    "error": str(), **others,
                } as known if not others.keys() - {"trace"}:  # fmt: skip
                    return cls(**{**known, "trace": tracing.checked(others.get("trace"))})
        except ValueError:
            pass
        raise CorruptData("the record of a webhook is none of ours")


def note(keyspace: Keyspace, webhook: Webhook) -> Command[bool]:
    """Take in a webhook; whether it is new and will be sent, and no dead letter at once."""
    noted = NOTE_WEBHOOK.command(
        lambda reply: code_and_count(reply)[0] == b"OK",
        _keys(keyspace, webhook),
        event=webhook.event_id,
        host=webhook.host,
        session=webhook.session,
        record=webhook.packed(),
        most=MOST,
        kept_ms=WEBHOOK_MS,
    )
    # docs/decisions.md, "A damaged key beside the sessions fails no job".
    return ignore_corrupt(noted, False)


def due_hosts(keyspace: Keyspace, *, now_ms: int) -> Command[list[str]]:
    """The hosts to which a webhook is due by Redis' time, the longest due first."""
    name = keyspace.webhooks_to(ANY_HOST).webhook_hosts
    parts = ("ZRANGEBYSCORE", name, "-inf", now_ms, "LIMIT", 0, HOSTS_AT_ONCE)
    return Command(lambda reply: [text(one) for one in strings(reply)], parts)


@dataclass(frozen=True, slots=True)
class Claimed:
    """Webhooks that the caller may send; `damaged` are ids of records that cannot be read."""

    webhooks: tuple[Webhook, ...]
    damaged: tuple[str, ...]


def claim(keyspace: Keyspace, host: str, *, limit: int, lease_ms: int) -> Command[Claimed]:
    """Webhooks to a host that are due: the caller's for `lease_ms`, then due again."""
    return CLAIM_WEBHOOKS.command(
        _claimed, keyspace.webhooks_to(host), host=host, limit=limit, lease_ms=lease_ms
    )


def _claimed(reply: object) -> Claimed:
    webhooks, damaged, flat = list[Webhook](), list[str](), after_ok(reply)
    for event_id, stored in zip(flat[::2], flat[1::2], strict=True):
        try:
            webhooks.append(Webhook.parsed(raw(stored)))
        except CorruptData:
            damaged.append(text(event_id))
    return Claimed(tuple(webhooks), tuple(damaged))


def put_off(keyspace: Keyspace, webhook: Webhook, *, wait_ms: int) -> Command[bool]:
    """Keep a webhook as it is now, due in `wait_ms`; False: it is gone."""
    return PUT_OFF_WEBHOOK.command(
        flag,
        _keys(keyspace, webhook),
        event=webhook.event_id,
        host=webhook.host,
        record=webhook.packed(),
        wait_ms=wait_ms,
        kept_ms=WEBHOOK_MS,
    )


def end(keyspace: Keyspace, webhook: Webhook) -> Command[bool]:
    """Forget a webhook; False: it was gone."""
    return END_WEBHOOK.command(
        flag,
        _keys(keyspace, webhook),
        event=webhook.event_id,
        host=webhook.host,
        session=webhook.session,
    )


def drop_damaged(keyspace: Keyspace, host: str, event_id: str) -> Command[bool]:
    """Forget a webhook whose record cannot be read; its session is not known."""
    keys = keyspace.webhooks_to(host)
    return END_WEBHOOK.command(flag, keys, event=event_id, host=host, session="")


def give_up(keyspace: Keyspace, webhook: Webhook) -> Command[bool]:
    """Make a webhook a dead letter; False: it is gone."""
    return GIVE_UP_WEBHOOK.command(
        flag,
        _keys(keyspace, webhook),
        event=webhook.event_id,
        host=webhook.host,
        record=webhook.packed(),
        most=MOST,
        letter_ms=DEAD_MS,
        kept_ms=WEBHOOK_MS,
    )


def counts(keyspace: Keyspace) -> tuple[Command[int], Command[int]]:
    """How many webhooks there are in all, and how many of them are dead letters."""
    keys = keyspace.webhooks_to(ANY_HOST)
    return (
        Command(integer, ("HLEN", keys.webhooks)),
        Command(integer, ("ZCARD", keys.webhook_letters)),
    )


def letter_ids(keyspace: Keyspace) -> Command[list[tuple[str, int]]]:
    """The ids of the dead letters, the latest first, each with when it died (ms)."""
    name = keyspace.webhooks_to(ANY_HOST).webhook_letters
    return Command(_scored, ("ZREVRANGE", name, 0, -1, "WITHSCORES"))


def died_at(keyspace: Keyspace, event_id: str) -> Command[int | None]:
    """When a webhook became a dead letter (ms); None for one that is none."""
    name = keyspace.webhooks_to(ANY_HOST).webhook_letters
    return Command(_moment, ("ZSCORE", name, event_id))


def of_session(keyspace: Keyspace, keys: SessionKeys) -> Command[list[str]]:
    """The ids of a session's webhooks."""
    name, begin = keyspace.webhooks_to(ANY_HOST).webhook_sessions, f"{keys.history} "

    def read(reply: object) -> list[str]:
        return [text(one).removeprefix(begin) for one in strings(reply)]

    # The character behind a space bounds what begins like this.
    return Command(read, ("ZRANGEBYLEX", name, f"[{begin}", f"({keys.history}!"))


def find(keyspace: Keyspace, event_ids: Sequence[str]) -> Command[list[Webhook]]:
    """Webhooks by their ids, at least one; those that are gone are left out."""

    def read(reply: object) -> list[Webhook]:
        found = reply if isinstance(reply, list) else []
        return [Webhook.parsed(raw(one)) for one in found if one is not None]

    return Command(read, ("HMGET", keyspace.webhooks_to(ANY_HOST).webhooks, *event_ids))


def _keys(keyspace: Keyspace, webhook: Webhook) -> WebhookKeys:
    return keyspace.webhooks_to(webhook.host)


def _moment(reply: object) -> int | None:
    return None if reply is None else int(float(raw(reply)))


def _scored(reply: object) -> list[tuple[str, int]]:
    flat = strings(reply)
    return [
        (text(one), int(float(score))) for one, score in zip(flat[::2], flat[1::2], strict=True)
    ]
