"""Jobs are found under each of their names, the newest first; what is kept is bounded."""

from collections.abc import Sequence

import pytest

from memory.keys import Keyspace
from memory.quotas import job_records, owners, pending
from memory.quotas.job_records import ALL, JobRecord, Listed, names_of
from memory.quotas.pending import EndedJob
from tests.support.memory_fixtures import Backend
from tests.support.quotas.rig import START_MS, QuotaRig, agent

DAY_MS = 86_400_000
FAR_MS = 9_000_000_000_000


@pytest.fixture
def rig(backend: Backend) -> QuotaRig:
    """No job yet, on the real and on the fake server in turn."""
    return QuotaRig(backend.connection, Keyspace(backend.prefix))


def note(rig: QuotaRig, job: str, *, most: int = 100, tags: Sequence[str] = ()) -> None:
    """List a job of its session, of Ama."""
    names = names_of("energy", f"s of {job}", "ama", tags)
    listed = Listed(names, DAY_MS, most)
    owner = (agent(), owners.named("ama"))
    rig.connection.run(pending.note(rig.keyspace, job, owner, listed=listed))


def end(rig: QuotaRig, job: str, state: str) -> None:
    """Have a job end."""
    command = pending.release_ended(rig.keyspace, [EndedJob(job, state)], now_s=rig.now_ms / 1000)
    rig.connection.run(command)


def found(rig: QuotaRig, name: str, *, since_ms: int = 0, until_ms: int = FAR_MS) -> list[str]:
    """The jobs under a name, read in pages of two."""
    jobs, place = list[str](), ""
    while True:
        command = job_records.page(
            rig.keyspace, name, since_ms=since_ms, until_ms=until_ms, place=place, limit=2
        )
        if not (page := rig.connection.run(command)):
            return jobs
        jobs += map(job_records.job_at, page)
        place = page[-1]


def record(rig: QuotaRig, job: str) -> JobRecord | None:
    """What is kept of a job."""
    return rig.connection.run(job_records.records(rig.keyspace, [job]))[0]


def test_a_job_is_found_by_each_of_its_names_and_its_state(rig: QuotaRig) -> None:
    """From the moment it is noted; when it ends its state changes, and nothing else."""
    note(rig, "a job", tags=("night run", "b", "b"))
    names = ["a:energy", "s:s%20of%20a%20job", "u:ama", "t:night%20run", "t:b", ALL]
    assert [found(rig, name) for name in (*names, "e:open")] == [["a job"]] * 7
    assert record(rig, "a job") == JobRecord(
        *("a job", "open", START_MS, None, "energy", "s of a job", "ama", ("night run", "b"))
    )
    rig.later(5)
    end(rig, "a job", "failed")
    assert [found(rig, name) for name in (*names, "e:failed")] == [["a job"]] * 7
    assert found(rig, "e:open") == []
    kept = record(rig, "a job")
    assert kept is not None
    assert (kept.state, kept.taken_ms, kept.ended_ms) == ("failed", START_MS, START_MS + 5)


def test_pages_come_the_newest_first_within_a_time(rig: QuotaRig) -> None:
    """A name that another one begins with is another name."""
    for number in range(5):
        note(rig, f"j{number}", tags=("x", "xy") if number == 2 else ("xy",))
        rig.later(1000)
    assert found(rig, "t:xy") == ["j4", "j3", "j2", "j1", "j0"]
    assert found(rig, "t:x") == ["j2"]
    within = {"since_ms": START_MS + 1000, "until_ms": START_MS + 3000}
    assert found(rig, ALL, **within) == ["j2", "j1"]
    assert rig.connection.run(job_records.size(rig.keyspace, "t:xy")) == 5


@pytest.mark.parametrize("state", ["", "erased"])
def test_a_job_that_was_not_taken_in_or_is_erased_leaves_nothing(rig: QuotaRig, state: str) -> None:
    """No record, and no entry of the index."""
    note(rig, "j1", tags=("x",))
    end(rig, "j1", state)
    assert rig.key_names() == []


def test_a_repeat_changes_no_record(rig: QuotaRig) -> None:
    """Neither of a job that waits nor of one that has ended, be it refused or ended again."""
    note(rig, "j1")
    rig.later(9)
    note(rig, "j1", tags=("other",))
    end(rig, "j1", "done")
    kept = record(rig, "j1")
    note(rig, "j1")
    end(rig, "j1", "")
    end(rig, "j1", "cancelled")
    assert record(rig, "j1") == kept
    assert kept is not None
    assert kept.taken_ms == START_MS
    assert found(rig, "t:other") == []


def test_of_jobs_that_have_ended_so_many_are_kept_for_so_long(rig: QuotaRig) -> None:
    """The first that ended go first, with each eighth job; those that wait stay, however old."""
    note(rig, "waits")
    for number in range(40):
        note(rig, f"j{number}", most=3)
        end(rig, f"j{number}", "done")
        rig.later(1000)
        assert len(found(rig, ALL)) <= 1 + 3 + 8
    kept = found(rig, ALL)
    assert kept == [f"j{number}" for number in range(39, 40 - len(kept), -1)] + ["waits"]
    rig.later(DAY_MS)
    for number in range(40, 49):
        note(rig, f"j{number}")
    assert found(rig, ALL) == [*(f"j{number}" for number in range(48, 39, -1)), "waits"]


def test_many_old_records_go_as_new_jobs_come(rig: QuotaRig) -> None:
    """So that no script holds the others up for long, and none is left."""
    for number in range(60):
        note(rig, f"j{number}")
        end(rig, f"j{number}", "done")
    rig.later(DAY_MS + 1)
    for number in range(24):
        note(rig, f"new{number}")
    assert len(found(rig, ALL)) == 24


def test_no_record_is_kept_where_none_is_asked_for(rig: QuotaRig) -> None:
    """The job counts all the same."""
    note(rig, "j1", most=0)
    assert found(rig, ALL) == []
    assert rig.look("energy").pending == 1
    end(rig, "j1", "done")
    assert rig.key_names() == []


def test_records_are_forgotten_with_all_entries(rig: QuotaRig) -> None:
    """Once; of others nothing."""
    for job in ("j1", "j2"):
        note(rig, job, tags=("x",))
        end(rig, job, "done")
    forget = job_records.forget(rig.keyspace, ["j1", "j9"])
    assert [rig.connection.run(forget) for _ in range(2)] == [1, 0]
    assert found(rig, "t:x") == ["j2"]


def test_all_records_of_a_name_are_read_page_by_page(rig: QuotaRig) -> None:
    """Until a moment: what was sent later is not among them."""
    for number in range(3):
        note(rig, f"j{number}")
        rig.later(10)
    pages = job_records.pages(rig.connection, rig.keyspace, "u:ama", until_ms=START_MS + 10)
    assert [one.job_id for page in pages for one in page] == ["j1", "j0"]


def test_a_damaged_record_is_none(rig: QuotaRig) -> None:
    """Another program's bytes fail no listing."""
    note(rig, "j1")
    rig.ask("HSET", rig.keyspace.quotas.job_records, "j1", b"\xff no record")
    assert record(rig, "j1") is None
