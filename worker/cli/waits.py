"""What `griot status` says of promised times, of who waits longest and of who fills the queue."""

from collections.abc import Iterator, Sequence

from memory.mailbox.looks import Why
from tasks.overview.backlog import Filler
from tasks.overview.jobs import JobShown
from tasks.overview.objectives import Objective
from worker.cli.console import Table, moment, moment_of

WHY = {
    Why.BEHIND: "behind",
    Why.SLOT: "no slot",
    Why.SERVER: "server away",
    Why.PAUSED: "paused",
    Why.BACKOFF: "back-off",
    Why.SCHEDULED: "not due",
    Why.WAKE: "to be taken",
}
"""What keeps a job, in a word."""


def tables(
    objectives: Sequence[Objective], longest: Sequence[JobShown], fullest: Sequence[Filler]
) -> Iterator[Table]:
    """A table for each that there is something to say of."""
    if objectives:
        columns = ("Agent", "Promised", "Jobs in the last hour", "Missed", "Allowed", "Since")
        yield Table("Promised times", columns, [_row(one) for one in objectives])
    if longest:
        columns = ("Agent", "Session", "Job", "Waits since", "Because", "Jobs before it")
        yield Table("Sessions that wait longest", columns, [_waiting(one) for one in longest])
    if fullest:
        rows = [(one.agent_id, one.session_id or "(all)", one.jobs) for one in fullest]
        yield Table("Who fills the queue", ("Agent", "Session", "Jobs that wait or run"), rows)


def _waiting(one: JobShown) -> tuple[object, ...]:
    since = moment_of(one.since_ms or 0)
    return (
        one.agent_id,
        one.session_id,
        one.job_id,
        since,
        WHY.get(one.why, one.why.value),
        one.before,
    )


def _row(one: Objective) -> tuple[object, ...]:
    return (
        *(one.agent, f"{one.slo} in {one.within_s:g} s", one.measured, one.missed),
        *(f"{one.allowed:.2%}", "kept" if one.since is None else moment(one.since)),
    )
