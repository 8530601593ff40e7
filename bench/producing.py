"""The near end of the producer's process."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.conversation import HISTORY_MESSAGES
from bench.errors import ProducerDied, ProducerFailed

STOP_TIMEOUT_S = 10.0


class Producer:
    """Asks the producer's process to act, one act at a time; the context starts and stops it."""

    def __init__(self, brokers: Sequence[str], env: Mapping[str, str], directory: Path) -> None:
        self._command = (sys.executable, "-m", "bench.producer", *brokers)
        self._env = dict(env)
        self._directory = directory
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        with (self._directory / "producer.log").open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._env,
                cwd=self._directory,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        child = self._child
        if child is None:
            return
        if error is not None:
            child.kill()
        child.communicate(timeout=STOP_TIMEOUT_S)

    def burst(
        self,
        kind: str,
        sessions: Sequence[str],
        model: str = "instant",
        max_history: int = HISTORY_MESSAGES,
    ) -> float:
        """Send a job to each session at once, fetch all: seconds from the first to the last."""
        asked = {"kind": kind, "sessions": list(sessions)}
        answer = self._ask("burst", **asked, model=model, max_history=max_history)
        return _number(answer["seconds"])

    def fill(self, sessions: Sequence[str], model: str = "instant") -> None:
        """Send chat jobs and leave them."""
        self._ask("fill", sessions=list(sessions), model=model, max_history=HISTORY_MESSAGES)

    def turns(
        self, sessions: Sequence[str], model: str = "instant", max_history: int = HISTORY_MESSAGES
    ) -> list[float]:
        """One awaited turn after the other: milliseconds of each."""
        answer = self._ask("turns", sessions=list(sessions), model=model, max_history=max_history)
        return _numbers(answer["ms"])

    def pairs(
        self, sessions: Sequence[str], model: str = "instant"
    ) -> tuple[list[float], list[float]]:
        """By turns a direct call of the model and a job: milliseconds of both."""
        answer = self._ask(
            "pairs", sessions=list(sessions), model=model, max_history=HISTORY_MESSAGES
        )
        return _numbers(answer["direct_ms"]), _numbers(answer["job_ms"])

    def follow(self, sessions: Sequence[str], model: str, every_s: float) -> dict[str, float]:
        """A followed job every so many seconds: when its first piece was seen, by session."""
        asked = {"sessions": list(sessions), "model": model, "every_s": every_s}
        return _times(self._ask("follow", **asked)["seen_s"])

    def stop(self, sessions: Sequence[str], model: str) -> dict[str, float]:
        """One job after the other, cancelled as it speaks: when, by session."""
        return _times(self._ask("stop", sessions=list(sessions), model=model)["asked_s"])

    def _ask(self, act: str, **arguments: object) -> dict[str, object]:
        child = self._child
        if child is None or child.stdin is None or child.stdout is None:
            raise ProducerDied("the producer was not started")
        child.stdin.write(json.dumps({"act": act, **arguments}) + "\n")
        child.stdin.flush()
        line = child.stdout.readline()
        if not line:
            log = (self._directory / "producer.log").read_text(errors="replace")
            raise ProducerDied(f"the producer ended during {act}:\n{log[-2000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise ProducerFailed(f"{act}: {answer['error']}")
        done: dict[str, object] = answer["ok"]
        return done


def _number(value: object) -> float:
    assert isinstance(value, float)
    return value


def _numbers(value: object) -> list[float]:
    assert isinstance(value, list)
    return [_number(item) for item in value]


def _times(value: object) -> dict[str, float]:
    assert isinstance(value, dict)
    return {str(session): _number(at_s) for session, at_s in value.items()}
