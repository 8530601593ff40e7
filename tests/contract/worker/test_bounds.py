"""`griot check` says how near the bounds are."""

from dataclasses import replace

import pytest

from memory import Command, Event, EventType, InvalidInput, Keyspace, dead_letters
from memory.quotas import owners, pending
from tasks.end.outcome import check_size
from tasks.process.configuration import Settings, load_settings
from tests.support.mailbox.rig import Rig
from tests.support.memory_fixtures import Backend
from worker.checks.bounds import check_bounds
from worker.checks.findings import Finding, Level


def settings_of(backend: Backend, **queue: int) -> Settings:
    """The settings of a deployment with the test's own keys."""
    known = load_settings()
    memory = known.memory.model_copy(update={"key_prefix": backend.prefix})
    queue_settings = known.queue.model_copy(update=queue)
    return replace(known, memory=memory, queue=queue_settings)


def found(backend: Backend, **queue: int) -> dict[str, Finding]:
    """The findings by what they are about."""
    findings = check_bounds(backend.connection, settings_of(backend, **queue))
    return {one.check: one for one in findings}


def count(backend: Backend, agent: str, jobs: int) -> None:
    """Have so many jobs of an agent wait."""
    keyspace = Keyspace(backend.prefix)
    for number in range(jobs):
        whose = (owners.agent(agent), owners.user("ama"))
        backend.connection.run(pending.note(keyspace, f"{agent}{number}", whose))


def test_an_empty_deployment_is_well(real_backend: Backend) -> None:
    """Also before anything was counted."""
    assert {one.level for one in found(real_backend).values()} == {Level.OK}


def test_four_fifths_of_the_jobs_are_a_warning_that_names_the_setting(
    real_backend: Backend,
) -> None:
    """One fewer is none; of the agents the one that has most is named."""
    count(real_backend, "energy", 3)
    count(real_backend, "ö/x", 5)
    near = found(real_backend, max_pending_total=10, max_pending_per_agent=6)
    total, agent = near["pending jobs"], near["pending jobs of ö/x"]
    assert (total.level, total.found) == (Level.WARN, "8 of 10")
    assert "CHAT_MAX_PENDING_TOTAL" in total.advice
    assert (agent.level, agent.found) == (Level.WARN, "5 of 6")
    assert "CHAT_MAX_PENDING_PER_AGENT" in agent.advice
    far = found(real_backend, max_pending_total=11, max_pending_per_agent=7)
    assert {one.level for one in far.values()} == {Level.OK}


def test_so_are_four_fifths_of_sessions_and_dead_letters(real_backend: Backend) -> None:
    """As maintenance has counted them last."""
    totals = Keyspace(real_backend.prefix).quotas.totals
    noted = ("sessions", 80, "dead_letters", 8)
    real_backend.connection.run(Command(int, ("HSET", totals, *noted)))
    real_backend.connection.run(Command(int, ("EXPIRE", totals, 100)))
    near = found(real_backend, max_sessions=100, max_dead_letters=10)
    for check, name in (("sessions", "SESSIONS"), ("dead letters", "DEAD_LETTERS")):
        assert near[check].level is Level.WARN
        assert f"CHAT_MAX_{name}" in near[check].advice
    far = found(real_backend, max_sessions=101, max_dead_letters=11)
    assert {one.level for one in far.values()} == {Level.OK}


def test_so_is_a_history_that_is_nearly_full(real_backend: Backend) -> None:
    """It is named; small ones, and sessions without jobs, are none."""
    service = real_backend.service()
    for session, size in (("small", 10), ("large", 70_000)):
        service.append_to_history("energy", session, {"role": "user", "content": "x" * size})
    settings = settings_of(real_backend)
    for most, level in ((80_000, Level.WARN), (100_000, Level.OK)):
        memory = settings.memory.model_copy(update={"history_max_bytes": most})
        bounded = replace(settings, memory=memory)
        findings = check_bounds(real_backend.connection, bounded)
        (one,) = [finding for finding in findings if "history" in finding.check]
        assert one.level is level
        assert (
            level is Level.OK or service.keyspace.session("energy", "large").history in one.advice
        )


def test_damaged_counts_are_a_warning(real_backend: Backend) -> None:
    """Which names the key; the command goes on."""
    key = Keyspace(real_backend.prefix).quotas.counts
    real_backend.connection.run(Command(bool, ("SET", key, "x", "EX", 100)))
    assert found(real_backend)["bounds"].level is Level.WARN
    assert key in found(real_backend)["bounds"].found


def test_answers_that_were_too_large_are_told(real_backend: Backend) -> None:
    """A model has worked for them, and nobody got them."""
    rig = Rig(real_backend.connection, Keyspace(real_backend.prefix))
    with pytest.raises(InvalidInput) as refused:
        check_size(Event(EventType.DONE, "large", 1, "x" * 2000), 1024)
    for job, reason in (("other", "the model refused it"), ("large", str(refused.value))):
        rig.take_in(job)
        rig.acquire(job, job)
        rig.connection.run(dead_letters.note(rig.box))
        rig.bury(job, job, reason=reason)
        one = found(real_backend)["too large results"]
        assert one.level is (Level.WARN if job == "large" else Level.OK)
    assert one.found == "1 of the newest 2 dead letters had an answer that was too large"
    assert "CHAT_MAX_RESULT_BYTES" in one.advice
