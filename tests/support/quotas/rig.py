"""The quotas of a deployment, with a clock that only the test moves; and what they must come to."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from memory.keys import Keyspace
from memory.quotas import charges, owners, pending
from memory.quotas.charges import Charged
from memory.quotas.owners import Owner, Quota
from memory.quotas.pending import PendingCounts
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import strings
from tests.support.mailbox.server_clock import ClockedConnection

START_MS = 1_800_000_000_000
MINUTE_MS, DAY_MS = 60_000, 86_400_000


@dataclass
class QuotaRig:
    """The counts and quotas at the time `now_ms`."""

    connection: Connection
    keyspace: Keyspace
    now_ms: int = START_MS

    def __post_init__(self) -> None:
        self.connection = ClockedConnection(self.connection, lambda: self.now_ms)

    def later(self, delay_ms: int) -> None:
        self.now_ms += delay_ms

    def charge(self, job: str, *whose: Owner) -> Charged:
        return self.connection.run(charges.charge(self.keyspace, job, whose))

    def note(self, job: str, *whose: Owner) -> PendingCounts:
        return self.connection.run(pending.note(self.keyspace, job, whose))

    def look(self, agent_id: str) -> PendingCounts:
        return self.connection.run(pending.look(self.keyspace, agent_id))

    def release(self, *jobs: str) -> int:
        return self.connection.run(pending.release(self.keyspace, jobs))

    def refund(self, job: str, *whose: Owner) -> int:
        return self.connection.run(charges.refund(self.keyspace, job, whose))

    def spend(self, job: str, tokens: int, *whose: Owner, attempt: str = "t1") -> list[int]:
        spending = charges.spend(self.keyspace, job, whose, tokens, lease_token=attempt)
        return self.connection.run_each(spending)

    def ask(self, *args: str | bytes | int) -> object:
        """The plain reply to a command."""
        return self.connection.run(Command(lambda reply: reply, args))

    def key_names(self) -> list[bytes]:
        """All keys there are."""
        return sorted(strings(self.ask("KEYS", f"{self.keyspace.prefix}:*")))

    def dump(self) -> dict[bytes, object]:
        """Every key with its serialized value: equal dumps mean that nothing was written."""
        return {key: self.ask("DUMP", key) for key in self.key_names()}


def agent(agent_id: str = "energy", **rules: int) -> Owner:
    """An agent with a quota."""
    return owners.agent(agent_id, Quota(**rules))


def user(user_id: str = "ama", **rules: int) -> Owner:
    """A user with a quota."""
    return owners.user(user_id, Quota(**rules))


@dataclass
class Bucket:
    """A token bucket as a textbook has it: so much in it, filled up as time goes by."""

    size: float
    period_ms: float
    level: float = field(init=False)
    at_ms: int = START_MS

    def __post_init__(self) -> None:
        self.level = self.size

    def fill(self, now_ms: int) -> float:
        self.level = min(self.size, self.level + (now_ms - self.at_ms) * self.size / self.period_ms)
        self.at_ms = now_ms
        return self.level

    def take(self, amount: float) -> None:
        self.level = min(self.size, self.level - amount)


@dataclass
class OwnerModel:
    """What one owner may do, by plain bookkeeping."""

    owner: Owner
    jobs: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        per_minute, per_day, _ = self.owner.quota.rules
        self.minute = None if per_minute is None else Bucket(per_minute, MINUTE_MS)
        self.day = None if per_day is None else Bucket(per_day, DAY_MS)

    def slack(self, now_ms: int) -> float:
        """By how much this owner's quota has room for a job: 0 is the edge, below it has none."""
        at_once = self.owner.quota.jobs_at_once
        room = [1.0 if at_once is None or len(self.jobs) < at_once else -1.0]
        for bucket in (self.minute, self.day):
            if bucket is not None:
                room.append(bucket.fill(now_ms) - 1)
        return min(room)


@dataclass
class QuotaModel:
    """All owners of a test, and who pays for which job."""

    owners: Sequence[OwnerModel]
    now_ms: int = START_MS
    paid: dict[str, str] = field(default_factory=dict)
    """The attempt at each job that has paid last."""

    def slack(self) -> float:
        return min(one.slack(self.now_ms) for one in self.owners)

    @property
    def jobs(self) -> set[str]:
        return self.owners[0].jobs

    def admit(self, job: str) -> None:
        for one in self.owners:
            one.jobs.add(job)
            if one.minute is not None:
                one.minute.take(1)

    def drop(self, job: str, *, is_refunded: bool = False) -> None:
        for one in self.owners:
            if job in one.jobs and is_refunded and one.minute is not None:
                one.minute.fill(self.now_ms)
                one.minute.take(-1)
            one.jobs.discard(job)
        self.paid.pop(job, None)

    def spend(self, job: str, tokens: int, attempt: str) -> None:
        if job in self.jobs and self.paid.get(job) != attempt:
            self.paid[job] = attempt
            for one in self.owners:
                if one.day is not None:
                    one.day.fill(self.now_ms)
                    one.day.take(tokens)
