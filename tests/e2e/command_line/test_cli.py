"""The commands against real servers and workers."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llm import LLMSettings
from memory import Command, get_redis_memory
from memory.records.stats import record_stats
from sandbox.ollama import OllamaStandIn
from sandbox.ports import free_port
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import EventType, JobErased, app, chat_task, follow_job
from tasks.process.configuration import load_settings
from tasks.process.services import producer_services
from tests.support.machine import scaled
from tests.support.warm.python import run_python
from worker.checks.deployment import check_broker, check_redis, check_results, check_workers
from worker.checks.findings import Level
from worker.checks.models import check_ollama
from worker.cli import main
from worker.cli.demo.command import why_busy
from worker.cli.servers import ollama_trouble

TIMEOUT_S = scaled(50)
SECRET = "geheim-0815"  # noqa: S105  # of a server of this test


@pytest.fixture(scope="module", autouse=True)
def workers(stack: GriotStack) -> None:
    """A worker and a maintenance worker, at the servers that this process knows."""
    stack.worker()
    stack.maintenance()


def griot(*arguments: str, said: str = "") -> Result:
    """A command in this process, in a pipe, with `said` on its standard input."""
    return CliRunner().invoke(main, arguments, input=said)


def process(
    stack: GriotStack, *arguments: str, said: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    """A command as a process, with settings of its own."""
    return run_python(
        "-m",
        "worker.cli",
        *arguments,
        env={**stack.env, **settings},
        cwd=stack.directory,
        timeout_s=TIMEOUT_S,
        said=said,
    )


def test_a_working_system_is_found_well(ollama: OllamaStandIn) -> None:
    """Every check is OK where servers and workers are as they should be."""
    settings = replace(load_settings(), llm=LLMSettings(base_url=ollama.url))
    findings = [
        *check_redis(producer_services().memory),
        check_broker(app),
        check_results(app),
        *check_ollama(settings),
        check_workers(app),
    ]
    assert [finding for finding in findings if finding.level is not Level.OK] == []


def test_a_model_that_is_missing_is_found(ollama: OllamaStandIn) -> None:
    """With the command that installs it."""
    llm = LLMSettings(base_url=ollama.url, model="llama9:1b")
    found, missing = check_ollama(replace(load_settings(), llm=llm))
    assert (found.level, missing.level) == (Level.OK, Level.FAIL)
    assert "ollama pull llama9:1b" in missing.advice


def test_the_demo_knows_when_it_must_make_replies_up(ollama: OllamaStandIn) -> None:
    """Where no Ollama answers, or the one that does lacks the model; it says which."""
    assert ollama_trouble(LLMSettings(base_url=ollama.url)) is None
    lacking = ollama_trouble(LLMSettings(base_url=ollama.url, model="llama9:1b"))
    assert lacking == f"the Ollama at {ollama.url} has no model llama9:1b"
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert ollama_trouble(LLMSettings(base_url=nowhere)) == f"no Ollama answers at {nowhere}"


def test_the_demo_leaves_a_broker_alone_that_is_at_work() -> None:
    """Workers that answer there would take its wake-ups, and it theirs."""
    assert why_busy() == "2 workers answer"


def test_check_says_what_is_wrong_and_what_to_do(stack: GriotStack) -> None:
    """Exit code 1; refused credentials and an absent Ollama are named, the password is not."""
    with ValkeyServer(password="another") as guarded:  # noqa: S106  # of a server of this test
        checked = process(
            stack,
            "check",
            "--json",
            REDIS_URL=f"redis://:{SECRET}@127.0.0.1:{guarded.port}/0",
            OLLAMA_BASE_URL=f"http://127.0.0.1:{free_port()}",
        )
    findings = json.loads(checked.stdout)
    failed = {finding["check"]: finding for finding in findings if finding["level"] == "fail"}
    assert checked.returncode == 1
    assert set(failed) == {"redis", "broker", "results", "ollama"}
    assert "REDIS_PASSWORD" in failed["redis"]["advice"]
    assert all(finding["advice"] for finding in failed.values())
    assert SECRET not in checked.stdout + checked.stderr


def test_a_piped_chat_answers_line_by_line() -> None:
    """Each line is a message of the same session; standard output has the replies alone."""
    talked = griot("chat", "energy", "piped", said="Hello\n\nAgain\n")
    assert talked.exit_code == 0, talked.output
    first, second = talked.stdout.splitlines()
    assert first.startswith("You said: “Hello”. This is our first turn.")
    assert second.startswith("You said: “Again”. I remember 1 earlier turn.")
    assert talked.stderr == ""


def test_a_failed_reply_is_told_and_the_rest_goes_on() -> None:
    """A model that is not there fails each message, in one line each, and the exit code is 1."""
    status = griot("status", "--json")
    assert status.exit_code == 0, status.output
    before = json.loads(status.stdout)["mailboxes"]["dead_letters"]
    talked = griot("chat", "energy", "failing", "--model", "missing", said="a\nb\n")
    assert (talked.exit_code, talked.stdout) == (1, "")
    assert talked.stderr.count("ollama pull missing") == 2
    after = json.loads(griot("status", "--json").stdout)["mailboxes"]["dead_letters"]
    assert after - before == 2


def test_sessions_and_stats_tell_what_is_there() -> None:
    """Tab-separated in a pipe; the same facts as JSON."""
    griot("chat", "agriculture", "listed", said="Hello\n")
    (session,) = json.loads(griot("sessions", "agriculture", "--json").stdout)
    assert (session["session_id"], session["messages"], session["pending"]) == ("listed", 2, 0)
    assert 0 < session["ttl_s"] <= 86_400
    lines = griot("sessions", "agriculture").stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["session", "listed"]
    numbers = json.loads(griot("stats", "--json").stdout)
    assert numbers["sessions"] >= 1
    assert numbers["used_memory_bytes"] > 0
    assert json.loads(griot("stats", "--history", "5", "--json").stdout) == []


def test_charts_are_drawn_of_snapshots() -> None:
    """Without any snapshot the command says who takes them."""
    none = griot("stats", "--plot")
    assert none.exit_code == 1
    assert "MEMORY_STATS_EVERY" in none.stderr
    with snapshots():
        drawn = griot("stats", "--plot")
    assert drawn.exit_code == 0, drawn.output
    assert "Memory of Redis, MiB" in drawn.stdout
    assert "\x1b" not in drawn.stdout


@contextmanager
def snapshots() -> Iterator[None]:
    """Two of them, for a while."""
    services = producer_services()
    for _ in range(2):
        record_stats(services.memory, services.keyspace, keep=10)
    yield
    services.memory.run(Command(int, ("UNLINK", services.keyspace.stats)))


@pytest.mark.slow
def test_a_picture_is_drawn_of_snapshots(tmp_path: Path) -> None:
    """In a file; a path that is not there is said in one line."""
    file = tmp_path / "day.png"
    with snapshots():
        drawn = griot("stats", "--plot", "--png", str(file))
        lost = griot("stats", "--png", str(tmp_path / "missing" / "day.png"))
    assert drawn.exit_code == 0, drawn.output
    assert file.read_bytes().startswith(b"\x89PNG")
    assert lost.exit_code == 1
    assert lost.stderr.startswith("griot: cannot write the picture ")
    assert len(lost.stderr.splitlines()) == 1


def test_status_tells_queues_and_workers() -> None:
    """Of each worker that answers, what it consumes; nothing waits."""
    status = json.loads(griot("status", "--json").stdout)
    assert {queue["queue"] for queue in status["queues"]} == {"chat", "celery", "maintenance"}
    consumed = [worker["queues"] for worker in status["workers"]]
    assert consumed == [["maintenance"], ["celery", "chat"]]
    assert status["mailboxes"]["pending_jobs"] == 0
    assert [server["url"] for server in status["servers"]] == ["http://localhost:11434"]
    assert "worker@" in griot("status").stdout


def test_status_does_not_need_a_connection_that_died_in_celerys_pool(valkey: ValkeyServer) -> None:
    """Servers and firewalls close what is idle."""
    with app.connection_or_acquire() as pooled:
        client = pooled.default_channel.client
        # It may be dead already: other tests stop the server.
        client.connection_pool.disconnect()
        valkey.command("CLIENT", "KILL", "ID", client.client_id())
    status = griot("status", "--json")
    assert status.exit_code == 0, repr(status.exception)
    assert [worker["running"] for worker in json.loads(status.stdout)["workers"]] == [0, 0]


def test_check_names_damaged_keys(valkey: ValkeyServer) -> None:
    """One that all share, and one of a session that is due; and says when all is well again."""
    keyspace = producer_services().keyspace
    job = chat_task.delay("energy", "damaged", "hello")
    job.get(timeout=TIMEOUT_S)
    broken = (keyspace.session("energy", "damaged").outbox, keyspace.queue_wait)
    for key in broken:
        valkey.command("DEL", key)
        valkey.command("LPUSH", key, "what is this")
    try:
        named = griot("check").output
        assert all(f"{key} is a list" in named for key in broken), named
    finally:
        valkey.command("DEL", *broken)
    assert "each holds what Griot writes" in griot("check").output


def test_erase_says_what_it_found(valkey: ValkeyServer) -> None:
    """A look first, then for good; the job's result goes too."""
    session_id = "to-be-erased"
    job = chat_task.delay("energy", session_id, "secret words")
    assert "secret words" in job.get(timeout=TIMEOUT_S)["response"]
    looked = json.loads(
        griot("erase", "session", "energy", session_id, "--dry-run", "--json").output
    )
    assert looked["sessions"][0]["kept"] | {"events": 0} == {
        "messages": 2,
        "summaries": 0,
        "letters": 0,
        "events": 0,
        "data": 0,
        "pending": 0,
        "ended": 1,
    }
    assert job.state == "SUCCESS"
    done = griot("erase", "session", "energy", session_id)
    assert done.exit_code == 0
    assert session_id in done.output
    app.backend._cache.clear()
    assert chat_task.AsyncResult(job.id).state == "FAILURE"
    with pytest.raises(JobErased):
        chat_task.AsyncResult(job.id).get(timeout=TIMEOUT_S)
    everything = griot("erase", "agent", "energy", "--json")
    assert everything.exit_code == 0
    assert json.loads(griot("erase", "agent", "energy", "--json").output)["sessions"] == []


