"""Looking for damaged keys."""

from memory.upkeep.damage import GLOBAL_TYPES, QUOTA_TYPES, SESSION_TYPES
from tests.support.key_kinds import KINDS


def test_it_knows_the_type_of_every_key() -> None:
    """As the documents have them: those of a session, and those that all share."""
    names = {"session_users": "users"}
    of_session = {
        names.get(name := kind.pattern.partition(":")[0], name): kind.redis_type
        for kind in KINDS
        if kind.pattern.endswith(":{H}") or kind.pattern.startswith("history:")
    }
    shared = {kind.pattern: kind.redis_type for kind in KINDS if ":" not in kind.pattern}
    of_quotas = {
        kind.pattern.partition(":")[0]: kind.redis_type
        for kind in KINDS
        if kind.pattern.endswith(":{quotas}")
    }
    assert of_quotas == QUOTA_TYPES
    assert of_session == SESSION_TYPES
    assert shared == GLOBAL_TYPES
