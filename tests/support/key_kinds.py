"""Every kind of key that Griot keeps in Redis; docs/redis-keys.md has the same table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyKind:
    """One kind of key: what the documentation says of it."""

    pattern: str
    redis_type: str
    ttl: str
    holds: str
    is_permanent: bool = False


KINDS: tuple[KeyKind, ...] = (
    KeyKind(
        "history:<agent>:<session>",
        "list",
        "session; none while a job waits",
        "messages, JSON, oldest first",
        True,
    ),
    KeyKind("state:<agent>", "string", "session", "the agent's state, JSON"),
    KeyKind("session:<session>:<key>", "string", "session", "one value of its data, JSON"),
    KeyKind(
        "fields:<session>", "zset", "session", "name of a session's data key → when it expires, ms"
    ),
    KeyKind("queue:{H}", "zset", "none while pending", "job id → sequence number, µs", True),
    KeyKind(
        "delayed:{H}",
        "zset",
        "none",
        "job that is not to take its place yet → when it is due, ms",
        True,
    ),
    KeyKind("schedules:{H}", "hash", "none", "id of a schedule → what is sent when, JSON", True),
    KeyKind("jobs:{H}", "hash", "none while pending", "job id → envelope", True),
    KeyKind(
        "callbacks:{H}",
        "hash",
        "none while pending",
        "job id → what follows it: links, chord, chain, webhook; lines of JSON",
        True,
    ),
    KeyKind(
        "lease:{H}",
        "hash",
        "dedupe window",
        "the running head: token, until, job, attempt …; up to which job the session is "
        "interactive, and from which on batch",
    ),
    KeyKind(
        "done:{H}", "zset", "dedupe window", "job id → ms; + committed, - cancelled, merged or dead"
    ),
    KeyKind(
        "requests:{H}", "hash", "dedupe window", "job id → digest, user and size of its request"
    ),
    KeyKind(
        "outbox:{H}",
        "hash",
        "dedupe window",
        "job whose result is not delivered → deliverer, last event, callbacks",
    ),
    KeyKind("dead:{H}", "list", "30 days", "dead letters with their reason"),
    KeyKind(
        "events:{H}",
        "stream",
        "session",
        "the session's events; the last one of a call has `by`, whose it was and its number",
    ),
    KeyKind(
        "write_ids:{H}", "zset", "10 minutes", "id of a write → ms: the same write twice acts once"
    ),
    KeyKind(
        "slots:{M}:<server>",
        "zset",
        "1 day",
        "lease token, or session with a reserved slot → when that expires, ms",
    ),
    KeyKind(
        "waiters:{M}",
        "zset",
        "1 day",
        "waiters: <agent>:<arrival of the job, µs>:<session>, with `!` before it where it is "
        "interactive, `#` where it is batch",
    ),
    KeyKind(
        "round_robin:{M}",
        "zset",
        "1 day",
        "agent that has waiters, marked as these → its position in the round of its class",
    ),
    KeyKind(
        "enqueued_at:{M}",
        "hash",
        "1 day",
        "<agent>:<session> that waits → arrival of its job, µs, marked as the waiter",
    ),
    KeyKind(
        "call_stats:{M}",
        "hash",
        "1 day",
        "number of calls, their mean length, ms; while several classes wait, whose turn it is",
    ),
    KeyKind(
        "answered:{M}:<server>",
        "string",
        "25 hours",
        "its TTL says when a call of the model last got a piece of its reply",
    ),
    KeyKind(
        "outage:{S}",
        "hash",
        "2 days",
        "model server that is away, or pause: since when, next look, whether it is over",
    ),
    KeyKind("parked:{S}", "zset", "2 days", "<agent>:<session> that waits for it → place, µs"),
    KeyKind("summary:{H}", "hash", "session", "a summary of earlier turns: text, until, claim"),
    KeyKind(
        "archive:{H}",
        "hash",
        "none; goes with the history",
        "name of the history in the archive; how many of its messages have left Redis; how many "
        "came back, and for which job",
        True,
    ),
    KeyKind(
        "job:<job>",
        "string",
        "dedupe window; 30 days with a dead letter",
        "digest of the job's request, and H: where its mailbox is",
    ),
    KeyKind(
        "embedding:{R}", "string", "as long as somebody waits", "texts that wait for vectors, JSON"
    ),
    KeyKind("embedding_lease:{R}", "string", "CHAT_LEASE_SECONDS", "which worker makes them"),
    KeyKind(
        "embedding_answer:{R}", "string", "1 minute", "the vectors, or why there are none, JSON"
    ),
    KeyKind(
        "pending_jobs:{quotas}",
        "zset",
        "2 weeks",
        "job that waits or runs → ms until which it counts, where nobody says that it has ended",
    ),
    KeyKind(
        "owners:{quotas}",
        "hash",
        "2 weeks",
        "such a job → a:<agent> and u:<user> that it counts for, n:<user> as usage names them; "
        "before them + and the last attempt that has paid its tokens",
    ),
    KeyKind("counts:{quotas}", "hash", "2 weeks", "such an owner → number of their jobs"),
    KeyKind(
        "job_records:{quotas}",
        "hash",
        "2 weeks",
        "job → state, ms at which it was taken in and has ended, a:<agent> s:<session> u:<user> "
        "t:<tag>",
    ),
    KeyKind(
        "job_index:{quotas}",
        "zset",
        "2 weeks",
        "such a name, e:<state> (but done) or *; then when the job was taken in, and the job; "
        "all score 0",
    ),
    KeyKind(
        "record_ends:{quotas}",
        "zset",
        "2 weeks",
        "job with a record → ms at which it has ended, of an open one until which it counts",
    ),
    KeyKind(
        "usage:{quotas}:<YYYYMMDD>",
        "hash",
        "400 days",
        "d:, a:<agent>, u:<user>, m:<model> → turns, tokens and so on of that day; #a: and so on → "
        "how many rows of that kind there are",
    ),
    KeyKind(
        "usage_ids:{quotas}",
        "zset",
        "10 minutes",
        "attempt or summary whose usage is counted → ms at which it was",
    ),
    KeyKind(
        "totals:{quotas}",
        "hash",
        "dedupe window",
        "sessions and dead letters in all, as maintenance counted them last",
    ),
    KeyKind(
        "quota:{quotas}:<owner>",
        "hash",
        "until it is full again, a day or so",
        "an owner's quota: when its jobs per minute and its tokens per day are full again, ms",
    ),
    KeyKind(
        "webhook_hosts:{webhooks}",
        "zset",
        "37 days",
        "host and port of a receiver → ms at which its next webhook is due",
    ),
    KeyKind(
        "webhook_due:{webhooks}:<host>",
        "zset",
        "37 days",
        "id of a webhook's event → ms at which it is sent, or its sender's claim ends",
    ),
    KeyKind(
        "webhooks:{webhooks}",
        "hash",
        "37 days",
        "id of a webhook's event → host, H and the webhook, JSON",
    ),
    KeyKind("webhook_sessions:{webhooks}", "zset", "37 days", "H and the id of a webhook's event"),
    KeyKind(
        "webhook_letters:{webhooks}",
        "zset",
        "37 days",
        "id of a webhook that was given up → when, ms",
    ),
    KeyKind("due", "zset", "none", "H → ms at which a sweeper looks at this mailbox", True),
    KeyKind("schedules", "zset", "none", "H → ms at which a worker looks at its schedules", True),
    KeyKind("delayed", "zset", "none", "H → ms at which a worker looks at its delayed jobs", True),
    KeyKind(
        "outbox",
        "zset",
        "none",
        "H whose outbox has ends for long → when it was last noted, µs",
        True,
    ),
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
        "encryption_keys", "hash", "none", "id of a key that encrypts → a record to try it on", True
    ),
    KeyKind(
        "waiting_models",
        "zset",
        "none",
        "M → ms at which a session last began to wait for a slot",
        True,
    ),
    KeyKind("outages", "zset", "none", "S → ms at which a session last began to wait for it", True),
    KeyKind("pauses", "hash", "none", "what is paused → since, until (ms, 0 for open), why", True),
    KeyKind(
        "summary_lock",
        "string",
        "seconds",
        "which worker makes a summary now; any message removes it",
    ),
    KeyKind("queue_wait", "string", "1 minute", "how long wake-ups wait in the broker's queue, ms"),
    KeyKind("upkeep:<task>", "string", "1 day", "where it goes on: agent, ms, entries of this ms"),
    KeyKind("archive_lock", "string", "5 minutes", "which process archives now"),
    KeyKind("archive_run", "string", "none", "what the archiver's last run came to, JSON", True),
    KeyKind(
        "archive_forgotten",
        "zset",
        "none",
        "H whose archived messages are to be deleted → since when, ms",
        True,
    ),
    KeyKind("watched", "string", "10 seconds", "somebody looks at the workers: they report"),
    KeyKind("workers", "zset", "none", "worker → ms of its last report; the last 500", True),
    KeyKind(
        "report:<worker>",
        "string",
        "15 seconds",
        "its turns, load, lateness and model servers, JSON",
    ),
    KeyKind(
        "turn_counts",
        "hash",
        "none",
        "how many turns ended how, in what time, since the first",
        True,
    ),
    KeyKind(
        "audit", "stream", "1 year; capped", "who cancelled, erased, exported … what, and when"
    ),
    KeyKind(
        "api_keys",
        "hash",
        "none",
        "id of an API key → its name, owner, scopes, agents, and a hash of its secret, JSON",
        True,
    ),
    KeyKind("stats", "stream", "none; capped", "memory statistics over time", True),
)
"""`H` stands for the session's history key, `M` for a model, `S` for a model server. A permanent
kind may live without a TTL."""
