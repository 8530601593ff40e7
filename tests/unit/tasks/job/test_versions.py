"""An envelope or a schedule has the lowest version that says it, and a newer one is refused."""

import orjson
import pytest

from memory import NewerFormat
from memory.mailbox.netstrings import packed_netstrings
from tasks.errors import InvalidJob
from tasks.job.envelope import Envelope
from tasks.job.job import ChatJob
from tasks.job.rhythm import Rhythm
from tasks.job.schedule import Schedule
from tasks.job.versions import VERSION, version_of

JOB = ChatJob(agent_id="energy", session_id="s", message="hello")
NEW = {"not_of_the_first_version"}


def envelope(version: object, **more: object) -> bytes:
    """An envelope that says that it is of this version, and has more in its job."""
    said = orjson.loads(Envelope(job=JOB).pack())
    return orjson.dumps({**said, "v": version, "job": {**said["job"], **more}})


def test_what_uses_nothing_new_is_of_the_first_version() -> None:
    """Which costs no byte."""
    assert b'"v"' not in Envelope(job=JOB).pack()
    assert Envelope.unpack(Envelope(job=JOB).pack()).v is None


def test_what_is_not_listed_is_of_the_newest_version() -> None:
    """An option, or a part of an envelope: whoever adds one cannot forget it."""
    assert version_of(NEW) == VERSION
    assert version_of({"message"}, NEW) == VERSION


@pytest.mark.parametrize("version", [VERSION, VERSION - 1, None])
def test_a_reader_takes_its_own_version_and_the_one_before(version: int | None) -> None:
    """And what says nothing, which is of the first."""
    assert Envelope.unpack(envelope(version)).job == JOB


@pytest.mark.parametrize("version", [VERSION + 1, VERSION + 2])
@pytest.mark.parametrize("more", [{}, {"not_of_this_version": 5}])
def test_a_newer_one_is_refused_by_its_version(version: int, more: dict[str, object]) -> None:
    """Also where what it says could be read: it may mean something else. The versions are named."""
    says = rf"version {version} and this Griot reads up to version {VERSION}: .* update"
    with pytest.raises(NewerFormat, match=says):
        Envelope.unpack(envelope(version, **more))


def test_one_newer_job_among_those_that_are_merged_is_enough() -> None:
    """They are answered together, by a worker that can read all of them."""
    parts = [Envelope(job=JOB).pack(), b"j1", envelope(VERSION + 1)]
    with pytest.raises(NewerFormat):
        Envelope.unpack(packed_netstrings(parts))


@pytest.mark.parametrize("version", ["9", [9], {}, None])
def test_what_is_wrong_and_no_newer_is_wrong(version: object) -> None:
    """No worker of any version could read it."""
    with pytest.raises(InvalidJob):
        Envelope.unpack(envelope(version, agent_id=5))


def test_a_schedule_says_it_too() -> None:
    """Its ticks have the options of the job."""
    rhythm = Rhythm.of(cron=None, every_s=60, zone="UTC")
    made = Schedule(
        schedule_id="a", agent_id="energy", session_id="s", message="x", rhythm=rhythm, after_s=0
    )
    assert Schedule.unpack(made.pack()) == made
    newer = orjson.dumps({**orjson.loads(made.pack()), "v": VERSION + 1})
    with pytest.raises(NewerFormat, match="a schedule has format version"):
        Schedule.unpack(newer)


def test_a_job_with_a_new_option_says_its_version() -> None:
    """And a reader of this release finds it there."""
    packed = Envelope(job=JOB.model_copy(update={"timeout_s": 30.0})).pack()
    assert orjson.loads(packed)["v"] == VERSION
    assert Envelope.unpack(packed).job.timeout_s == 30
