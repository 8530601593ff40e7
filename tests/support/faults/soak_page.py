"""The page of a soak: what each round did, and what the worker that is never killed held. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.html.charts import curve
from bench.html.elements import element, page, table

HEAD = ("Round", "Jobs", "Model calls", "Faults in it", "Worker's memory", "Open files")


@dataclass(frozen=True, slots=True)
class Round:
    """One round, and what the worker held at its end."""

    jobs: int
    calls: int
    faults: Counter[str]
    rss_bytes: int
    files: int

    @property
    def rss_mb(self) -> float:
        """The worker's memory in MB."""
        return self.rss_bytes / 1_000_000


def html(verdict: str, rounds: Sequence[Round]) -> str:
    """The page."""
    faults = sum((one.faults for one in rounds), Counter[str]())
    cells = (
        (
            str(number),
            str(one.jobs),
            str(one.calls),
            str(one.faults.total()),
            f"{one.rss_mb:.0f} MB",
            str(one.files),
        )
        for number, one in enumerate(rounds, 1)
    )
    return page(
        "Griot: a soak",
        element("p", verdict),
        element("h2", "The worker's memory"),
        curve("The worker's memory", "MB", [one.rss_mb for one in rounds]),
        element("h2", "Model calls of a round"),
        curve("Model calls of a round", "", [float(one.calls) for one in rounds]),
        element("h2", "Rounds"),
        table(HEAD, cells),
        element("h2", "Faults"),
        table(("Fault", "How often"), ((name, str(often)) for name, often in faults.items())),
    )
