"""Single commands that Celery and kombu send, by the keys that they are sent for."""

from deploy.redis_users import celery_keys as keys
from deploy.redis_users.role import Grants

PUBLISHING: Grants = {
    keys.QUEUES: "lpush llen",
    keys.BINDINGS: "sadd smembers",
}
WAITING: Grants = {keys.RESULTS: "get mget del"}
DELIVERING: Grants = {keys.RESULTS: "get setex set del expire"}
GROUPING: Grants = {
    keys.GROUPS: "get mget set setex incr incrby expire del zadd zrange zcount zcard lrange llen "
    "rpush exists sadd sismember eval evalsha",
}
CONSUMING: Grants = {
    keys.QUEUES: "blmpop brpop rpop lpush rpush llen exists pexpire",
    keys.QUARANTINE: "lpush ltrim expire",
    keys.BINDINGS: "sadd smembers srem zadd zrangebyscore zrem exists del eval evalsha",
    keys.REPLIES: "lpush llen exists pexpire del",
    keys.MAILBOXES: "llen exists pexpire del",
    keys.UNACKED: "zadd zrem zrange zrevrangebyscore hset hget hdel set get del watch exists "
    "expire pexpire eval evalsha",
}
ASKING: Grants = {
    f"{keys.QUEUES} {keys.QUARANTINE}": "llen exists",
    keys.BINDINGS: CONSUMING[keys.BINDINGS],
    keys.REPLIES: "blmpop brpop rpop llen exists pexpire del",
    keys.MAILBOXES: CONSUMING[keys.MAILBOXES],
}
"""Remote control: workers are asked, and answer into a list."""
CHECKING: Grants = {
    keys.CHECKS: "blmpop lpush llen del zadd hset zrem hdel",
    "dead": "zrevrange",
    "dead:": "lrange",
    keys.RESULTS: "get mget setex del",
}
