"""The models as `griot status` shows them: slots taken, sessions waiting, and about how long."""

from collections.abc import Sequence
from dataclasses import dataclass

from llm import full_name
from memory import Connection, Keyspace, Occupancy, Slots, slots
from tasks.process.bounded_models import slots_of
from tasks.process.configuration import Settings
from worker.cli.console import Table


@dataclass(frozen=True, slots=True)
class ModelSlots:
    """One model whose calls are bounded.

    Each server has so many `slots`; `taken` is by server, and counts those that are granted and not
    taken yet. `wait_s` is about how long a job waits that comes now, None where no call has ended
    lately.
    """

    model: str
    slots: int
    taken: dict[str, int]
    waiting: int
    wait_s: float | None


def model_slots(
    memory: Connection, keyspace: Keyspace, settings: Settings
) -> tuple[ModelSlots, ...]:
    """Every bounded model that agents ask for, or that somebody waited for lately."""
    if not settings.llm.is_bounded:
        return ()
    waiting = memory.run(slots.waiting_models(keyspace))
    models = [*map(full_name, settings.models)]
    models += [slots.model_of(entry.member) for entry in waiting]
    bounded = (slots_of(keyspace, settings.llm, model) for model in dict.fromkeys(models))
    return tuple(_row(memory, at) for at in bounded if at is not None)


def table_of(models: Sequence[ModelSlots]) -> Table:
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
    return Table("Models", ("Model", "Slots taken", "Waiting", "Wait"), rows)


def _row(memory: Connection, at: Slots) -> ModelSlots:
    taken = memory.run_each(at.taken())
    waiting, mean_ms = memory.run_all(at.waiting(), at.mean_ms())
    wait_ms = Occupancy(tuple(taken), waiting, mean_ms).wait_ms(at.limit)
    return ModelSlots(
        model=at.model,
        slots=at.limit,
        taken=dict(zip(at.servers, taken, strict=True)),
        waiting=waiting,
        wait_s=None if wait_ms is None else round(wait_ms / 1000, 1),
    )
