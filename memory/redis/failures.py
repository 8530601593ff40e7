"""What can fail between us and Redis: `translating`, the one place where errors of redis-py become
ours, and `Attempts`, the one place that decides to try again. Shared by both executors.
"""

import logging
import random
import re
import socket
import ssl
import time
from collections.abc import Sequence

from redis import exceptions
from redis.sentinel import MasterNotFoundError

from memory.errors import (
    CorruptData,
    InvalidInput,
    MemoryBusy,
    MemoryFull,
    MemoryRefused,
    MemoryServiceError,
    MemoryUnavailable,
)
from memory.redis.command import Command, log_damage

logger = logging.getLogger(__name__)

RETRY_DELAYS_S = (0.05, 0.2, 0.5)

FULL_OF_CLIENTS = "max number of clients"
"""In Redis' answer to a connection beyond its `maxclients`."""

_NO_SUCH_DB = "DB index is out of range"
_WITHOUT_PASSWORD = re.compile("NOAUTH|Authentication required")
_CLIENT = re.compile(r"<redis\..*?\)>\)>\)> - ")
_REFUSED_THERE = re.compile("AuthenticationError|NOAUTH|WRONGPASS|NoPermissionError")

_BUSY = (
    exceptions.BusyLoadingError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
    exceptions.MaxConnectionsError,
    exceptions.ClusterError,
)
_REFUSED = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.NoPermissionError,
    exceptions.AuthenticationWrongNumberOfArgsError,
)
_UNSENT = (exceptions.DataError, UnicodeEncodeError)
"""They hold the value. They come before anything is sent."""
_TRANSLATED = (exceptions.RedisError, exceptions.RedisClusterException, OSError, *_UNSENT)
_QUOTED = ", with args"
"""Behind it an unknown command is quoted with its arguments, which may be somebody's words."""
_REFUSING_REPLIES = ("NOAUTH", "NOPERM", "WRONGPASS")
# With its blank, for BUSYGROUP and BUSYKEY are errors of another kind.
_BUSY_REPLIES = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY ", "NOREPL")

_RNG = random.Random()  # noqa: S311  # jitter is no secret


class Attempts:
    """How often, and how long, one operation is tried: four times, within about twice the
    time-out of one answer. Every write of this package is safe to repeat."""

    def __init__(self, timeout_s: float) -> None:
        # After an attempt that took its whole time-out there is time for one more.
        self._last_start = time.monotonic() + 1.5 * timeout_s
        self._delays_s = iter(RETRY_DELAYS_S)

    def next_delay_s(self) -> float | None:
        """How long to wait before the next attempt; None: give up."""
        delay_s = next(self._delays_s, None)
        if delay_s is None or time.monotonic() + delay_s > self._last_start:
            return None
        # Clients that lost the same server should not all come back at the same moment.
        return delay_s * _RNG.uniform(0.5, 1.0)


class translating:  # a block: what contextlib makes of a function takes three times as many calls
    """Turn what redis-py raises into the errors of `memory.errors`; `label` names the server.

    Messages carry neither values nor credentials.
    """

    __slots__ = ("_label",)

    def __init__(self, label: str) -> None:
        self._label = label

    def __enter__(self) -> None:
        """Nothing is needed for it."""

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if isinstance(exc, _TRANSLATED):
            raise translated(exc, self._label) from _unless_it_quotes(exc)


def refused(command: Command[object], reply: Exception, label: str) -> MemoryServiceError:
    """The error of ours that stands for the error reply to a command; names a damaged key."""
    if str(reply).startswith("WRONGTYPE") and command.script is None:
        return CorruptData(
            f"key {command.args[1]!r} at {label} holds a value of another type than Griot writes"
        )
    error = translated(reply, label)
    error.__cause__ = _unless_it_quotes(reply)
    return error


def translated(exc: BaseException, label: str) -> MemoryServiceError:
    """The error of ours that stands for `exc`, an exception or an error reply of redis-py."""
    reply = str(exc)
    cause = exc.__cause__
    # A cluster client that is refused by each node says only that it cannot connect.
    if isinstance(exc, exceptions.RedisClusterException) and isinstance(cause, _REFUSED):
        return translated(cause, label)
    is_refused_there = isinstance(exc, MasterNotFoundError) and bool(_REFUSED_THERE.search(reply))
    if isinstance(exc, _REFUSED) or reply.startswith(_REFUSING_REPLIES) or is_refused_there:
        return MemoryRefused(_why_refused(exc, label))
    # redis-py raises a ConnectionError of its own in its place.
    if isinstance(exc.__context__, ssl.SSLCertVerificationError):
        return MemoryRefused(
            f"the certificate of Redis at {label} was not accepted "
            f"({exc.__context__.verify_message}); check host and ssl_ca_certs in REDIS_URL"
        )
    if isinstance(exc, _BUSY) or reply.startswith(_BUSY_REPLIES):
        return MemoryBusy(f"Redis at {label} cannot serve now ({type(exc).__name__}: {reply})")
    if isinstance(exc, (exceptions.ResponseError, exceptions.InvalidResponse, *_UNSENT)):
        return _error_reply(exc, label)
    return MemoryUnavailable(_why_unavailable(exc, label))


