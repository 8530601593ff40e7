"""The version of an envelope's or a schedule's format: the lowest that can say what it says. Pure.

So a job that uses nothing new can be run by the release before, whoever sent it, and one that does
is given back there until a newer one takes it. An option that is not listed here is of the newest
version. The first new option after a release raises VERSION, and the older ones are listed.
"""

from collections.abc import Set

FIRST, VERSION = 1, 2
_OPTIONS = frozenset(
    {
        "agent_id", "expires", "format", "functions", "idempotency_key", "images", "max_history",
        "max_tokens", "message", "metadata", "model", "not_before", "on_busy",
        "parallel_tool_calls", "preceding", "sampling", "session_id", "system_prompt",
        "temperature", "think", "tools", "webhook",
    }
)  # fmt: skip
"""The options of a job in the first version."""
_PARTS = frozenset({"job", "publish", "sender", "sent_at", "trace"})
"""The parts of an envelope in the first version."""


def version_of(options: Set[str], parts: Set[str] = _PARTS) -> int:
    """The version of what has these options, and of an envelope these parts; what is None is not
    among them."""
    return FIRST if options <= _OPTIONS and parts <= _PARTS else VERSION
