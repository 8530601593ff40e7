"""The model's stand-in as a process, and its log of calls."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx

from sandbox.context import Closing
from sandbox.process import ServerProcess

READY_TIMEOUT_S = 20.0
KEEP_CALLS = 5000
NUM_PARALLEL = 1000
"""Replies at once: what is measured is Griot, not the wait for a model's slot."""

_ADDRESS = re.compile(r"listening on (http://\S+)")


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call as the stand-in's log has it; times are seconds of the machine's monotonic clock."""

    started_s: float
    finished_s: float
    asked: str
    """The last message of the prompt."""
    first_token_s: float | None
    disconnected_s: float | None


class ModelProcess(Closing):
    """`python -m sandbox.ollama`, started."""

    def __init__(self, directory: Path) -> None:
        command = (sys.executable, "-m", "sandbox.ollama", "--port", "0")
        self.process = ServerProcess(
            (
                *command,
                *("--keep-calls", str(KEEP_CALLS)),
                *("--num-parallel", str(NUM_PARALLEL)),
            ),
            log_path=directory / "model.log",
            name="model",
        )
        self.process.start()
        self.process.wait_ready(lambda: _ADDRESS.search(self.process.log_text()), READY_TIMEOUT_S)
        found = _ADDRESS.search(self.process.log_text())
        assert found is not None
        self.url = found[1]
        self._http = httpx.Client(base_url=self.url, timeout=30.0, trust_env=False)

    def reset(self) -> None:
        """Forget all calls."""
        self._http.post("/standin/reset").raise_for_status()

    def peak_calls(self) -> int:
        """The most calls at once since the reset."""
        return self._stat("peak")

    def active_calls(self) -> int:
        """The calls that are being served now."""
        return self._stat("active")

    def calls(self) -> list[ModelCall]:
        """The finished calls since the reset, by their start."""
        found = self._http.get("/standin/calls").raise_for_status().json()["calls"]
        calls = [
            ModelCall(
                started_s=call["started_s"],
                finished_s=call["finished_s"],
                asked=call["messages"][-1]["content"],
                first_token_s=call["first_token_s"],
                disconnected_s=call["disconnected_s"],
            )
            for call in found
            if call["finished_s"] is not None
        ]
        return sorted(calls, key=lambda call: call.started_s)

    def close(self) -> None:
        """Stop it."""
        self._http.close()
        self.process.stop()

    def _stat(self, name: str) -> int:
        return int(self._http.get("/standin/stats").raise_for_status().json()[name])
