"""The name of every key that Griot keeps in Redis.

Key names are a contract; docs/redis-keys.md says what each key holds and how long it lives. The
companions of a session carry the session's history key in braces, so that all of a session's keys
lie on one server of a Redis Cluster and one script may touch them together.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from memory.encryption.keyring import NO_KEYS, Cipher, Keyring
from memory.errors import CorruptData, InvalidInput
from memory.ids import encode_id
from memory.key_groups import EmbeddingKeys, OutageKeys, QuotaKeys, SlotKeys, WebhookKeys
from memory.quoting import quoted
from memory.session_keys import SessionKeys, heads_of_session

__all__ = ("DEFAULT_PREFIX", "PREFIX_PATTERN", "Keyspace", "SessionKeys")

DEFAULT_PREFIX = "ecowas"

PREFIX_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(:[A-Za-z0-9._-]{1,64}){0,3}$"


@dataclass(frozen=True, slots=True)
class Keyspace:
    """Names the keys under one prefix (`REDIS_KEY_PREFIX`)."""

    prefix: str = DEFAULT_PREFIX
    is_cluster: bool = False
    """Whether keys with different tags may lie on different servers."""
    keyring: Keyring = field(default=NO_KEYS, compare=False, repr=False)
    """What encrypts what people say."""
    has_archive: bool = field(default=False, compare=False)
    """Whether histories go to an archive before they leave Redis."""

    def __post_init__(self) -> None:
        if not re.fullmatch(PREFIX_PATTERN, self.prefix):
            raise InvalidInput(
                f"key prefix {quoted(self.prefix)} may contain only letters, digits and . _ - :"
            )

    def session(self, agent_id: str, session_id: str) -> SessionKeys:
        """The keys of one session."""
        agent = encode_id(agent_id, what="agent_id")
        session = encode_id(session_id, what="session_id")
        history = f"{self.prefix}:history:{agent}:{session}"
        tag = f"{{{history}}}"
        return SessionKeys(
            agent_id=agent_id,
            session_id=session_id,
            history=history,
            **{name: head + tag for name, head in heads_of_session(self.prefix)},
            cipher=self.keyring.cipher_of(history),
            is_archived=self.has_archive,
        )

    def parse_history(self, history_key: str) -> SessionKeys:
        """`session` the other way round, for a key of a history. Raises CorruptData for one that
        `session` never gives."""
        keys = self.find_session(history_key)
        if keys is None:
            raise CorruptData(
                f"{quoted(history_key)} is not the key of a history under {self.prefix!r}"
            )
        return keys

    def find_session(self, history_key: str) -> SessionKeys | None:
        """`parse_history`, but None for a key that `session` never gives."""
        agent, _, session = history_key.removeprefix(f"{self.prefix}:history:").partition(":")
        try:
            keys = self.session(unquote(agent, errors="strict"), unquote(session, errors="strict"))
        except ValueError:  # InvalidInput, or not UTF-8
            return None
        # Another spelling of the same ids is no key of ours: a session has one.
        return keys if keys.history == history_key else None

    def parse_session_key(self, key: str) -> tuple[str, SessionKeys] | None:
        """The kind of one of a session's keys, by its name in `SessionKeys`, and the session; None
        for all other keys."""
        kind, _, name = key.removeprefix(f"{self.prefix}:").partition(":")
        keys = self.find_session(key if kind == "history" else name[1:-1])
        return None if keys is None or getattr(keys, kind, "") != key else (kind, keys)

    def slots(self, model: str, servers: Sequence[str]) -> SlotKeys:
        """The keys of one model at these servers."""
        tag = encode_id(model, what="model")
        names = [encode_id(server, what="server") for server in servers]
        return SlotKeys(
            tag=tag,
            slots=tuple(f"{self.prefix}:slots:{{{tag}}}:{name}" for name in names),
            waiters=f"{self.prefix}:waiters:{{{tag}}}",
            round_robin=f"{self.prefix}:round_robin:{{{tag}}}",
            enqueued_at=f"{self.prefix}:enqueued_at:{{{tag}}}",
            call_stats=f"{self.prefix}:call_stats:{{{tag}}}",
        )

    def answered(self, server: str, model: str) -> str:
        """That a model answers somebody at a server."""
        tag = encode_id(model, what="model")
        return f"{self.prefix}:answered:{{{tag}}}:{encode_id(server, what='server')}"

    def outage(self, server: str) -> OutageKeys:
        """The keys of one model server that is away."""
        tag = encode_id(server, what="server")
        return OutageKeys(
            outage=f"{self.prefix}:outage:{{{tag}}}", parked=f"{self.prefix}:parked:{{{tag}}}"
        )

    def embedding(self, request_id: str) -> EmbeddingKeys:
        """The keys of one request for vectors."""
        return EmbeddingKeys.of(self.prefix, request_id)

    @property
    def quotas(self) -> QuotaKeys:
        """The keys by which jobs are counted and found."""
        return QuotaKeys.of(self.prefix)

    def usage(self, day: str) -> str:
        """What was used on a day, YYYYMMDD."""
        return f"{self.prefix}:usage:{{quotas}}:{day}"

    def quota(self, owner: str) -> str:
        """What an owner of jobs (memory/quotas/owners.py) has used up of its quota."""
        return f"{self.prefix}:quota:{{quotas}}:{owner}"

    def webhooks_to(self, host: str) -> WebhookKeys:
        """The keys of the webhooks, with those to this host (name and port)."""
        return WebhookKeys(
            webhook_hosts=f"{self.prefix}:webhook_hosts:{{webhooks}}",
            webhook_due=f"{self.prefix}:webhook_due:{{webhooks}}:{encode_id(host, what='host')}",
            webhooks=f"{self.prefix}:webhooks:{{webhooks}}",
            webhook_sessions=f"{self.prefix}:webhook_sessions:{{webhooks}}",
            webhook_letters=f"{self.prefix}:webhook_letters:{{webhooks}}",
        )

    def state(self, agent_id: str) -> str:
        """The agent's state."""
        return f"{self.prefix}:state:{encode_id(agent_id, what='agent_id')}"

    def session_data(self, session_id: str, key: str) -> str:
        """One value of the session's data."""
        session = encode_id(session_id, what="session_id")
        return f"{self.prefix}:session:{session}:{encode_id(key, what='key')}"

    def cipher_of(self, key: str) -> Cipher:
        """What encrypts and decrypts the value of a key that belongs to no session of an agent."""
        return self.keyring.cipher_of(key)

    def session_fields(self, session_id: str) -> str:
        """The index of a session's data keys."""
        return f"{self.prefix}:fields:{encode_id(session_id, what='session_id')}"

    def sessions(self, agent_id: str) -> str:
        """The index of an agent's sessions."""
        return f"{self.prefix}:sessions:{encode_id(agent_id, what='agent_id')}"

    def user(self, user: str) -> str:
        """The index of a user's sessions."""
        return f"{self.prefix}:users:{encode_id(user, what='user')}"

    def job(self, job_id: str) -> str:
        """Where to find a job's mailbox."""
        return f"{self.prefix}:job:{encode_id(job_id, what='job_id')}"

    @property
    def agents(self) -> str:
        """The index of all agents."""
        return f"{self.prefix}:agents"

    @property
    def users(self) -> str:
        """The index of all users."""
        return f"{self.prefix}:users"

    @property
    def due(self) -> str:
        """The due list: the mailboxes that a sweeper must look at, by time."""
        return f"{self.prefix}:due"

    @property
    def schedules(self) -> str:
        """The sessions that have schedules, by the time at which a worker must look at them."""
        return f"{self.prefix}:schedules"

    @property
    def delayed(self) -> str:
        """The sessions that have delayed jobs, by the time at which a worker must look at them."""
        return f"{self.prefix}:delayed"

    @property
    def outbox(self) -> str:
        """The sessions that have ends to be delivered for long."""
        return f"{self.prefix}:outbox"

    @property
    def dead(self) -> str:
        """The sessions that have dead letters."""
        return f"{self.prefix}:dead"

    @property
    def cancellations(self) -> str:
        """The jobs that their worker is asked to stop, as they come."""
        return f"{self.prefix}:cancellations"

    @property
    def encryption_keys(self) -> str:
        """A record under each key that encrypts, for all processes to try theirs on."""
        return f"{self.prefix}:encryption_keys"

    @property
    def waiting_models(self) -> str:
        """The models for which a session waited lately."""
        return f"{self.prefix}:waiting_models"

    @property
    def outages(self) -> str:
        """The model servers that were away lately."""
        return f"{self.prefix}:outages"

    @property
    def pauses(self) -> str:
        """What an operator has paused."""
        return f"{self.prefix}:pauses"

    @property
    def summary_lock(self) -> str:
        """Which worker makes a summary now."""
        return f"{self.prefix}:summary_lock"

    @property
    def queue_wait(self) -> str:
        """How long wake-ups wait in the broker's queue."""
        return f"{self.prefix}:queue_wait"

    def upkeep(self, task: str) -> str:
        """Where a task that goes over all sessions goes on in its next run."""
        return f"{self.prefix}:upkeep:{task}"

    def report(self, worker: str) -> str:
        """What a worker says of itself."""
        return f"{self.prefix}:report:{encode_id(worker, what='worker')}"

    @property
    def workers(self) -> str:
        """The workers that say something of themselves, by when they did last."""
        return f"{self.prefix}:workers"

    @property
    def watched(self) -> str:
        """That somebody looks at the workers."""
        return f"{self.prefix}:watched"

    @property
    def turn_counts(self) -> str:
        """What all turns came to, counted."""
        return f"{self.prefix}:turn_counts"

    @property
    def api_keys(self) -> str:
        """The API keys of the gateway."""
        return f"{self.prefix}:api_keys"

    @property
    def archive_run(self) -> str:
        """What the last run of the archiver came to."""
        return f"{self.prefix}:archive_run"

    @property
    def archive_lock(self) -> str:
        """Which process archives now."""
        return f"{self.prefix}:archive_lock"

    @property
    def archive_forgotten(self) -> str:
        """The sessions whose archived messages are to be deleted."""
        return f"{self.prefix}:archive_forgotten"

    @property
    def audit(self) -> str:
        """Who did what to what is kept."""
        return f"{self.prefix}:audit"

    @property
    def stats(self) -> str:
        """The memory statistics over time."""
        return f"{self.prefix}:stats"
