"""Who there is at Redis, and what each does there: scripts by name, and single commands by the keys
that they are sent for.

Scripts bring their keys and commands along, so a new key needs no word here. A new script, and a
new command outside of scripts, has to be given to somebody:
tests/unit/deploy/test_redis_users.py finds the one that nobody has.
"""

from deploy.redis_users import celery_keys as keys
from deploy.redis_users.celery_grants import (
    ASKING,
    CHECKING,
    CONSUMING,
    DELIVERING,
    GROUPING,
    PUBLISHING,
    WAITING,
)
from deploy.redis_users.looking import EXPORTING, LISTING, LOOKING, REPORTING
from deploy.redis_users.role import Channel, Grants, Role

NARROW = frozenset({"del"})

# What every client sends, whatever it is about; a broadcast of changed keys tells their names, so
# that only a gateway may have it said which of its event streams change.
CONNECTED = "+@connection -@dangerous -client|tracking +@transaction -watch +acl|whoami"
LOADING = "script|load script|exists"
"""What redis-py sends for the scripts of kombu and Celery."""
CLUSTER = "cluster|slots cluster|shards cluster|nodes cluster|myid wait"

FINDING: Grants = {"job:": "get", "delayed: done:": "zscore", "jobs:": "hexists"}
"""Where a job's mailbox is, and whether it is over."""
SENDING: Grants = {
    "queue_wait": "get pttl",
    "cancellations": "xadd",
    "job:": "del",
    "agents": "exists",
    "counts:": "hgetall",
    "sessions:": "zscore",
}
FOLLOWING: Grants = {
    "events:": "xread xrange xrevrange",
    "outbox: requests:": "hget",
    "dead: history:": "lrange",
}
ARCHIVING: Grants = {
    "archive:": "hmget",
    "archive_lock": "set get pexpire unlink",
    "archive_run": "set",
    "archive_forgotten": "zmscore zrange",
}
"""Moving histories to the archive."""
BACK = {"lease: archive:": "hget", "archive_forgotten": "zmscore", "history:": "lrange"}
RECORDING: Grants = {"audit": "xadd pexpire"}
"""Who did what, of each who may cancel, drop, erase, export or import."""
TICKING: Grants = {"schedules:": "hgetall"}
"""Sending what schedules say."""
PROVING: Grants = {"encryption_keys": "hsetnx hgetall"}
"""Which encryption keys there are, and whether they are one's own."""
ENDING: Grants = {"outbox:": "hdel hlen", "job:": "pexpire"}
SWEEPING: Grants = {
    "due": "zrange zrem zadd",
    "queue_wait": "set get pttl",
    "cancellations": "xread xrange xrevrange",
    "lease:": "hdel hget hmget",
    "outbox": "zrange",
    "waiters: slots:": "zcard",
    "waiters:": "zlexcount",
    "call_stats:": "hget",
    "outages waiting_models": "zrange",
    "pauses": "hgetall",
    "outage:": "hmget",
    "parked:": "zcard",
    "queue: outbox: delayed: schedules:": "exists",
    "done: delayed schedules": "zrange",
    "delayed schedules": "zrem",
    "webhook_hosts:": "zrangebyscore",
}
TURNING: Grants = {
    "events:": "xadd",
    "history:": "lrange",
    "summary:": "hmget hset pexpire expire",
    "summary_lock": "set get pttl pexpire del",
    "answered:": "set pttl",
    "lease:": "hget hmget hdel pexpire",
    "job:": "pexpire",
}
REMEMBERING: Grants = {
    "history:": "lrange",
    "state: session:": "set get expire exists unlink",
    "fields:": "zrange",
    "agents sessions:": "zscore zcard zrange",
    "queue: delayed: schedules: outbox: dead: history: events: summary:": "exists",
    "summary:": "expire",
}
KEEPING: Grants = {
    "state:": "exists",
    "fields:": "zrange exists unlink",
    "session:": "unlink exists",
    "agents sessions: users users: session_users:": "zscore zcard zrange",
    "upkeep:": "get set unlink",
    "stats": "xadd xrevrange",
    "turn_counts": "hgetall",
    "dead": "zremrangebyscore",
    "dead:": "llen",
    "due delayed schedules": "zadd zrange",
    "totals:": "hset pexpire",
    "lease:": "hget",
}
TOGETHER: Grants = {
    "queue: delayed: schedules: outbox: dead: history: jobs: callbacks: lease: done: requests: "
    "events: "
    "write_ids: "
    "summary:": "exists",
}
OPERATING: Grants = {
    "history:": "lrange llen ttl exists",
    "summary:": "exists hgetall",
    "dead:": "lrange llen lrem",
    "requests:": "hset",
    "dead": "zrevrange zrem",
    "events:": "xlen",
    "fields: queue: delayed: done:": "zcard zrange",
    "due delayed schedules": "zcount zrange",
    "schedules:": "hset hdel hlen hgetall",
    "jobs:": "hgetall hlen",
    "state: session:": "get ttl",
    "agents": "exists",
    "history: queue: delayed: schedules: jobs: lease: due delayed schedules stats": "type",
    "quota:": "unlink",
    "totals:": "hmget",
    "audit": "xrevrange",
    "encryption_keys": "hkeys hdel",
    "api_keys": "hset hvals hlen hdel",
    "archive_run": "get",
    "archive_forgotten": "zmscore",
    "archive:": "hmget",
    "pauses": "hgetall hget hdel",
    "webhooks:": "hlen hmget",
    "webhook_letters:": "zcard zscore zrevrange",
    "webhook_sessions:": "zrangebylex",
}
SERVING: Grants = {
    "api_keys": "hget hlen",
    "pauses": "hdel",
    "jobs:": "hget",
    "lease:": "hmget",
    "events:": "xdel",
    "history:": "lrem",
    "session:": "unlink",
    "due": "zcount",
    "pending_jobs:": "zcard",
}
"""What only a gateway does: ask for keys, look at jobs, delete responses and items."""
VECTORS: Grants = {"embedding: embedding_lease: embedding_answer:": "set get exists unlink pexpire"}
"""Texts on their way to a worker, and vectors on their way back."""
ERASING: Grants = {
    "users users: session_users:": "zscore zcard zrange",
    "history: dead:": "llen",
    "summary:": "exists",
    "events:": "xlen",
    "fields: queue: done:": "zcard zrange",
    "jobs:": "hlen",
    "session: fields:": "unlink",
    "dead:": "lrange lrem",
    "dead": "zrevrange zrem",
    "webhooks:": "hmget",
    "webhook_letters:": "zscore zrevrange",
    "webhook_sessions:": "zrangebylex",
}
"""Erasing a session, and looking at dead letters."""
REENCRYPTING: Grants = {
    "state: session:": "get",
    "history: dead:": "lrange",
    "jobs: callbacks: outbox: lease: summary:": "hgetall",
    "events:": "xrange",
}