def test_erase_user_leaves_shared_sessions_alone() -> None:
    """Unless it is told to take them: then they go as a whole."""
    for session_id, user in (("own", "ama"), ("shared", "ama"), ("shared", "kofi")):
        sent = chat_task.delay("water", session_id, "words", metadata={"user_id": user})
        sent.get(timeout=TIMEOUT_S)
    asked = ("erase", "user", "ama", "--json")
    own = json.loads(griot(*asked).output)
    assert [one["session_id"] for one in own["sessions"]] == ["own"]
    assert json.loads(griot(*asked, "--dry-run").output)["sessions"] == []
    memory = get_redis_memory()
    assert memory.get_conversation_history("water", "own") == []
    assert len(memory.get_conversation_history("water", "shared")) == 4
    shared = json.loads(griot(*asked, "--shared").output)
    assert [one["session_id"] for one in shared["sessions"]] == ["shared"]
    assert memory.get_conversation_history("water", "shared") == []
    assert json.loads(griot("erase", "user", "kofi", "--shared", "--json").output)["sessions"] == []


def test_a_message_to_a_busy_session_does_what_it_is_told_to() -> None:
    """By default it says how many are before it; `--on-busy` has the words of the chat task."""
    job = chat_task.delay("energy", "busy", "talk for ever", model="endless")
    assert any(event.type is EventType.TOKEN for event in follow_job(job.id))
    refused = griot("chat", "energy", "busy", "--on-busy", "reject", said="Hello\n")
    assert refused.exit_code == 1
    assert f"is busy; it answers job {job.id}" in refused.stderr
    talked = griot("chat", "energy", "busy", "--on-busy", "interrupt", said="Stop that\n")
    assert talked.exit_code == 0
    assert talked.stderr in ("", "(1 before this one)\n"), "the other may be over by then"
    assert "Stop that" in talked.stdout
    wrong = griot("chat", "energy", "busy", "--on-busy", "shout", said="Hello\n")
    assert wrong.exit_code == 2
    assert "replace_pending" in wrong.stderr


