"""Keys that belong together and to no session; each group has a hash tag."""

from dataclasses import dataclass, fields
from functools import cache

from memory.ids import encode_id


@dataclass(frozen=True, slots=True)
class SlotKeys:
    """The keys of one model at some servers; all have one hash tag. `tag` names the model.

    `slots` has a key for each server, in the servers' order.
    """

    tag: str
    waiters: str
    round_robin: str
    enqueued_at: str
    call_stats: str
    slots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutageKeys:
    """The keys of what sessions wait for: a model server that is away, or something that is paused;
    both have one hash tag."""

    outage: str
    parked: str


@dataclass(frozen=True, slots=True)
class QuotaKeys:
    """The keys by which the jobs of a deployment are counted and found; all have one hash tag."""

    pending_jobs: str
    owners: str
    counts: str
    totals: str
    job_records: str
    job_index: str
    record_ends: str
    usage_ids: str

    @classmethod
    @cache
    def of(cls, prefix: str) -> "QuotaKeys":
        """Those under a prefix of keys."""
        return cls(*(f"{prefix}:{one.name}:{{quotas}}" for one in fields(cls)))


@dataclass(frozen=True, slots=True)
class WebhookKeys:
    """The keys of the webhooks that are to be sent, and of those to one host; all have one hash
    tag."""

    webhook_hosts: str
    webhook_due: str
    webhooks: str
    webhook_sessions: str
    webhook_letters: str


@dataclass(frozen=True, slots=True)
class EmbeddingKeys:
    """The keys of one request for vectors; all have one hash tag."""

    embedding: str
    embedding_lease: str
    embedding_answer: str

    @classmethod
    def of(cls, prefix: str, request_id: str) -> "EmbeddingKeys":
        """Those of a request, under a prefix of keys."""
        tag = encode_id(request_id, what="request_id")
        names = ("embedding", "embedding_lease", "embedding_answer")
        return cls(*(f"{prefix}:{name}:{{{tag}}}" for name in names))
