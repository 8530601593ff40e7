"""`griot trace`: where a job's time went."""

import click

from tasks.overview.job_times import JobTimes, Stretch, times_of
from tasks.process.services import producer_services
from worker.cli.console import Table, json_option, moment_of, note, say, show, show_json

BAR_CELLS = 32
"""How wide the whole time of a job is drawn."""


@click.command()
@click.argument("job_id")
@json_option
def trace(job_id: str, as_json: bool) -> None:
    """Show where the time of JOB_ID went, and why it failed.

    Queued, waiting, model, tools, reply, each attempt.

    It is read from what Redis keeps of the job; no collector is needed. Where spans are sent to
    one, the last line has the id under which it has the trace.

    \b
    Example:
      griot trace 4d10cdb2-681c-4eba-810c-bd649f2ffa50
      griot trace 4d10cdb2-681c-4eba-810c-bd649f2ffa50 --json
    """
    services = producer_services()
    found = times_of(services.memory, services.keyspace, job_id)
    if as_json:
        show_json(found)
        return
    if not found.stretches:
        note("its events are no longer kept: Griot cannot say where its time went")
        return
    show(_waterfall(found), is_to_read=True)
    for line in _more(found):
        say(line)


def _waterfall(found: JobTimes) -> Table:
    began_ms = found.stretches[0].began_ms
    ended_ms = max(one.ended_ms or one.began_ms for one in found.stretches)
    rows = [_row(one, began_ms, max(ended_ms - began_ms, 1)) for one in found.stretches]
    title = f"Job {found.job_id}, {found.state}, sent {moment_of(began_ms)}"
    return Table(title, ("From", "Took", "", "Attempt", "What"), rows)


def _row(one: Stretch, began_ms: int, whole_ms: int) -> tuple[object, ...]:
    took_ms = None if one.ended_ms is None else one.ended_ms - one.began_ms
    first = round((one.began_ms - began_ms) / whole_ms * BAR_CELLS)
    cells = BAR_CELLS - first if took_ms is None else round(took_ms / whole_ms * BAR_CELLS)
    bar = "·" * min(first, BAR_CELLS - 1) + "█" * max(1, cells)
    return (
        _seconds(one.began_ms - began_ms),
        "goes on" if took_ms is None else _seconds(took_ms),
        bar[:BAR_CELLS].ljust(BAR_CELLS, "·"),
        one.attempt or None,
        one.what,
    )


def _more(found: JobTimes) -> list[str]:
    said = [f"Failed: {found.reason}"] if found.reason else []
    said.append(f"Agent {found.agent_id}, session {found.session_id}, attempts {found.attempts}")
    if found.server:
        said.append(f"Server {found.server}, model {found.model}")
    shown = [
        f"{name.removesuffix('_ms').replace('_', ' ')} {_seconds(float(value))}"
        for name, value in found.timings.items()
        if name.endswith("_ms") and isinstance(value, int | float)
    ]
    if shown:
        said.append(f"The last call of the model: {', '.join(shown)}")
    if found.trace:
        said.append(f"Trace {found.trace}")
    return said


def _seconds(ms: float) -> str:
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.2f} s"
