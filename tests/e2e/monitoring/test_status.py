"""`griot status` on promised times and on who waits, with a real worker."""

import json
import re
import uuid
from collections.abc import Iterator, Mapping

import pytest
from click.testing import CliRunner

from memory.records.stats import record_stats
from memory.records.turn_counts import read
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import chat_task
from tasks.process.anew import read_settings_again
from tasks.process.services import producer_services
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from worker.cli import main

WAIT_S = scaled(30)
PROFILES = """
[agents.hasty]
slo = {first_token_s = 0.0001, queue_wait_s = 3600.0}
"""


@pytest.fixture(scope="module")
def griot_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """An agent with a promise that nobody can keep, for the worker and for this process."""
    profiles = tmp_path_factory.mktemp("profiles") / "profiles.toml"
    profiles.write_text(PROFILES, "utf-8")
    own = {"AGENT_PROFILES": str(profiles), "CHAT_ALLOWED_MODELS": "*"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        read_settings_again()
        yield {**FAST, **own}
    read_settings_again()


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> ServerProcess:
    """One worker for all tests of this module."""
    return stack.worker()


def shown(*words: str) -> str:
    """What `griot status` prints."""
    done = CliRunner().invoke(main, ["status", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_missed_promise_is_shown_with_its_beginning() -> None:
    """And the one that is kept as kept; both from what lies in Redis."""
    services = producer_services()
    memory, keyspace = services.memory, services.keyspace
    record_stats(memory, keyspace, keep=10)
    chat_task.delay("hasty", f"s-{uuid.uuid4()}", "Hello").get(timeout=WAIT_S)
    count = "slo_missed:first_token:hasty"
    wait_until(lambda: memory.run(read(keyspace)).get(count), what="the worker writes its counts")
    record_stats(memory, keyspace, keep=10)
    found = {one["slo"]: one for one in json.loads(shown("--json"))["objectives"]}
    late, kept = found["first_token"], found["queue_wait"]
    assert (late["agent"], late["measured"], late["missed"], late["allowed"]) == (
        "hasty",
        1,
        1,
        0.01,
    )
    assert late["since"] is not None
    assert (kept["measured"], kept["missed"], kept["since"]) == (1, 0, None)
    assert "first_token in 0.0001 s" in shown()


def test_the_three_sessions_that_wait_longest_are_named() -> None:
    """In the order in which they came, each once, with the job and what keeps it."""
    run = uuid.uuid4().hex[:6]
    chat_task.delay("energy", f"{run}-0", "Hello", model="hang")
    waiting = [chat_task.delay("energy", f"{run}-0", "And then?", model="hang")]
    for number in (1, 2, 3):
        session = f"{run}-{number}"
        chat_task.delay("energy", session, "Hello", model="hang")
        waiting.append(chat_task.delay("energy", session, "And then?", model="hang"))

    def longest() -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(shown("--json"))["longest_waiting"]
        return found

    expected = [(f"{run}-{number}", waiting[number].id) for number in (0, 1, 2)]
    wait_until(
        lambda: [(one["session_id"], one["job_id"]) for one in longest()] == expected,
        what="the three that wait longest are shown",
    )
    assert {one["before"] for one in longest()} == {1}


def test_who_fills_the_queue_is_named() -> None:
    """The agent first, then its sessions, those with the most jobs first."""
    run = uuid.uuid4().hex[:6]
    sent = [
        chat_task.delay(f"{run}-filler", session, "Hello", model="hang")
        for session, jobs in ((f"{run}-few", 30), (f"{run}-many", 31))
        for _ in range(jobs)
    ]
    found = json.loads(shown("--json"))["mailboxes"]["fullest"]
    assert [one for one in found if one["agent_id"] == f"{run}-filler"] == [
        {"agent_id": f"{run}-filler", "session_id": None, "jobs": 61},
        {"agent_id": f"{run}-filler", "session_id": f"{run}-many", "jobs": 31},
        {"agent_id": f"{run}-filler", "session_id": f"{run}-few", "jobs": 30},
    ]
    assert re.search(rf"{run}-filler\s+\(all\)\s+61", shown())
    # Else they are the ones that wait longest, for the test of those.
    for job in reversed(sent):
        chat_task.cancel(job.id, "discard")


def test_the_numbers_say_what_memory_will_be_in_a_week() -> None:
    """Of a deployment that has just begun: that nobody knows it yet."""
    done = CliRunner().invoke(main, ["stats"], catch_exceptions=False)
    assert "not known before an hour of snapshots" in done.output
