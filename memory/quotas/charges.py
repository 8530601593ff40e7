"""Taking a job out of the quotas of its owners: before it is taken in, and as attempts end.

Pure, as `mailbox`: functions return commands. Each is safe to repeat, and may raise CorruptData
when sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

from memory.keys import Keyspace
from memory.lifetimes import ADMISSION_MS, PENDING_MS
from memory.quotas.job_records import FORGET_RECORDS
from memory.quotas.owners import RULES, Owner, user
from memory.quotas.pending import NOTE_JOB, RELEASE_JOBS, owner_names
from memory.quotas.usage import COUNT_USAGE
from memory.redis.command import Command, LuaScript
from memory.redis.replies import code_and_rest, count, nothing, unexpected_reply

MINUTE_MS, DAY_MS = 60_000, 86_400_000

CHARGE = LuaScript.load("quotas", "charge")
REFUND = LuaScript.load("quotas", "refund")
SPEND = LuaScript.load("quotas", "spend")
SCRIPTS = (NOTE_JOB, RELEASE_JOBS, CHARGE, REFUND, SPEND, COUNT_USAGE, FORGET_RECORDS)


class ChargeOutcome(StrEnum):
    """Whether a job may be taken in."""

    CHARGED = "CHARGED"
    KNOWN = "KNOWN"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class Charged:
    """The answer to CHARGE. REFUSED fills `owner`, whose quota is used up, the `rule` of it, and
    `wait_ms`, after which it has room; None: once one of its jobs has ended."""

    outcome: ChargeOutcome
    owner: Owner | None = None
    rule: str = ""
    wait_ms: int | None = None


def charge(keyspace: Keyspace, job_id: str, owners: Sequence[Owner]) -> Command[Charged]:
    """Take a job out of the quotas of its owners, all or none; one at least has a quota.

    It counts as pending for a minute; `pending.note` prolongs that.
    """
    bounded = _bounded(owners)
    limits: list[str | int] = []
    for one in bounded:
        limits += [one.name, *(rule or 0 for rule in one.quota.rules)]

    def read(reply: object) -> Charged:
        outcome, rest = code_and_rest(ChargeOutcome, reply)
        match rest:
            case []:
                return Charged(outcome)
            case [int(number), int(rule), int(wait_ms)] if 0 < number <= len(bounded) and (
                0 < rule <= len(RULES)
            ):
                known_ms = None if wait_ms < 0 else wait_ms
                return Charged(outcome, bounded[number - 1], RULES[rule - 1], known_ms)
        raise unexpected_reply(reply)

    return CHARGE.command(
        read,
        keyspace.quotas,
        more_keys=_buckets(keyspace, bounded),
        job=job_id,
        its_owners=owner_names(owners),
        admission_ms=ADMISSION_MS,
        pending_ms=PENDING_MS,
        limits=tuple(limits),
    )


def refund(keyspace: Keyspace, job_id: str, owners: Sequence[Owner]) -> Command[int]:
    """Give back what a job was charged that was not taken in, and count it no longer."""
    bounded = _bounded(owners)
    return REFUND.command(
        count,
        keyspace.quotas,
        more_keys=_buckets(keyspace, bounded),
        job=job_id,
        per_minute=tuple(one.quota.jobs_per_minute or 0 for one in bounded),
    )


def spend(
    keyspace: Keyspace, job_id: str, owners: Sequence[Owner], tokens: int, *, lease_token: str
) -> tuple[Command[int], ...]:
    """Take an attempt's tokens out of the quotas of its job's owners; nothing where none counts
    them. An attempt is known by its lease token.

    Before the job's end is delivered: it is known then.
    """
    counting = [owner for owner in owners if owner.quota.tokens_per_day is not None]
    if not (counting and tokens):
        return ()
    spending = SPEND.command(
        count,
        keyspace.quotas,
        more_keys=_buckets(keyspace, counting),
        job=job_id,
        lease_token=lease_token,
        tokens=tokens,
        per_day=tuple(one.quota.tokens_per_day or 0 for one in counting),
    )
    return (spending,)


def used(keyspace: Keyspace, owner: Owner, *, now_ms: int) -> Command[tuple[float, float]]:
    """What an owner has used up of its jobs per minute and its tokens per day, as parts of them; a
    day's tokens may be overdrawn, by more than 1 then. `now_ms` is the server's time."""

    def read(reply: object) -> tuple[float, float]:
        match reply:
            case [jobs_until, tokens_until]:
                return _part(jobs_until, now_ms, MINUTE_MS), _part(tokens_until, now_ms, DAY_MS)
        raise unexpected_reply(reply)

    return Command(read, ("HMGET", keyspace.quota(owner.name), "jobs_until", "tokens_until"))


def _part(until: object, now_ms: int, whole_ms: int) -> float:
    # A bucket is kept as the time at which it is full again (memory/redis/lua/bucket.lua).
    try:
        left_ms = float(until) - now_ms if isinstance(until, bytes) else 0.0
    except ValueError:
        return 0.0
    return round(max(0.0, left_ms) / whole_ms, 3) if isfinite(left_ms) else 0.0


def forget_user(keyspace: Keyspace, user_id: str) -> Command[None]:
    """Forget what a user has used up."""
    return Command(nothing, ("UNLINK", keyspace.quota(user(user_id).name)))


def _bounded(owners: Sequence[Owner]) -> list[Owner]:
    return [owner for owner in owners if owner.quota.is_set]


def _buckets(keyspace: Keyspace, owners: Sequence[Owner]) -> tuple[str, ...]:
    return tuple(keyspace.quota(owner.name) for owner in owners)