def test_chat_without_a_worker_says_so(stack: GriotStack) -> None:
    """Within seconds, with the way out; the message waits in its mailbox."""
    with ValkeyServer(password=SECRET) as alone:
        talked = process(stack, "chat", "energy", "s", said="Hello\n", REDIS_URL=alone.url())
        pending = alone.command("ZCARD", "ecowas:queue:{ecowas:history:energy:s}")
    assert (talked.returncode, talked.stdout) == (1, "")
    assert "no worker seems to be running" in talked.stderr
    assert "make up" in talked.stderr
    assert pending == 1


@pytest.mark.parametrize(("arguments", "tries"), [(("status",), 1), (("chat", "a", "b"), 3)])
def test_without_redis_a_command_fails_in_one_line(
    stack: GriotStack, arguments: tuple[str, ...], tries: int
) -> None:
    """Exit code 1, one line for each try on standard error, no traceback, no password."""
    url = f"redis://:{SECRET}@127.0.0.1:{free_port()}/0"
    ended = process(stack, *arguments, said="Hello\n", REDIS_URL=url)
    assert (ended.returncode, ended.stdout) == (1, "")
    lines = ended.stderr.splitlines()
    assert len(lines) == tries
    assert all(line.startswith("griot: ") for line in lines)
    assert SECRET not in ended.stderr
