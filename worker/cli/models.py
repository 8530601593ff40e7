"""The models as `griot status` shows them: places taken, who waits, and about how long."""

from collections.abc import Sequence
from dataclasses import dataclass

from llm import full_name
from memory import Occupancy, slots
from tasks.process.wiring import Services
from worker.cli.console import Table


@dataclass(frozen=True, slots=True)
class ModelPlaces:
    """One model whose calls are bounded.

    Each server has so many `places`; `taken` is by server, and counts those kept for who is called
    too. `wait_s` is about how long a job waits that comes now, None where no call has ended lately.
    """

    model: str
    slots: int
    taken: dict[str, int]
    waiting: int
    wait_s: float | None


def model_places(shared: Services) -> tuple[ModelPlaces, ...]:
    """Every model that agents ask for, or in whose line somebody stood lately, if bounded."""
    if not shared.settings.llm.is_bounded:
        return ()
    lines = shared.memory.run(slots.waiting_models(shared.keyspace))
    models = [*map(full_name, shared.settings.models)]
    models += [slots.model_of(entry.member) for entry in lines]
    return tuple(row for model in dict.fromkeys(models) for row in _row(shared, model))


def table_of(models: Sequence[ModelPlaces]) -> Table:
    """The models as a table."""
    rows = [
        (
            one.model,
            ", ".join(f"{taken} of {one.slots} at {url}" for url, taken in one.taken.items()),
            one.waiting,
            "unknown" if one.wait_s is None else f"{one.wait_s:.0f} s",
        )
        for one in models
    ]
    return Table("Models", ("Model", "Places taken", "In line", "Wait"), rows)


def _row(shared: Services, model: str) -> list[ModelPlaces]:
    at = shared.slots_at(model)
    if at is None:
        return []
    taken = shared.memory.run_each(at.taken())
    waiting, mean_ms = shared.memory.run_all(at.waiting(), at.mean_ms())
    wait_ms = Occupancy(tuple(taken), waiting, mean_ms).wait_ms(at.limit)
    return [
        ModelPlaces(
            model=model,
            slots=at.limit,
            taken=dict(zip(at.servers, taken, strict=True)),
            waiting=waiting,
            wait_s=None if wait_ms is None else round(wait_ms / 1000, 1),
        )
    ]
