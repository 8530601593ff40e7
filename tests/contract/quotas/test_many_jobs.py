"""Looking for jobs among very many: pages come whole, and each command's answer is bounded."""

from collections.abc import Callable, Iterator

import pytest

from memory import Connection, Keyspace
from memory.quotas import owners, pending
from memory.quotas.job_records import Listed, names_of
from memory.quotas.pending import EndedJob
from memory.redis.command import Command
from tasks.overview.found_jobs import AT_ONCE, MOST_LOOKED_AT, FoundJob, JobFinder, JobQuery
from tests.support.effort import effort
from tests.support.memory_fixtures import Backend

JOBS = 2000
ALL_JOBS = 100_000
AGENTS = 10
RARE = 500
"""One job in so many has the rare tag; it failed."""
DAY_MS = 86_400_000


class CountingConnection:
    """Sends commands, and counts them and what they answer with."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.commands, self.longest = 0, 0

    def run(self, command: Command[object]) -> object:
        """The answer to one command."""
        return self.run_each([command])[0]

    def run_each(self, commands: list[Command[object]]) -> list[object]:
        """The answers to several."""
        self.commands += len(commands)
        answers = self._connection.run_each(commands)
        sizes = [len(one) for one in answers if isinstance(one, list)]
        self.longest = max([self.longest, *sizes])
        return answers


@pytest.fixture(scope="module")
def many() -> int:
    """How many jobs there are."""
    return effort(JOBS, long=ALL_JOBS)


def fill(connection: Connection, keyspace: Keyspace, many: int) -> None:
    """List jobs of ten agents, each of a session of its own; nearly all of them are done."""
    for start in range(0, many, 500):
        numbers = range(start, start + 500)
        notes = [note(keyspace, number, many) for number in numbers]
        connection.run_each(notes)
        connection.run(pending.release_ended(keyspace, [ended(number) for number in numbers]))


def note(keyspace: Keyspace, number: int, many: int) -> Command[object]:
    """List one job."""
    agent_id, tags = f"agent-{number % AGENTS}", ("rare",) if number % RARE == 0 else ()
    listed = Listed(names_of(agent_id, f"s{number}", "ama", tags), DAY_MS, many)
    return pending.note(keyspace, f"j{number:06d}", [owners.agent(agent_id)], listed=listed)


def ended(number: int) -> EndedJob:
    """How that job has ended."""
    return EndedJob(f"j{number:06d}", "failed" if number % RARE == 0 else "done")


def pages(find: Callable[[str], tuple[tuple[FoundJob, ...], str | None]]) -> Iterator[FoundJob]:
    """All jobs that are found, page by page."""
    place: str | None = ""
    while place is not None:
        jobs, place = find(place)
        yield from jobs


@pytest.mark.long
@pytest.mark.timeout(600)
def test_pages_are_whole_and_answers_bounded(real_backend: Backend, many: int) -> None:
    """Each job once, the newest first, by whichever name; a rare one costs few commands."""
    connection, keyspace = real_backend.connection, Keyspace(real_backend.prefix)
    fill(connection, keyspace, many)
    counting = CountingConnection(connection)

    def found(**search: str) -> list[str]:
        query = JobQuery(**search)  # type: ignore[arg-type]  # of texts
        finding = JobFinder(counting, keyspace, query, DAY_MS)  # type: ignore[arg-type]  # it counts

        def find(place: str) -> tuple[tuple[FoundJob, ...], str | None]:
            before = counting.commands
            page = finding.page(place, 1000)
            assert counting.commands - before <= 6 + 2 * MOST_LOOKED_AT // AT_ONCE
            return page.jobs, page.next

        return [job.job_id for job in pages(find)]

    every = [f"j{number:06d}" for number in range(many)]
    assert sorted(found()) == every
    assert sorted(found(agent_id="agent-3")) == every[3::AGENTS]
    assert sorted(found(user="ama", state="done", agent_id="agent-0")) == [
        job for number, job in enumerate(every) if number % AGENTS == 0 and number % RARE
    ]
    before = counting.commands
    assert sorted(found(tag="rare", state="failed", user="ama")) == every[::RARE]
    assert counting.commands - before <= 12
    assert found(session_id="s7") == ["j000007"]
    assert counting.longest <= AT_ONCE
