"""What deploy/users.acl keeps each user from, on a real server: Valkey, and Redis 7 where it is.

That what they may do is enough is shown by tests/e2e/redis_users, and by `make test-acl`.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.redis_users.acl_file import acl_file
from deploy.redis_users.roles import ROLES
from memory.keys import Keyspace
from sandbox.errors import ReplyError
from sandbox.resp import RespConnection
from sandbox.users import OWNER, Users
from sandbox.valkey import ValkeyServer, valkey_binary
from tests.support.machine import scaled
from tests.support.servers.redis_users import filled

NAMES = [role.name for role in ROLES]
OURS = Keyspace().session("energy", "s")
THEIRS = Keyspace("other").session("energy", "s")
RESULT = "celery-task-meta-1"
READ = "return redis.call('LRANGE', KEYS[1], 0, -1)"

Row = tuple[str, ...]

NOBODY: tuple[Row, ...] = (
    ("KEYS", "*"),
    ("RANDOMKEY",),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("SWAPDB", "0", "1"),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("ACL", "LIST"),
    ("ACL", "SETUSER", "me", "on"),
    ("MONITOR",),
    ("SHUTDOWN", "NOSAVE"),
    ("REPLICAOF", "127.0.0.1", "1"),
    ("SAVE",),
    ("BGREWRITEAOF",),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "ID", "1"),
    ("CLIENT", "PAUSE", "1"),
    ("SCRIPT", "FLUSH"),
    ("FUNCTION", "LIST"),
    ("MODULE", "LIST"),
    ("SLOWLOG", "GET"),
    ("LATENCY", "LATEST"),
    ("MIGRATE", "127.0.0.1", "1", OURS.history, "0", "1"),
    ("DUMP", OURS.history),
    ("COPY", OURS.history, "elsewhere"),
    ("RENAME", OURS.history, "elsewhere"),
    ("DEL", OURS.history),
    ("SORT", OURS.history),
    ("LRANGE", THEIRS.history, "0", "-1"),
    ("RPUSH", THEIRS.history, "x"),
    ("HGETALL", THEIRS.jobs),
    ("XREAD", "STREAMS", THEIRS.events, "0"),
    ("UNLINK", THEIRS.history),
    ("GET", "other:job:1"),
    ("ZADD", "other:due", "1", "x"),
    ("TYPE", THEIRS.history),
    ("EVAL", READ, "1", THEIRS.history),
    ("EVAL", f"return redis.call('LRANGE', '{THEIRS.history}', 0, -1)", "0"),
    ("LPUSH", "other.chat", "x"),
    ("LPUSH", "other", "x"),
    ("GET", f"other.{RESULT}"),
    ("SET", f"other.{RESULT}", "x"),
    ("SUBSCRIBE", f"other.{RESULT}"),
    ("PSUBSCRIBE", "*"),
    ("PUBLISH", "/1.other.celery.pidbox", "x"),
    ("PUBLISH", "/2.celery.pidbox", "x"),
)
"""What no role may do: to the server, to another deployment, and to histories as a whole."""

WORDS: tuple[Row, ...] = (
    ("LRANGE", OURS.history, "0", "-1"),
    ("LINDEX", OURS.history, "0"),
    ("EVAL", READ, "1", OURS.history),
    ("EVALSHA", "0" * 40, "1", "ecowas:history"),
    ("HGET", OURS.jobs, "1"),
    ("HGETALL", OURS.jobs),
    ("HGETALL", OURS.summary),
    ("XREAD", "STREAMS", OURS.events, "0"),
    ("XRANGE", OURS.events, "-", "+"),
    ("LRANGE", OURS.dead, "0", "-1"),
    ("HGETALL", OURS.outbox),
    ("GET", "ecowas:state:energy"),
    ("GET", "ecowas:session:s:key"),
)
"""Ways to what people said."""

WRITES: tuple[Row, ...] = (
    ("RPUSH", OURS.history, "x"),
    ("LTRIM", OURS.history, "1", "0"),
    ("LSET", OURS.history, "0", "x"),
    ("UNLINK", OURS.history),
    ("EVAL", "redis.call('RPUSH', KEYS[1], 'x')", "1", OURS.history),
    ("HSET", OURS.summary, "text", "x"),
    ("SET", "ecowas:state:energy", "{}"),
)
"""Ways to change what was said."""

CELERY: tuple[Row, ...] = (
    ("PUBLISH", "/1.celery.pidbox", "x"),
    ("PSUBSCRIBE", "/1.celeryev/*"),
    ("BLMPOP", "0.01", "1", "chat", "RIGHT"),
    ("HGETALL", "unacked"),
)
"""Ways to take messages from workers, or to tell them what to do."""

DENIED: dict[str, tuple[Row, ...]] = {
    "producer": (
        *WORDS, *WRITES, *CELERY,
        ("SET", RESULT, "x"),
        ("PUBLISH", RESULT, "x"),
        ("ZRANGE", "ecowas:agents", "0", "-1"),
        ("ZRANGE", "ecowas:sessions:energy", "0", "-1"),
        ("ZRANGE", "ecowas:users", "0", "-1"),
        ("ZREM", OURS.queue, "1"),
        ("ZADD", "ecowas:schedules", "1", "x"),
        ("INFO",),
        ("DBSIZE",),
    ),
    "client": (
        *WRITES, *CELERY,
        ("ZRANGE", "ecowas:agents", "0", "-1"),
        ("ZRANGE", "ecowas:users", "0", "-1"),
        ("GET", "ecowas:state:energy"),
        ("GET", "ecowas:session:s:key"),
        ("ZADD", "ecowas:slots:{m}:s", "1", "x"),
        ("INFO",),
    ),
    "gateway": (
        *CELERY,
        ("HSET", "ecowas:api_keys", "1", "{}"),
        ("HDEL", "ecowas:api_keys", "1"),
        ("HVALS", "ecowas:api_keys"),
        ("HGETALL", OURS.jobs),
        ("ZADD", "ecowas:slots:{m}:s", "1", "x"),
        ("XTRIM", "ecowas:audit", "MAXLEN", "0"),
        ("DEL", "ecowas:audit"),
        ("ZADD", "ecowas:schedules", "1", "x"),
    ),
    "memory": (
        ("HGETALL", OURS.jobs),
        ("HGET", "ecowas:api_keys", "1"),
        ("ZADD", OURS.queue, "1", "x"),
        ("XADD", OURS.events, "*", "event", "x"),
        ("LPUSH", "chat", "x"),
        ("GET", RESULT),
        *CELERY,
    ),
    "worker": (
        ("DEL", OURS.jobs),
    ),
    "maintenance": (
        ("RPUSH", OURS.history, "x"),
        ("HGETALL", OURS.summary),
        ("XRANGE", OURS.events, "-", "+"),
        ("LRANGE", OURS.dead, "0", "-1"),
        ("GET", "ecowas:state:energy"),
        ("GET", "ecowas:session:s:key"),
        ("SET", "ecowas:state:energy", "{}"),
    ),
    "beat": (
        *WORDS, *WRITES, *CELERY,
        ("LPUSH", "chat", "x"),
        ("ZRANGE", "ecowas:due", "0", "-1"),
        ("GET", RESULT),
        ("INFO",),
    ),
    "flower": (
        *WORDS, *WRITES,
        ("ZRANGE", "ecowas:agents", "0", "-1"),
        ("ZRANGE", "ecowas:due", "0", "-1"),
        ("GET", RESULT),
        ("SUBSCRIBE", RESULT),
        ("LPUSH", "chat", "x"),
        ("BLMPOP", "0.01", "1", "chat", "RIGHT"),
        ("HGETALL", "unacked"),
        ("PUBLISH", "/1.celeryev/worker.heartbeat", "x"),
    ),
    "operator": (
        ("BLMPOP", "0.01", "1", "chat", "RIGHT"),
        ("HGETALL", "unacked"),
    ),
}  # fmt: skip
"""What one role may not do, and others may."""
for _role, _rows in DENIED.items():
    if _role != "operator":  # griot reencrypt
        DENIED[_role] = (*_rows, ("SCAN", "0"))
for _role, _rows in DENIED.items():
    if _role != "gateway":  # it asks which event streams change
        DENIED[_role] = (*_rows, ("CLIENT", "TRACKING", "on", "BCAST"))

BINARIES = [valkey_binary(), *filter(None, (shutil.which("redis-server"),))]


@pytest.fixture(scope="module", params=BINARIES, ids=lambda path: Path(path).name)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ValkeyServer]:
    """A server with the users of the file, and something to take."""
    path = tmp_path_factory.mktemp("users") / "users.acl"
    path.write_text(filled(acl_file()))
    with ValkeyServer(binary=Path(request.param), users=Users(path)) as started:
        for keys in (OURS, THEIRS):
            started.command("RPUSH", keys.history, "what was said")
            started.command("HSET", keys.jobs, "1", "what waits")
            started.command("XADD", keys.events, "1-1", "event", "what comes")
        yield started
        started.command("ACL", "LOG", "RESET")


@pytest.mark.parametrize("role", NAMES)
def test_a_user_is_refused_what_is_not_its_business(server: ValkeyServer, role: str) -> None:
    """The server's administration, other deployments, and what other roles do."""
    assert DENIED.keys() == set(NAMES)
    user = f"{OWNER}{role}"
    with RespConnection(server.port, timeout_s=scaled(5)) as client:
        client.command("AUTH", user, user)
        allowed = [row for row in (*NOBODY, *DENIED[role]) if not is_refused(client, row)]
    assert allowed == []
    assert server.command("LRANGE", OURS.history, 0, -1) == ["what was said"]
    assert server.command("LRANGE", THEIRS.history, 0, -1) == ["what was said"]


def is_refused(client: RespConnection, row: Row) -> bool:
    """Whether the server refuses this for lack of rights."""
    try:
        client.command(*row)
    except ReplyError as error:
        # Within a script Redis 7.0 says it in other words than its followers.
        within = ("ACL failure in script", "The user executing the script can't")
        return str(error).startswith("NOPERM") or any(said in str(error) for said in within)
    return False


@pytest.mark.parametrize("password", ["", f"{OWNER}another"])
def test_nobody_comes_in_without_the_password_of_that_role(
    server: ValkeyServer, password: str
) -> None:
    """Each user has one of its own."""
    for role in NAMES:
        with RespConnection(server.port) as client, pytest.raises(ReplyError, match="WRONGPASS"):
            client.command("AUTH", f"{OWNER}{role}", password)