SENDS = "schedule enqueue interrupt delay touch claim note_job charge refund release_jobs"
ENDS = "take_ends delivered release_jobs note_webhook"
SWEEPS = (
    f"schedule due settle sweep touch forget forget_until {ENDS} note_late look note_look "
    "expire_slots grant_slots claim_webhooks put_off_webhook end_webhook give_up_webhook"
)
ARCHIVES = "archive_look archive_take archive_taken"
RECORDS = "append replace clear touch forget extend extend_value note_fields"
SESSIONS = "agents sessions: users users: session_users:"
ALL_DUE = "due delayed schedules"

PRODUCER = Role(
    name="producer",
    purpose="a service that sends jobs and waits for their results; it sees no words of others",
    scripts=SENDS,
    indexes=SESSIONS,
    grants=(FINDING, SENDING, PUBLISHING, WAITING),
    alone=f"time {CLUSTER}",
    hears=frozenset({Channel.RESULTS}),
)
CLIENT = Role(
    name="client",
    purpose="a service that also follows, cancels, merges and replaces jobs, and links them",
    scripts=f"{SENDS} {ENDS} supersede merge discard stop note_late",
    indexes=f"{SESSIONS} dead",
    grants=(
        FINDING, SENDING, FOLLOWING, ENDING, RECORDING, PUBLISHING, WAITING, DELIVERING, GROUPING,
        LISTING, {"lease:": "hmget"},
    ),
    alone=f"time {LOADING} {CLUSTER}",
    hears=frozenset({Channel.RESULTS}),
    speaks=frozenset({Channel.RESULTS}),
)  # fmt: skip
GATEWAY = Role(
    name="gateway",
    purpose="griot serve: it sends, follows and cancels for others, and reads what is theirs",
    scripts=f"{SENDS} {ENDS} {RECORDS} supersede merge discard stop note_late erase drop_letters "
    "forget_until restore members end_webhook put_off_webhook forget_records pause",
    indexes=f"{SESSIONS} dead archive_forgotten",
    grants=(
        FINDING, SENDING, FOLLOWING, ENDING, REMEMBERING, RECORDING, PUBLISHING, WAITING,
        DELIVERING, GROUPING, SERVING, ERASING, LOOKING, VECTORS, LISTING,
    ),
    together=TOGETHER,
    alone=f"time info dbsize client|tracking {LOADING} {CLUSTER}",
    hears=frozenset({Channel.RESULTS}),
    speaks=frozenset({Channel.RESULTS}),
)  # fmt: skip
MEMORY = Role(
    name="memory",
    purpose="a service that uses RedisMemoryService or RedisAgent and sends no jobs",
    scripts=RECORDS,
    indexes=f"{SESSIONS} archive_forgotten",
    grants=(REMEMBERING, RECORDING, {"agents": "exists"}),
    together=TOGETHER, alone=f"time info dbsize {CLUSTER}",
)  # fmt: skip
WORKER = Role(
    name="worker",
    purpose="a worker that runs chat jobs; in its container, griot check",
    scripts=f"{SENDS} {ENDS} {SWEEPS} {RECORDS} supersede merge discard stop ripe acquire renew "
    "swap_fields commit fail publish summarise take_slot renew_slot wait_for_slot release_slot "
    "park spend read_back count_usage",
    indexes=f"{SESSIONS} dead outages waiting_models outbox parked: workers archive_forgotten",
    due_lists=ALL_DUE,
    grants=(
        FINDING, SENDING, ENDING, SWEEPING, REPORTING, TURNING, REMEMBERING, PUBLISHING, WAITING,
        DELIVERING, GROUPING, CONSUMING, ASKING, CHECKING, RECORDING, PROVING, TICKING,
        VECTORS, BACK,
        {"totals:": "hmget", "archive_run": "get"},
    ),
    alone=f"time info dbsize {LOADING} {CLUSTER}",
    hears=frozenset(Channel),
    speaks=frozenset(Channel),
    is_wide=True,
)  # fmt: skip
MAINTENANCE = Role(
    name="maintenance",
    purpose="the worker of beat's tasks, which also sweeps, archives and shows metrics",
    scripts=f"{SWEEPS} {ARCHIVES} extend extend_value note_fields clean trim members drop_letters",
    indexes=f"{SESSIONS} dead outages waiting_models outbox parked: workers archive_forgotten",
    due_lists=ALL_DUE,
    grants=(
        FINDING, ENDING, SWEEPING, REPORTING, KEEPING, PROVING, PUBLISHING, DELIVERING, GROUPING,
        CONSUMING, EXPORTING, ARCHIVING,
    ),
    together=TOGETHER,
    alone=f"time info dbsize {LOADING} {CLUSTER}",
    hears=frozenset(Channel),
    speaks=frozenset(Channel),
)  # fmt: skip
BEAT = Role(
    name="beat",
    purpose="the clock: it sends the maintenance tasks",
    grants=({keys.MAINTENANCE: "lpush llen", keys.BINDINGS: "sadd smembers"},),
)
FLOWER = Role(
    name="flower",
    purpose="Flower: it watches workers and asks them, and sees neither memory nor results",
    grants=(ASKING,),
    alone=f"info time {LOADING}",
    hears=frozenset({Channel.CONTROL, Channel.EVENTS}), speaks=frozenset({Channel.CONTROL}),
)  # fmt: skip
OPERATOR = Role(
    name="operator",
    purpose="griot's commands; reencrypt looks at the names of all keys",
    scripts=f"{SENDS} {ENDS} {RECORDS} supersede merge discard stop note_late erase restore "
    "members forget_until trim swap_elements swap_fields swap_stream swap_value end_webhook "
    "put_off_webhook forget_records pause",
    indexes=f"{SESSIONS} dead outages waiting_models outbox parked: archive_forgotten",
    due_lists=ALL_DUE,
    grants=(
        FINDING, SENDING, FOLLOWING, ENDING, SWEEPING, REMEMBERING, KEEPING, OPERATING, PUBLISHING,
        WAITING, DELIVERING, GROUPING, ASKING, CHECKING, RECORDING, PROVING, REENCRYPTING, LOOKING,
        LISTING, {"usage:": "hdel"},
    ),
    alone=f"time info dbsize scan {LOADING} {CLUSTER}",
    hears=frozenset(Channel),
    speaks=frozenset({Channel.CONTROL, Channel.RESULTS}),
    is_wide=True,
)  # fmt: skip

ROLES = (PRODUCER, CLIENT, GATEWAY, MEMORY, WORKER, MAINTENANCE, BEAT, FLOWER, OPERATOR)