def _unless_it_quotes(exc: Exception) -> Exception | None:
    """What a traceback may show of an error."""
    return None if isinstance(exc, _UNSENT) or _QUOTED in str(exc) else exc


def concise(reply: str) -> str:
    """A message of redis-py without its representations of clients, which are a kilobyte each."""
    return _CLIENT.sub("", reply)


def _why_refused(exc: BaseException, label: str) -> str:
    said = concise(str(exc))
    if isinstance(exc, MasterNotFoundError):
        return (
            f"the Sentinels of {label} rejected the login ({said}); correct "
            "REDIS_SENTINEL_PASSWORD and REDIS_SENTINEL_USERNAME"
        )
    if isinstance(exc, exceptions.NoPermissionError) or said.startswith("NOPERM"):
        return (
            f"Redis at {label} refused the command ({said}); grant this user the right to it "
            '(docs/operations.md, "Rights")'
        )
    if _WITHOUT_PASSWORD.search(said):
        return f"Redis at {label} wants a password; set REDIS_PASSWORD, or name it in REDIS_URL"
    return (
        f"Redis at {label} rejected the password ({said.rstrip('.')}); correct REDIS_PASSWORD and "
        "REDIS_USERNAME, or what REDIS_URL says of them"
    )


def _why_unavailable(exc: BaseException, label: str) -> str:
    if FULL_OF_CLIENTS in str(exc):
        return (
            f"Redis at {label} has as many clients as it takes; raise its maxclients, or run fewer "
            "processes (docs/operations.md says how many connections each has)"
        )
    if isinstance(exc, MasterNotFoundError):
        # redis-py 8.1 keeps of what each Sentinel said only the kind of the error.
        return (
            f"no Sentinel of {label} names a master ({concise(str(exc))}); do they run, are "
            "REDIS_SENTINELS and REDIS_SENTINEL_MASTER right, and do they speak TLS as "
            "REDIS_SENTINEL_TLS and ssl_ca_certs in REDIS_URL say?"
        )
    if _failed_handshake(exc):
        return (
            f"Redis at {label} does not answer with TLS; if it has none, write redis:// in "
            "REDIS_URL in place of rediss://"
        )
    said = f"{type(exc).__name__}: {concise(str(exc))}"
    if _found_nobody(exc):
        return (
            f"Redis at {label} cannot be reached ({said}); start it, or correct its address in "
            "REDIS_URL, or in REDIS_HOST and REDIS_PORT"
        )
    return (
        f"Redis at {label} cannot be reached or did not answer in time ({said}); is it running, "
        "and is its address right, rediss:// where it has TLS and redis:// where not?"
    )


def _found_nobody(exc: BaseException | None) -> bool:
    """Whether nobody listens at the address, or there is no such host: not a question of TLS."""
    while exc is not None:
        if isinstance(exc, ConnectionRefusedError | FileNotFoundError | socket.gaierror):
            return True
        exc = exc.__cause__ or exc.__context__
    return False


def _failed_handshake(exc: BaseException | None) -> bool:
    """Whether the server's first answer was no TLS, or none came; redis-py says a time-out of a
    connection in its place."""
    while exc is not None:
        if isinstance(exc, ssl.SSLError) or "handshake operation timed out" in str(exc):
            return True
        exc = exc.__cause__ or exc.__context__
    return False


def _error_reply(exc: BaseException, label: str) -> MemoryServiceError:
    if isinstance(exc, UnicodeEncodeError):
        return InvalidInput("text for Redis is not valid Unicode (a lone surrogate)")
    if isinstance(exc, _UNSENT):
        return InvalidInput(f"an argument cannot be sent to Redis ({type(exc).__name__})")
    reply = str(exc)
    # redis-py cuts the code off that it knows, and the words differ: of a script they speak of its
    # allow-oom flag.
    if isinstance(exc, exceptions.OutOfMemoryError) or reply.startswith("OOM"):
        return MemoryFull(
            f"Redis at {label} is out of memory; free some, or raise its maxmemory, and try again"
        )
    if reply.startswith("WRONGTYPE"):
        return CorruptData(f"a key at {label} holds a value of another type than Griot writes")
    if _NO_SUCH_DB in reply:
        return MemoryRefused(
            f"Redis at {label} has no database of that number; lower it in REDIS_URL or REDIS_DB, "
            "or raise `databases` in redis.conf"
        )
    reason = reply.partition(_QUOTED)[0]
    return CorruptData(f"Redis at {label} answered with an error: {reason}")


def log_failures(
    commands: Sequence[Command[object]], replies: Sequence[object], label: str
) -> None:
    """Log what failed of the commands that went before an operation in its pipeline.

    Redis has executed the operation in any case, so they do not change its answer: an index that is
    full or damaged is repaired by the sweep (docs/decisions.md, "Only the operation's own answer
    decides").
    """
    for command, reply in zip(commands, replies, strict=True):
        try:
            if isinstance(reply, Exception) and not command.tolerates(reply):
                raise refused(command, reply, label)
            command.parse(reply)
        except CorruptData as exc:
            log_damage(exc)
        except MemoryServiceError as exc:
            logger.warning("a secondary command failed; the sweep will repair it: %s", exc)
