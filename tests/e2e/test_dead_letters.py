"""A job that cannot be answered is kept with its reason, and can be sent again."""

import asyncio
import json
import uuid

import pytest
from celery.result import AsyncResult
from click.testing import CliRunner

from memory import Command, Event, Mailbox, audit, get_redis_memory, index
from memory.lifetimes import DEDUPE_MS
from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import (
    EventType,
    InvalidJob,
    JobConflict,
    JobFailed,
    JobResult,
    aio,
    app,
    chat_task,
    follow_job,
)
from tasks.process.wakeup import publish, wakeup_kwargs
from tasks.submit.dead_letters import all_letters, drop, letter_of, requeue
from tests.support.machine import scaled
from tests.support.results import fetch
from worker.cli import main

WAIT_S = scaled(20)


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> ServerProcess:
    """One worker for all tests of this module."""
    return stack.worker()


@pytest.fixture
def dead_job(ollama: OllamaStandIn) -> str:
    """The id of a job that the model has refused."""
    ollama.script("ok", ["bad-400"])
    sent = chat_task.delay("energy", f"s-{uuid.uuid4()}", "hear me", model="ok")
    with pytest.raises(JobFailed):
        sent.get(timeout=WAIT_S)
    return str(sent.id)


def _drop_all_but(*kept: str) -> None:
    for found in all_letters():
        if found.letter.job_id not in kept:
            drop(found.letter.job_id)


def test_a_dead_letter_says_what_why_and_when(dead_job: str) -> None:
    """It is listed with reason, attempts and time, and shows the job that was asked for."""
    found = letter_of(dead_job)
    assert found.letter.job_id in {one.letter.job_id for one in all_letters()}
    assert found.letter.attempts == 1
    assert found.letter.died_at_ms > 0
    assert found.letter.reason
    assert found.job is not None
    assert found.job.message == "hear me"
    assert "hear me" not in repr(found)


def test_a_dead_letter_is_found_after_the_deduplication_period(dead_job: str) -> None:
    """What leads from the job's id to its letter lives as long as the letter."""
    memory = get_redis_memory()
    keys = memory.keyspace.session("energy", letter_of(dead_job).session_id)
    pointer, letters = (
        memory.connection.run(Command(int, ("PTTL", key)))
        for key in (memory.keyspace.job(dead_job), keys.dead)
    )
    assert DEDUPE_MS < letters - scaled(60) * 1000 <= pointer


def test_a_late_message_of_a_dead_job_fails_for_the_same_reason(dead_job: str) -> None:
    """Also when its result and its events are gone; who follows so late is told the same."""
    found = letter_of(dead_job)
    assert [event.type for event in follow_job(dead_job)][-1] is EventType.FAILED
    keys = get_redis_memory().keyspace.session("energy", found.session_id)
    get_redis_memory().connection.run(Command(bool, ("UNLINK", keys.events)))
    app.backend.forget(dead_job)
    publish(app, dead_job, wakeup_kwargs(keys, None), {})
    with pytest.raises(JobFailed) as failed:
        JobResult(dead_job, app=app).get(timeout=WAIT_S)
    assert str(failed.value) == found.letter.reason
    (told,) = follow_job(dead_job)
    assert (told.type, told.data) == (EventType.FAILED, {"error": found.letter.reason})


def test_a_dead_job_whose_next_id_is_taken_keeps_its_letter(dead_job: str) -> None:
    """By another request: the letter is dropped only for a job that is in."""
    args = ("energy", letter_of(dead_job).session_id, "somebody's own")
    assert chat_task.apply_async(args, task_id=f"{dead_job}~r1").get(timeout=WAIT_S)["response"]
    with pytest.raises(JobConflict, match="would be sent again as"):
        requeue(app, dead_job)
    assert letter_of(dead_job).job is not None
    drop(dead_job)


def test_an_envelope_that_another_program_made_too_large_is_not_kept(dead_job: str) -> None:
    """Its letter says how large it was, and is not sent again."""
    keys = get_redis_memory().keyspace.session("energy", letter_of(dead_job).session_id)
    new_id, envelope = f"large-{uuid.uuid4()}", b'"' + b"x" * 20_000_000 + b'"'
    mailbox = Mailbox(get_redis_memory().keyspace, keys)
    get_redis_memory().connection.run_all(
        *mailbox.enqueue(new_id, envelope, cap=9, grace_ms=10_000)
    )
    publish(app, new_id, wakeup_kwargs(keys, None), {})
    with pytest.raises(JobFailed, match="CHAT_MAX_ENVELOPE_BYTES"):
        JobResult(new_id, app=app).get(timeout=WAIT_S)
    kept = get_redis_memory().connection.run(Command(list, ("LRANGE", keys.dead, 0, -1)))
    assert sum(map(len, kept)) < 100_000
    with pytest.raises(
        InvalidJob, match=r"its envelope of 20000002 bytes was .* not kept; drop it"
    ):
        requeue(app, new_id)
    shown = CliRunner().invoke(main, ["dead-letters", "show", new_id])
    assert "20000002" in shown.stdout
    drop(new_id)


def test_a_dead_job_is_sent_again(dead_job: str) -> None:
    """Under a new id; answered, remembered, and no longer among the dead letters."""
    session_id = letter_of(dead_job).session_id
    new_id = requeue(app, dead_job)
    result = JobResult(new_id, app=app).get(timeout=WAIT_S)
    assert "hear me" in result["response"]
    assert len(get_redis_memory().get_conversation_history("energy", session_id)) == 2
    with pytest.raises(InvalidJob):
        letter_of(dead_job)


