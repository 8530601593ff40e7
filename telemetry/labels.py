"""Labels of metrics are few: names beyond a bound are counted together, under `other`.

A series lasts as long as its process. Agents, models and tools are named by whoever sends a job.
"""

import threading
from collections.abc import Iterable

OTHER = "other"
MOST_NAMES = 50
"""So many names of one kind have series of their own, by default."""


class BoundedNames:
    """The names of one kind that have series of their own: those given, then the first that come.

    Safe in threads.
    """

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._names: set[str] = set()
        self._changing = threading.Lock()

    def know(self, names: Iterable[str]) -> None:
        """Give these names a series of their own, as far as there is room."""
        for name in names:
            self.label(name)

    def label(self, name: str) -> str:
        """`name`, or OTHER."""
        if name in self._names:
            return name
        with self._changing:
            if len(self._names) < self._most:
                self._names.add(name)
        return name if name in self._names else OTHER


AGENTS = BoundedNames()
MODELS = BoundedNames()
TOOLS = BoundedNames()
SERVERS = BoundedNames()
