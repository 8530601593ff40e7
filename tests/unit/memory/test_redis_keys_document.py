"""docs/redis-keys.md says of every key what memory/keys.py says."""

import re
from pathlib import Path

from tests.support.key_kinds import KINDS

DOCUMENT = Path(__file__).parents[3] / "docs" / "redis-keys.md"


def test_every_key_is_documented_and_nothing_else() -> None:
    """Pattern, type, TTL and content of each key stand in the table, word for word."""
    rows = re.findall(
        r"^\| `ecowas:(.+?)` \| (.+?) \| (.+?) \| (.+?) \|$", DOCUMENT.read_text(), re.M
    )
    assert [tuple(row) for row in rows] == [
        (kind.pattern, kind.redis_type, kind.ttl, kind.holds) for kind in KINDS
    ]
