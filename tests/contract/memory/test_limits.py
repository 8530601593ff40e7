"""Each limit of the memory service holds to the unit: what has exactly so much is taken, one more
is refused, names its limit, and writes nothing."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from memory import InvalidInput, MemorySettings, RedisMemoryService
from memory.ids import MAX_ID_BYTES
from memory.records.limits import MAX_HISTORY_BYTES, MAX_TTL_S, encoded_history
from tests.support.memory_fixtures import Backend

VALUE_BYTES = 1024
MESSAGES = 5


@dataclass(frozen=True)
class Limit:
    """What is bounded: how much may be, and an act with so much of it."""

    most: int
    act: Callable[[RedisMemoryService, int], object]
    says: str


def message(size_bytes: int) -> dict[str, object]:
    """A message whose JSON has so many bytes; half of its text takes two bytes a letter."""
    rest = size_bytes - len('{"role":"user","content":""}')
    return {"role": "user", "content": "é" * (rest // 4) + "x" * (rest - 2 * (rest // 4))}


def text(size_bytes: int) -> str:
    """A text whose JSON has so many bytes."""
    return "x" * (size_bytes - 2)


LIMITS = {
    "a message, appended": Limit(
        VALUE_BYTES, lambda s, n: s.append_to_history("a", "s", message(n)), "1025 bytes"
    ),
    "a message, saved": Limit(
        VALUE_BYTES,
        lambda s, n: s.save_conversation_history("a", "s", [message(n)]),
        "1025 bytes",
    ),
    "an agent's state": Limit(
        VALUE_BYTES, lambda s, n: s.save_agent_state("a", {"k": text(n - 6)}), "1025 bytes"
    ),
    "a value of a session": Limit(
        VALUE_BYTES, lambda s, n: s.set_session_data("s", "k", text(n)), "1025 bytes"
    ),
    "messages of a history": Limit(
        MESSAGES,
        lambda s, n: s.save_conversation_history("a", "s", [message(100)] * n),
        "HISTORY_MAX_MESSAGES",
    ),
    "a time to live": Limit(
        MAX_TTL_S, lambda s, n: s.append_to_history("a", "s", message(100), ttl=n), "ttl"
    ),
    "the id of an agent": Limit(
        MAX_ID_BYTES,
        lambda s, n: s.append_to_history("é" * (n // 2) + "a" * (n % 2), "s", message(100)),
        "agent_id has 513 bytes",
    ),
    "the id of a session": Limit(
        MAX_ID_BYTES,
        lambda s, n: s.append_to_history("a", "s" * n, message(100)),
        "session_id has 513 bytes",
    ),
    "the key of a value": Limit(
        MAX_ID_BYTES, lambda s, n: s.set_session_data("s", "k" * n, 1), "key has 513 bytes"
    ),
}


@pytest.fixture
def bounded(backend: Backend) -> RedisMemoryService:
    """A service with small limits."""
    small = {"max_value_bytes": VALUE_BYTES, "history_max_messages": MESSAGES}
    settings: MemorySettings = backend.settings.model_copy(update=small)
    return RedisMemoryService(settings=settings, connection=backend.connection)


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_holds_to_the_unit(
    backend: Backend, bounded: RedisMemoryService, name: str
) -> None:
    """The first is written; the second is not, and the error says how much is allowed."""
    limit = LIMITS[name]
    with pytest.raises(InvalidInput, match=limit.says):
        limit.act(bounded, limit.most + 1)
    assert backend.keys() == []
    assert limit.act(bounded, limit.most) is True
    assert backend.keys()


def test_one_history_has_a_limit_in_all() -> None:
    """In bytes of its JSON, whatever HISTORY_MAX_MESSAGES and MEMORY_MAX_VALUE_BYTES allow."""
    part = MAX_HISTORY_BYTES // 64
    fitting, too_long = [message(part)] * 64, [message(part)] * 63 + [message(part + 1)]
    limits = {"most": 64, "max_bytes": 2 * part, "most_bytes": MAX_HISTORY_BYTES}
    assert sum(map(len, encoded_history(fitting, **limits))) == MAX_HISTORY_BYTES
    with pytest.raises(InvalidInput, match=f"the limit is {MAX_HISTORY_BYTES}"):
        encoded_history(too_long, **limits)
