"""The options of Celery's that travel with a job: which can, and how large each may be. Pure."""

import json
from collections.abc import Mapping

import orjson
from kombu.utils.json import dumps
from pydantic import JsonValue

from tasks.errors import InvalidJob
from tasks.job.weights.nesting import MAX_LEVELS, shape_fault

MAX_NAME_BYTES = 512
"""Of an option that is a name: a queue, an id, `shadow`, `reply_to`."""
MAX_HEADER_BYTES = 8192
"""Of the headers as JSON, stamps among them; and of all options together that have no bound of
their own."""
MAX_CALLBACK_BYTES = 1_048_576
"""Of all that follows a job, as JSON: links, chains, chords, with the jobs that they hold."""
MAX_OPTIONS = 64

# Celery's options that are about this process only, not about the job.
_LOCAL = frozenset(
    {
        "producer",
        "publisher",
        "connection",
        "add_to_parent",
        "router",
        "retry",
        "retry_policy",
        # Of the job itself, which has them as `not_before`.
        "eta",
        "countdown",
        # Of the job itself, too: `expires` and `timeout_s`.
        "expires",
        "time_limit",
        "soft_time_limit",
        "priority",
    }
)
_FOLLOWS = frozenset({"link", "link_error", "chain", "chord"})
_NAMES = frozenset(
    {
        "compression",
        "correlation_id",
        "exchange",
        "group_id",
        "parent_id",
        "queue",
        "reply_to",
        "root_id",
        "routing_key",
        "shadow",
    }
)


def publish_options(options: Mapping[str, object]) -> dict[str, JsonValue]:
    """The Celery options that travel with the job. Raises InvalidJob for one that cannot, or that
    is too large."""
    given = {name: value for name, value in options.items() if value not in (None, [], {})}
    if given.get("serializer", "json") != "json":
        raise InvalidJob("chat jobs are sent as JSON: leave out serializer")
    kept = {name: value for name, value in given.items() if name not in _LOCAL}
    plain = {name: _plain(name, value) for name, value in kept.items()}
    if plain:
        _check_sizes(plain)
    return plain


def _plain(name: str, value: object) -> JsonValue:
    if fault := shape_fault(value, MAX_LEVELS):
        raise InvalidJob(f"the Celery option {_shown(name)} {fault}")
    try:
        # Read without kombu's hook, which would make times and the like of it again.
        plain: JsonValue = json.loads(dumps(value))
    except (TypeError, ValueError, RecursionError):
        raise InvalidJob("the Celery options of a chat job must be JSON values") from None
    return plain


def _check_sizes(options: Mapping[str, JsonValue]) -> None:
    if len(options) > MAX_OPTIONS:
        raise InvalidJob(f"a chat job takes at most {MAX_OPTIONS} Celery options")
    sizes = {name: _size_bytes(name, value) for name, value in options.items()}
    for name in _NAMES & sizes.keys():
        _check(f"the Celery option {name}", sizes[name], MAX_NAME_BYTES)
    follows = sum(sizes[name] for name in _FOLLOWS & sizes.keys())
    _check("the job's callbacks (link, link_error, chain, chord)", follows, MAX_CALLBACK_BYTES)
    rest = sizes.keys() - _NAMES - _FOLLOWS - {"headers"}
    _check("the Celery option headers", sizes.get("headers", 0), MAX_HEADER_BYTES)
    _check("the other Celery options", sum(sizes[one] for one in rest), MAX_HEADER_BYTES)


def _size_bytes(name: str, value: JsonValue) -> int:
    try:
        return len(name.encode()) + len(orjson.dumps(value))
    except (TypeError, ValueError):
        raise InvalidJob("the Celery options of a chat job must be JSON values") from None


def _check(what: str, size_bytes: int, most: int) -> None:
    if size_bytes > most:
        raise InvalidJob(f"{what} has {size_bytes} bytes; the limit is {most}")


def _shown(name: str) -> str:
    return ascii(name[:64])
