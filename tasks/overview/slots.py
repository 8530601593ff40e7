"""The slots of the models whose calls are bounded."""

from dataclasses import dataclass, field

from llm import full_name
from memory import Connection, Keyspace, Occupancy, Slots
from memory.priority import RANKS
from memory.slots import slots
from tasks.process.configuration import Settings
from tasks.process.slots import slots_of


@dataclass(frozen=True, slots=True)
class ModelSlots:
    """One model whose calls are bounded.

    `slots` and `taken` are by server; `taken` counts those that are granted and not taken yet, too.
    `wait_s` is about how long a normal job waits that comes now, None where no call has ended
    lately. `waiting_of` counts the waiters by class, where there are any.
    """

    model: str
    slots: dict[str, int]
    taken: dict[str, int]
    waiting: int
    wait_s: float | None
    waiting_of: dict[str, int] = field(default_factory=dict)


def model_slots(
    memory: Connection, keyspace: Keyspace, settings: Settings, *, most: int | None = None
) -> tuple[ModelSlots, ...]:
    """Every bounded model that agents ask for, or that somebody waited for lately: the first `most`
    of them, None: all. Raises memory.MemoryServiceError."""
    if not settings.llm.is_bounded:
        return ()
    waiting = memory.run(slots.waiting_models(keyspace))
    models = [*map(full_name, settings.models), *(slots.model_of(one.member) for one in waiting)]
    shares = settings.queue.shares
    bounded = (
        slots_of(keyspace, settings.llm, model, shares) for model in [*dict.fromkeys(models)][:most]
    )
    return tuple(_slots_now(memory, at) for at in bounded if at is not None)


def _slots_now(memory: Connection, at: Slots) -> ModelSlots:
    taken = memory.run_each(at.taken())
    waiting, mean_ms = memory.run_all(at.waiting(), at.mean_ms())
    each = memory.run_each(at.waiting_of()) if waiting else ()
    by_class = {one: amount for one, amount in zip(RANKS, each, strict=False) if amount}
    occupancy = Occupancy(tuple(taken), by_class, mean_ms)
    wait_ms = occupancy.wait_ms(at.limits(at.servers), shares=at.shares)
    return ModelSlots(
        model=at.model,
        slots=dict(zip(at.servers, at.limits(at.servers), strict=True)),
        taken=dict(zip(at.servers, taken, strict=True)),
        waiting=waiting,
        wait_s=None if wait_ms is None else round(wait_ms / 1000, 1),
        waiting_of={str(one): amount for one, amount in by_class.items()},
    )
