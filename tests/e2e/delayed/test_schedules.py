"""Schedules: each tick is sent once, missed ticks are said, and erasure removes them."""

import json
import os
import time
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner

from memory import audit, get_redis_memory
from memory.mailbox import due_list
from memory.mailbox import schedules as records
from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import InvalidJob, app, chat_task, schedules
from tasks.job.schedule import Schedule
from tasks.process.services import producer_services
from tasks.submit.erase import erase
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from tests.support.warm.python import run_python
from worker.cli import main

WAIT_S = scaled(20)


@pytest.fixture(scope="module", autouse=True)
def workers(stack: GriotStack) -> list[ServerProcess]:
    """Two, so that two send what is due."""
    return [stack.worker(), stack.worker(name="second")]


def put_back(schedule: Schedule, by_s: int) -> None:
    """Have a schedule begun, and looked at last, so long ago."""
    services = producer_services()
    keys = services.keyspace.session(schedule.agent_id, schedule.session_id)
    (kept,) = services.memory.run(records.every(keys))
    rhythm = schedule.rhythm.model_copy(update={"begun_s": schedule.rhythm.begun_s - by_s})
    old = schedule.model_copy(update={"after_s": schedule.after_s - by_s, "rhythm": rhythm})
    services.memory.run(records.change(keys, kept, old.pack()))
    services.memory.run(due_list.schedule(services.keyspace.schedules, keys.history, delay_ms=0))


def questions(session_id: str) -> list[str]:
    """What was asked, as the history has it."""
    history = get_redis_memory().get_conversation_history("energy", session_id)
    return [str(past["content"]) for past in history if past["role"] == "user"]


def test_of_missed_ticks_the_last_is_sent_once_and_the_others_are_said() -> None:
    """Though two workers look: here three ticks were due, for each of ten schedules."""
    run = uuid.uuid4()
    made = [
        schedules.create("energy", f"{run}-{number}", "What is new?", every_s=3600)
        for number in range(10)
    ]
    for one in made:
        put_back(one, 3 * 3600 + 60)
    wait_until(
        lambda: all(schedules.find(one.schedule_id).skipped == 2 for one in made),
        timeout_s=WAIT_S, what="all have sent",
    )  # fmt: skip
    wait_until(
        lambda: all(questions(one.session_id) for one in made),
        timeout_s=WAIT_S, what="all are answered",
    )  # fmt: skip
    assert [questions(one.session_id) for one in made] == [["What is new?"]] * 10
    found = schedules.find(made[0].schedule_id)
    assert found.last_s == made[0].rhythm.begun_s - 60
    assert "no worker" in found.why


def test_a_tick_that_is_refused_is_skipped_and_said(session_id: str) -> None:
    """With on_busy="reject" a message is not sent while the session is busy."""
    chat_task.delay("energy", session_id, "talk for ever", model="endless")
    made = schedules.create("energy", session_id, "Any news?", every_s=60, on_busy="reject")
    put_back(made, 90)
    wait_until(
        lambda: schedules.find(made.schedule_id).skipped == 1,
        timeout_s=WAIT_S,
        what="it is skipped",
    )
    assert "job" in schedules.find(made.schedule_id).why


def test_a_paused_schedule_sends_nothing_and_makes_up_for_nothing(session_id: str) -> None:
    """Ticks of the pause are not skipped ones."""
    made = schedules.create("energy", session_id, "hello", every_s=3600)
    schedules.pause(made.schedule_id)
    paused = schedules.find(made.schedule_id)
    put_back(paused, 7300)
    schedules.resume(made.schedule_id)
    resumed = schedules.find(made.schedule_id)
    assert (resumed.is_paused, resumed.skipped) == (False, 0)
    assert resumed.after_s == pytest.approx(time.time(), abs=scaled(20))
    schedules.delete(made.schedule_id)
    with pytest.raises(InvalidJob, match="no schedule"):
        schedules.pause(made.schedule_id)
    assert questions(session_id) == []


