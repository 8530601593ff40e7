"""What a worker says of itself when `griot status` asks: nothing is published while nobody does."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from celery.app.control import Inspect
from celery.worker.control import inspect_command

from tasks.process.worker.services import worker_services
from worker.lateness import Lateness, loop_watch

NAME = "griot_health"


@dataclass(frozen=True, slots=True)
class Health:
    """How late its event loop was in the last ten seconds, and how many calls of each tool were
    given up and still keep a thread."""

    late_ms: Lateness
    hanging_tools: Mapping[str, int]

    @classmethod
    def parsed(cls, answer: object) -> Self | None:
        """What a worker has answered; None of one that does not know the question."""
        match answer:
            case {"max_ms": float(most), "p99_ms": float(p99), "hanging_tools": dict(hanging)}:
                return cls(Lateness(most, p99), hanging)
        return None


def prepare() -> None:
    """Have every worker of this process answer."""
    inspect_command(name=NAME)(_answer)


def _answer(_: object) -> dict[str, object]:
    """The health of this worker; on the thread of Celery's consumer."""
    return {**asdict(loop_watch().seen()), "hanging_tools": worker_services().toolbox.hanging}


def healths(asked: Inspect) -> Mapping[str, Health]:
    """The health of each worker that answers in time."""
    answers = asked._request(NAME) or {}
    found = {worker: Health.parsed(answer) for worker, answer in answers.items()}
    return {worker: health for worker, health in found.items() if health is not None}
