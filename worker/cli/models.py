"""The models as `griot status` shows them: places taken, who waits, and about how long."""

from collections.abc import Sequence
from dataclasses import dataclass

from memory import Occupancy, places
from tasks.wiring import Services
from worker.cli.console import Table
from worker.health import wanted_models


@dataclass(frozen=True, slots=True)
class ModelPlaces:
    """One model of one server whose calls are bounded.

    `taken` counts places kept for who is called too; `wait_s` is about how long a job waits that
    comes now, None where no call has ended lately.
    """

    server: str
    model: str
    places: int
    taken: int
    waiting: int
    wait_s: float | None


def model_places(shared: Services) -> tuple[ModelPlaces, ...]:
    """Every model that agents ask for, or in whose line somebody stood lately, if bounded."""
    if not shared.settings.llm.is_bounded:
        return ()
    server = shared.settings.llm.servers[0]
    known = dict.fromkeys((server, model) for model in wanted_models(shared.settings))
    for entry in shared.memory.run(places.lines(shared.keyspace)):
        known[places.server_and_model(entry.member)] = None
    return tuple(row for where in known for row in _row(shared, *where))


def table_of(models: Sequence[ModelPlaces]) -> Table:
    """The models as a table."""
    rows = [
        (
            one.server,
            one.model,
            f"{one.taken} of {one.places}",
            one.waiting,
            "unknown" if one.wait_s is None else f"{one.wait_s:.0f} s",
        )
        for one in models
    ]
    return Table("Models", ("Server", "Model", "Places taken", "In line", "Wait"), rows)


def _row(shared: Services, server: str, model: str) -> list[ModelPlaces]:
    at = shared.places_at(server, model)
    if at is None:
        return []
    occupancy = Occupancy(*shared.memory.run_all(*at.occupancy()))
    wait_ms = occupancy.wait_ms(at.limit)
    return [
        ModelPlaces(
            server=server,
            model=model,
            places=at.limit,
            taken=occupancy.taken,
            waiting=occupancy.waiting,
            wait_s=None if wait_ms is None else round(wait_ms / 1000, 1),
        )
    ]
