"""Two deployments on one Redis, with the same db numbers: only REDIS_KEY_PREFIX differs."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from celery import Celery

from sandbox.ollama import OllamaStandIn
from sandbox.resp import RespConnection
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.results import fetch
from tests.support.servers.redis_users import users_of_tests
from tests.support.waiting import wait_until
from tests.support.warm.python import run_python, warm

OTHER = "staging"
JOBS, SESSIONS = 3, 4
pytestmark = pytest.mark.skipif(
    users_of_tests() is not None, reason="the users of a run have one prefix"
)
SHARED = "_kombu.binding_deadlines"
"""Kombu 5.7.0 keeps there until when reply exchanges live; each has its own name in it."""

CLIENT = """
import json, sys
from tasks import app, chat_task
queue, jobs, sessions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
options = {"queue": queue} if queue else {}
sent = [
    chat_task.apply_async(("energy", f"s{s}", f"no. {n}"), {"model": "delay:30ms"}, **options)
    for n in range(jobs) for s in range(sessions)
]
print(json.dumps({
    "replies": [job.get(timeout=60)["response"] for job in sent],
    "states": sorted({job.state for job in sent}),
    "queues": sorted(
        queue["name"] for queues in (app.control.inspect(timeout=2).active_queues() or {}).values()
        for queue in queues
    ),
}))
"""


class Pair:
    """A stack with the default prefix and one with another."""

    def __init__(self, directory: Path, server: ValkeyServer, ollama: OllamaStandIn) -> None:
        self.server = server
        self.stacks = []
        for name, settings in (("ours", {}), ("theirs", {"REDIS_KEY_PREFIX": OTHER})):
            (directory / name).mkdir()
            self.stacks.append(
                GriotStack(
                    directory / name,
                    redis_url=server.url(),
                    ollama_url=ollama.url,
                    settings=FAST | settings,
                    starter=warm,
                )
            )

    def names(self, db: int) -> set[str]:
        """The keys of a db."""
        return self.ask(db, "KEYS", "*")

    def ask(self, db: int, *command: str) -> set[str]:
        """The members of a list that Redis answers with."""
        with RespConnection(self.server.port) as connection:
            connection.command("SELECT", db)
            found = connection.command(*command)
        assert isinstance(found, list)
        return {one.decode() if isinstance(one, bytes) else str(one) for one in found}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both with all their processes."""
    directory = tmp_path_factory.mktemp("pair")
    with ValkeyServer() as server, OllamaStandIn() as ollama:
        made = Pair(directory, server, ollama)
        try:
            with ThreadPoolExecutor(8) as pool:
                started = [
                    pool.submit(start)
                    for stack in made.stacks
                    for start in (stack.worker, stack.maintenance, stack.beat)
                ]
            for one in started:
                one.result()
            yield made
        finally:
            for stack in made.stacks:
                stack.stop(grace_s=0)


def talk(stack: GriotStack, queue: str = "", sessions: int = SESSIONS) -> dict[str, list[str]]:
    """Send jobs with the settings of a stack, from a process of its own."""
    done = run_python(
        "-c",
        CLIENT,
        queue,
        str(JOBS),
        str(sessions),
        env=stack.env,
        cwd=stack.directory,
        timeout_s=scaled(90),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def answers(pair: Pair) -> list[dict[str, list[str]]]:
    """What the clients of both were told, who have talked at once."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(talk, pair.stacks))


def test_every_job_of_both_is_answered(pair: Pair, answers: list[dict[str, list[str]]]) -> None:
    """By its own workers, and each deployment sees only its own processes."""
    ours, theirs = answers
    for found in (ours, theirs):
        assert found["states"] == ["SUCCESS"]
        assert len(found["replies"]) == JOBS * SESSIONS
    assert ours["queues"] == ["celery", "chat", "maintenance"]
    assert theirs["queues"] == [f"{OTHER}.celery", f"{OTHER}.chat", f"{OTHER}.maintenance"]
    for stack in pair.stacks:
        for process in (one for one in stack.processes if one.is_running):
            assert "another deployment" not in process.log_text(), process.log_tail()


@pytest.mark.usefixtures("answers")
def test_they_share_no_key(pair: Pair) -> None:
    """Neither in the memory, nor in the broker, nor among the results."""
    memory, broker, results = (pair.names(db) for db in range(3))
    assert {name.partition(":")[0] for name in memory} == {"ecowas", OTHER}
    assert {name.partition("celery-task-meta-")[0] for name in results} == {"", f"{OTHER}."}
    tables = re.compile(r"_kombu\.binding(?:_permanent)?\.(?:reply\.)?")
    named = {name: tables.sub("", name) for name in broker - {SHARED}}
    # What another test of this module has sent into a queue of neither.
    named = {name: short for name, short in named.items() if short != "shared"}
    theirs = {name for name in named.values() if name.startswith(f"{OTHER}.")}
    assert {name.removeprefix(f"{OTHER}.") for name in theirs} == set(named.values()) - theirs
    for key in filter(tables.match, named):
        members = pair.ask(1, "SMEMBERS", key)
        assert {OTHER in member for member in members} == {named[key] in theirs}, key


def test_a_foreign_service_names_their_queue(pair: Pair) -> None:
    """With the prefix, as docs/operations.md says; its result has it, too."""
    foreign = Celery(
        "foreign", broker=pair.server.url(1), backend=pair.server.url(2), set_as_current=False
    )
    foreign.conf.result_backend_transport_options = {"global_keyprefix": f"{OTHER}."}
    kwargs = {"agent_id": "energy", "session_id": "foreign", "message": "hello"}
    raw = foreign.send_task("tasks.chat_task", kwargs=kwargs, queue=f"{OTHER}.celery")
    assert fetch(raw, 30)["response"]
    foreign.close()
    keys = pair.names(0)
    assert f"{OTHER}:history:energy:foreign" in keys
    assert "ecowas:history:energy:foreign" not in keys


def test_a_wake_up_in_a_queue_of_the_other_goes_home(pair: Pair) -> None:
    """It is no job of the worker that gets it, which neither runs nor fails it."""
    ours, theirs = pair.stacks
    worker = ours.worker("-Q", "shared", name="shared")
    found = talk(theirs, "shared", sessions=1)
    assert found["states"] == ["SUCCESS"]
    wait_until(
        lambda: f"REDIS_KEY_PREFIX={OTHER}) arrived on 'shared'" in worker.log_text(),
        what="the worker says whose it is",
    )
    assert "FAILURE" not in worker.log_text()
    worker.stop()
