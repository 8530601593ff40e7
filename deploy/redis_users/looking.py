"""What workers show of themselves in Redis, and what operators look at there."""

from deploy.redis_users.role import Grants

REPORTING: Grants = {
    "watched": "get",
    "report:": "set",
    "workers": "zremrangebyrank",
    "turn_counts": "hincrby",
}
"""What a worker says of itself while somebody looks."""
EXPORTING: Grants = {
    "watched": "set",
    "workers pending_jobs: waiting_models outbox": "zrange",
    "report:": "get",
    "outbox waiters: slots:": "zcard",
    "waiters:": "zlexcount",
    "counts:": "hgetall",
    "owners:": "hmget",
    "call_stats:": "hget",
    "stats": "xrevrange",
    "dead": "zrevrange",
    "dead:": "llen",
}
"""What the metrics of Redis are read from."""
LOOKING: Grants = {
    "watched": "set",
    "workers pending_jobs: outages waiting_models": "zrange",
    "report:": "get",
    "pauses": "hgetall",
    "lease:": "hmget",
    "queue:": "zrank zscore zrange",
    "waiters: slots: parked:": "zcard",
    "waiters:": "zlexcount",
    "call_stats: counts:": "hget",
    "outage: quota: totals:": "hmget",
    "stats audit": "xrevrange",
    "dead": "zrevrange",
    "dead: history:": "lrange",
}
"""What operators look at in the console of a gateway, and with `griot top`."""
LISTING: Grants = {
    "job_index:": "zrange zlexcount",
    "job_records:": "hmget",
    "usage:": "hgetall hget",
}
"""Finding jobs, and what was used: there are ids in it, and no words."""