def test_a_session_takes_its_schedules_along(session_id: str) -> None:
    """Exported, erased and imported they go on; in another session under ids of their own."""
    made = schedules.create("energy", session_id, "What is new?", cron="0 9 * * 1-5")
    file = CliRunner().invoke(main, ["export", "session", "energy", session_id]).stdout_bytes
    erase(app, "energy", session_id)
    for place in ([], ["--session", f"{session_id}-2"]):
        brought = CliRunner().invoke(main, ["import", "-", *place], input=file)
        assert brought.exit_code == 0, brought.output
    assert schedules.find(made.schedule_id) == made
    (other,) = [one for one in schedules.every() if one.session_id == f"{session_id}-2"]
    assert other.schedule_id != made.schedule_id
    assert (other.message, other.rhythm) == (made.message, made.rhythm)
    again = CliRunner().invoke(main, ["import", "-"], input=file)
    assert "is not empty" in again.output


def test_what_is_no_schedule_is_not_imported(session_id: str) -> None:
    """Nothing of the file is written: it would stop the list of all schedules."""
    schedules.create("energy", session_id, "What is new?", every_s=3600)
    file = CliRunner().invoke(main, ["export", "session", "energy", session_id]).stdout
    wrong = file.replace('"every_s":3600', '"every_s":1').encode()
    brought = CliRunner().invoke(main, ["import", "-", "--session", "none-of-it"], input=wrong)
    assert "an interval has" in brought.output
    assert not [one for one in schedules.every() if one.session_id == "none-of-it"]


def test_each_act_is_in_the_audit(session_id: str) -> None:
    """Who, and which schedule; no word of it."""
    made = schedules.create("energy", session_id, "a secret", cron="0 9 * * *")
    schedules.pause(made.schedule_id)
    schedules.resume(made.schedule_id)
    schedules.delete(made.schedule_id)
    services = producer_services()
    found = [
        one
        for one in audit.records(services.memory, services.keyspace)
        if one.is_about(made.schedule_id)
    ]
    deeds = [f"{deed} schedule" for deed in ("delete", "resume", "pause", "create")]
    assert [(one.deed, one.outcome) for one in found] == [(deed, "done") for deed in deeds]
    assert all(one.is_about(session_id) for one in found)


@pytest.mark.parametrize(
    "wrong", [{"cron": "61 * * * *"}, {"cron": "0 9 * * *", "zone": "No/Where"}]
)
def test_what_is_no_rhythm_is_refused_before_anything_is_asked(wrong: dict[str, str]) -> None:
    """Redis may be away: the mistake is the caller's, and is said at once."""
    code = (
        "import sys, json; from tasks import InvalidJob, schedules\n"
        "try: schedules.create('energy', 's', 'x', **json.loads(sys.argv[1]))\n"
        "except InvalidJob as error: print('refused:', error)"
    )
    away = {**os.environ, "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    said = json.dumps(wrong)
    ran = run_python("-c", code, said, env=away, cwd=Path.cwd(), timeout_s=scaled(60))
    assert ran.stdout.startswith("refused:"), ran.stderr[-500:]


def test_erasing_a_session_removes_its_schedules(session_id: str) -> None:
    """No word of them stays, and nothing is sent any more."""
    made = schedules.create("energy", session_id, "a secret", cron="0 9 * * *")
    erase(app, "energy", session_id)
    with pytest.raises(InvalidJob, match="no schedule"):
        schedules.find(made.schedule_id)
    keys = producer_services().keyspace.session("energy", session_id)
    assert producer_services().memory.run(records.count(keys)) == 0


def test_the_command_makes_lists_shows_and_removes(session_id: str) -> None:
    """As `griot schedules --help` says; what is wrong is said."""
    run = CliRunner().invoke
    asked = ["schedules", "create", "energy", session_id, "Good morning"]
    made = run(main, [*asked, "--cron", "0 9 * * 1-5", "--zone", "Africa/Dakar"])
    assert made.exit_code == 0, made.output
    schedule_id, *times = made.output.splitlines()
    assert len(times) == 3
    assert all("09:00:00" in one for one in times)
    listed = json.loads(run(main, ["schedules", "list", "--json"]).output)
    (mine,) = [one for one in listed if one["schedule_id"] == schedule_id]
    assert (mine["when"], mine["state"]) == ("0 9 * * 1-5 Africa/Dakar", "active")
    assert run(main, ["schedules", "pause", schedule_id]).exit_code == 0
    assert len(run(main, ["schedules", "next", schedule_id, "-n", "7"]).output.splitlines()) == 7
    assert run(main, ["schedules", "delete", schedule_id]).exit_code == 0
    assert schedule_id not in run(main, ["schedules", "list"]).output