def test_the_old_id_of_a_job_that_was_sent_again_leads_to_the_new_one(dead_job: str) -> None:
    """Its result is the new one's, and whoever follows it is told the new id, events or not."""
    last_session = letter_of(dead_job).session_id
    new_id = requeue(app, dead_job)
    assert "hear me" in JobResult(dead_job, app=app).get(timeout=WAIT_S)["response"]
    assert fetch(AsyncResult(dead_job, app=app), WAIT_S)["merged_into"] == new_id
    last = [*follow_job(dead_job)][-1]
    assert (last.type, last.data["into"]) == (EventType.MERGED, new_id)
    on_a_loop = asyncio.run(_last_on_a_loop(dead_job))
    assert (on_a_loop.type, on_a_loop.data) == (last.type, last.data)
    memory = get_redis_memory()
    keys = memory.keyspace.session("energy", last_session)
    memory.connection.run(Command(bool, ("UNLINK", keys.events)))
    (told,) = follow_job(dead_job)
    assert (told.type, told.data) == (EventType.MERGED, {"into": new_id})


async def _last_on_a_loop(job_id: str) -> Event:
    return [event async for event in aio.follow_job(job_id)][-1]


def test_a_dead_letter_is_dropped(dead_job: str) -> None:
    """It is gone, and so is its session from the list."""
    session_id = letter_of(dead_job).session_id
    drop(dead_job)
    records = audit.records(get_redis_memory().connection, get_redis_memory().keyspace)
    assert [(one.deed, one.outcome) for one in records if one.is_about(dead_job)] == [
        ("drop", "dropped")
    ]
    with pytest.raises(InvalidJob, match=dead_job):
        requeue(app, dead_job)
    assert dead_job not in {one.letter.job_id for one in all_letters()}
    memory = get_redis_memory()
    keys = memory.keyspace.session("energy", session_id)
    assert memory.connection.run(index.score(memory.keyspace.dead, keys.history)) is None


def test_the_command_line_lists_shows_requeues_and_drops(dead_job: str) -> None:
    """Each subcommand does what its name says; only `show` tells what was said."""
    run = CliRunner().invoke
    listed = run(main, ["dead-letters", "list", "--json"])
    assert dead_job in {letter["job_id"] for letter in json.loads(listed.output)}
    assert dead_job in run(main, ["dead-letters"]).output
    assert "hear me" not in listed.output
    assert "hear me" in run(main, ["dead-letters", "show", dead_job]).output
    again = run(main, ["dead-letters", "requeue", dead_job])
    assert again.exit_code == 0, again.output
    new_id = again.output.split()[-1]
    assert "hear me" in JobResult(new_id, app=app).get(timeout=WAIT_S)["response"]
    refused = run(main, ["dead-letters", "drop", dead_job])
    assert refused.exit_code == 1
    assert dead_job in refused.output


def test_all_that_are_chosen_are_sent_again_in_their_old_order(ollama: OllamaStandIn) -> None:
    """By reason and time; the others stay; repeating it sends nothing twice."""
    session, run = f"s-{uuid.uuid4()}", CliRunner().invoke
    _drop_all_but()
    ollama.script("ok", ["bad-400"] * 3)
    sent = [chat_task.delay("energy", session, f"number {n}", model="ok") for n in range(3)]
    for one in sent:
        with pytest.raises(JobFailed):
            one.get(timeout=WAIT_S)
    ids = [str(one.id) for one in sent]
    text = letter_of(ids[0]).letter.reason[:12].upper()

    assert run(main, ["dead-letters", "requeue", "--reason", "no such reason"]).output == (
        "0 sent again\n"
    )
    assert json.loads(run(main, ["dead-letters", "list", "--since", "0s", "--json"]).output) == []
    chosen = ["--reason", text, "--since", "1h"]
    again = run(main, ["dead-letters", "requeue", *chosen])
    assert again.exit_code == 0, again.output
    told = [line.split()[0] for line in again.stdout.splitlines()]
    assert [one for one in told if one in ids] == ids
    assert again.stderr == f"{len(told)} sent again\n"
    replies = [JobResult(one, app=app).get(timeout=WAIT_S)["response"] for one in ids]
    assert all(f"number {n}" in reply for n, reply in enumerate(replies))
    assert run(main, ["dead-letters", "requeue", "--all"]).output == "0 sent again\n"


def test_one_that_is_refused_keeps_its_letter(dead_job: str) -> None:
    """It is told why, and the command ends with 1."""
    # Other tests' letters would be sent again too, and take what the next test has scripted.
    _drop_all_but(dead_job)
    args = ("energy", letter_of(dead_job).session_id, "somebody's own")
    assert chat_task.apply_async(args, task_id=f"{dead_job}~r1").get(timeout=WAIT_S)["response"]
    ended = CliRunner().invoke(main, ["dead-letters", "requeue", "--all"])
    assert ended.exit_code == 1
    assert f"{dead_job} is not sent again: " in ended.stderr
    assert letter_of(dead_job).job is not None
    drop(dead_job)


def test_the_audit_has_who_sent_a_dead_letter_again_or_dropped_it(dead_job: str) -> None:
    """With the new id; a letter that nobody has leaves no record."""
    new_id = requeue(app, dead_job)
    JobResult(new_id, app=app).get(timeout=WAIT_S)
    with pytest.raises(InvalidJob):
        drop(dead_job)
    memory = get_redis_memory()
    records = audit.records(memory.connection, memory.keyspace)
    found = [(one.deed, one.outcome) for one in records if one.job_id == dead_job]
    assert found == [("requeue", f"requeued as {new_id}")]
