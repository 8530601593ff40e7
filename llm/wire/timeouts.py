"""The time limits of a model call, one per phase; never one number for all of them."""

from dataclasses import dataclass, replace
from typing import Self

TOOLS_IDLE_S = 120.0
"""A tool's arguments are generated without a byte on the wire."""

LOAD_TIMEOUT_S = 600.0
"""For the loading of a model ahead of its chats."""

KEEP_WARM_S = 900.0
"""How long after its last use a model is kept loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds, fractions allowed.

    - `connect_s`: until the TCP (and TLS) connection stands.
    - `first_token_s`: from sending until the first byte of the reply. Ollama sends nothing, not
      even headers, while the request queues, the model loads and the prompt is evaluated. Shorter
      than a cold load, it aborts that load each time, and the model never loads.
    - `idle_s`: longest silence within the reply. Tool calls are generated silently.
    - `total_s`: the whole call.

    The asynchronous client counts silence from the last sign of life: a byte, or a look at /api/ps
    that still lists the model (llm/http/deadlines.py).
    """

    connect_s: float = 3.0
    first_token_s: float = 120.0
    idle_s: float = 30.0
    total_s: float = 600.0

    @classmethod
    def within(cls, seconds: float) -> Self:
        """One limit for all phases, for an answer that nothing is loaded or generated for."""
        return cls(connect_s=seconds, first_token_s=seconds, idle_s=seconds, total_s=seconds)

    def for_tools(self) -> Self:
        """The same for a request with tools, within which a reply may be silent for longer."""
        # Nothing is sent until a call is complete (docs/ollama.md, Records).
        return replace(self, idle_s=max(self.idle_s, TOOLS_IDLE_S))
