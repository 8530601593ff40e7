"""Every key that Griot keeps in Redis: its name, its type, how long it lives.

Key names are a contract (docs/redis-keys.md; a test holds the two together). The companions of a
session carry the session's history key in braces, so that all of a session's keys lie on one server
of a Redis Cluster and one script may touch them together.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from memory.errors import CorruptData, InvalidInput
from memory.ids import encode_id

DEFAULT_PREFIX = "ecowas"

DEDUPE_MS = 7 * 24 * 3600 * 1000
"""How long the mark of a done job is kept: longer than any message is delivered again."""
DEAD_MS = 30 * 24 * 3600 * 1000
"""How long a dead letter is kept."""

PREFIX_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(:[A-Za-z0-9._-]{1,64}){0,3}$"


@dataclass(frozen=True, slots=True)
class KeyKind:
    """One kind of key: what the documentation says of it."""

    pattern: str
    redis_type: str
    ttl: str
    holds: str
    is_permanent: bool = False


KINDS: tuple[KeyKind, ...] = (
    KeyKind("history:<agent>:<session>", "list", "session", "messages, JSON, oldest first"),
    KeyKind("state:<agent>", "string", "session", "the agent's state, JSON"),
    KeyKind("session:<session>:<key>", "string", "session", "one value of its data, JSON"),
    KeyKind(
        "fields:<session>", "zset", "session", "name of a session's data key → when it expires, ms"
    ),
    KeyKind("queue:{H}", "zset", "none while pending", "job id → sequence number, µs", True),
    KeyKind("jobs:{H}", "hash", "none while pending", "job id → envelope", True),
    KeyKind("lease:{H}", "hash", "dedupe window", "the running head: token, until, job, attempt …"),
    KeyKind(
        "done:{H}", "zset", "dedupe window", "job id → ms; + committed, - cancelled, merged or dead"
    ),
    KeyKind(
        "requests:{H}", "hash", "dedupe window", "job id → digest, user and size of its request"
    ),
    KeyKind(
        "untold:{H}",
        "hash",
        "dedupe window",
        "job that another took out → the job it is merged into, or empty",
    ),
    KeyKind("dead:{H}", "list", "30 days", "dead letters with their reason"),
    KeyKind("events:{H}", "stream", "session", "the session's events"),
    KeyKind(
        "write_ids:{H}", "zset", "10 minutes", "id of a write → ms: the same write twice acts once"
    ),
    KeyKind(
        "slots:{M}:<server>",
        "zset",
        "1 day",
        "lease token, or session with a reserved slot → when that expires, ms",
    ),
    KeyKind("waiters:{M}", "zset", "1 day", "waiters: <agent>:<arrival of the job, µs>:<session>"),
    KeyKind(
        "round_robin:{M}", "zset", "1 day", "agent that has waiters → its position in the round"
    ),
    KeyKind(
        "enqueued_at:{M}", "hash", "1 day", "<agent>:<session> that waits → arrival of its job, µs"
    ),
    KeyKind("call_stats:{M}", "hash", "1 day", "number of calls, and their mean length, ms"),
    KeyKind("summary:{H}", "hash", "session", "a summary of earlier turns: text, until, claim"),
    KeyKind("job:<job>", "string", "dedupe window", "H: where a job's mailbox is"),
    KeyKind("due", "zset", "none", "H → ms at which a sweeper looks at this mailbox", True),
    KeyKind("owed", "zset", "none", "job id → ms at which its result is overdue", True),
    KeyKind("dead", "zset", "none", "H → ms of the session's last dead letter", True),
    KeyKind("agents", "zset", "none", "agent id → last activity, ms", True),
    KeyKind("sessions:<agent>", "zset", "none", "session id → last activity, ms", True),
    KeyKind("users", "zset", "none", "user → last activity, ms", True),
    KeyKind(
        "users:<user>", "zset", "none", "<agent>:<session> → the user's last message, ms", True
    ),
    KeyKind("session_users:{H}", "zset", "none", "user → last message in this session, ms", True),
    KeyKind("cancellations", "stream", "none; capped", "jobs that their worker is to stop", True),
    KeyKind(
        "waiting_models",
        "zset",
        "none",
        "M → ms at which a session last began to wait for a slot",
        True,
    ),
    KeyKind(
        "summary_lock",
        "string",
        "seconds",
        "which worker makes a summary now; any message removes it",
    ),
    KeyKind("queue_wait", "string", "1 minute", "how long wake-ups wait in the broker's queue, ms"),
    KeyKind("upkeep:<task>", "string", "1 day", "where it goes on: agent, ms, entries of this ms"),
    KeyKind("stats", "stream", "none; capped", "memory statistics over time", True),
)
"""`H` stands for the session's history key, `M` for a model. A permanent kind may live
without a TTL."""


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """The keys of one session of one agent; all have one hash tag."""

    agent_id: str
    session_id: str
    history: str
    queue: str
    jobs: str
    lease: str
    done: str
    requests: str
    untold: str
    dead: str
    events: str
    write_ids: str
    summary: str
    users: str

    def __hash__(self) -> int:
        # The relay looks one up for each token; the history's key says all that the others say.
        return hash(self.history)


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
class Keyspace:
    """Names the keys under one prefix (`REDIS_KEY_PREFIX`)."""

    prefix: str = DEFAULT_PREFIX

    def __post_init__(self) -> None:
        if not re.fullmatch(PREFIX_PATTERN, self.prefix):
            raise InvalidInput(f"key prefix {self.prefix!r} may hold letters, digits and . _ - :")

    def session(self, agent_id: str, session_id: str) -> SessionKeys:
        """The keys of one session."""
        agent = encode_id(agent_id, what="agent_id")
        session = encode_id(session_id, what="session_id")
        history = f"{self.prefix}:history:{agent}:{session}"
        return SessionKeys(
            agent_id=agent_id,
            session_id=session_id,
            history=history,
            queue=f"{self.prefix}:queue:{{{history}}}",
            jobs=f"{self.prefix}:jobs:{{{history}}}",
            lease=f"{self.prefix}:lease:{{{history}}}",
            done=f"{self.prefix}:done:{{{history}}}",
            requests=f"{self.prefix}:requests:{{{history}}}",
            untold=f"{self.prefix}:untold:{{{history}}}",
            dead=f"{self.prefix}:dead:{{{history}}}",
            events=f"{self.prefix}:events:{{{history}}}",
            write_ids=f"{self.prefix}:write_ids:{{{history}}}",
            summary=f"{self.prefix}:summary:{{{history}}}",
            users=f"{self.prefix}:session_users:{{{history}}}",
        )

    def parse_history(self, history_key: str) -> SessionKeys:
        """The keys of the session whose history key this is: `session` the other way round.

        Raises CorruptData for a key that `session` never gives.
        """
        keys = self.find_session(history_key)
        if keys is None:
            raise CorruptData(f"{history_key!r} is not the key of a history under {self.prefix!r}")
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

    def state(self, agent_id: str) -> str:
        """The agent's state."""
        return f"{self.prefix}:state:{encode_id(agent_id, what='agent_id')}"

    def session_data(self, session_id: str, key: str) -> str:
        """One value of the session's data."""
        session = encode_id(session_id, what="session_id")
        return f"{self.prefix}:session:{session}:{encode_id(key, what='key')}"

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
    def owed(self) -> str:
        """The jobs that are over and whose result is not stored yet, by time."""
        return f"{self.prefix}:owed"

    @property
    def dead(self) -> str:
        """The sessions that have dead letters."""
        return f"{self.prefix}:dead"

    @property
    def cancellations(self) -> str:
        """The jobs that their worker is asked to stop, as they come."""
        return f"{self.prefix}:cancellations"

    @property
    def waiting_models(self) -> str:
        """The models for which a session waited lately."""
        return f"{self.prefix}:waiting_models"

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

    @property
    def stats(self) -> str:
        """The memory statistics over time."""
        return f"{self.prefix}:stats"
