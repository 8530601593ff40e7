"""Scenarios for the next calls of a model, set at run time."""

import threading
from collections import deque
from collections.abc import Sequence

from sandbox.ollama.errors import UnknownScenario
from sandbox.ollama.scenarios import Scenario, scenario_of

ANY_MODEL = "*"
"""Stands for every model that has no script of its own."""


class Script:
    """First in, first out per model. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scripts: dict[str, deque[Scenario]] = {}

    def add(self, model: str, scenarios: Sequence[str]) -> None:
        """Add `scenarios`, named as models are, to those that wait for `model`; none clears it.

        Raises UnknownScenario, and adds nothing, if a name is no scenario's.
        """
        known = [_known(name) for name in scenarios]
        if known:
            self.add_scenarios(model, known)
            return
        with self._lock:
            self._scripts.pop(model, None)

    def add_scenarios(self, model: str, scenarios: Sequence[Scenario]) -> None:
        """`add` for scenarios that have no name."""
        with self._lock:
            self._scripts.setdefault(model, deque()).extend(scenarios)

    @property
    def waiting(self) -> int:
        """How many scenarios no call has taken yet."""
        with self._lock:
            return sum(map(len, self._scripts.values()))

    def next(self, model: str) -> Scenario | None:
        """Take the scenario for the next call of `model`, None if none waits."""
        with self._lock:
            waiting = self._scripts.get(model) or self._scripts.get(ANY_MODEL)
            return waiting.popleft() if waiting else None

    def clear(self) -> None:
        """Forget everything that waits."""
        with self._lock:
            self._scripts.clear()


def _known(name: str) -> Scenario:
    scenario = scenario_of(name)
    if scenario is None:
        raise UnknownScenario(f"no scenario is called {name!r}")
    return scenario
