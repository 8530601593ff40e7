"""Flower as `celery -A worker flower` starts it, and the file that health checks look at."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from celery import Celery

from sandbox.errors import ServerDied
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import app, chat_task
from tasks.beat.schedule import STATS_TASK, SWEEP_TASK
from tests.support.machine import scaled
from tests.support.results import fetch
from tests.support.waiting import wait_until
from worker.flower import confine

WAIT_S = scaled(30)
USER, PASSWORD = "operator", "canary-password-4711"
CREDENTIALS = f"{USER}:{PASSWORD}"
CANARY = "canary-zebra-98217"
ENDED = "SUCCESS"

# As in docs/operations.md and docker-compose.yml.
HEALTHY = '[ -n "$(find {} -mmin -0.5)" ]'


@pytest.fixture(scope="module", autouse=True)
def flower_url(stack: GriotStack) -> str:
    """The address of a Flower that asks for a password, beside a worker."""
    stack.worker()
    _, url = stack.flower(FLOWER_BASIC_AUTH=CREDENTIALS)
    return url


@pytest.fixture(scope="module")
def flower(flower_url: str) -> Iterator[httpx.Client]:
    """A client of Flower's API that knows the password."""
    with httpx.Client(base_url=flower_url, auth=(USER, PASSWORD), timeout=scaled(20)) as client:
        wait_until(lambda: client.get("/api/workers").json(), timeout_s=WAIT_S, what="a worker")
        yield client


@pytest.fixture(scope="module")
def sent(flower: httpx.Client, valkey: ValkeyServer) -> dict[str, str]:
    """The session of each job, by its id: one sent with `delay`, one by a foreign service.

    Both messages hold the canary, and so do the stand-in's replies, which repeat them.
    """
    ours, theirs = f"session-{uuid.uuid4()}", f"session-{uuid.uuid4()}"
    job = chat_task.delay("energy", ours, f"What about {CANARY}?")
    assert CANARY in job.get(timeout=WAIT_S)["response"]
    foreign = Celery("foreign", broker=valkey.url(1), backend=valkey.url(2), set_as_current=False)
    kwargs = {"agent_id": "energy", "session_id": theirs, "message": f"And {CANARY}?"}
    raw = foreign.send_task("tasks.chat_task", kwargs=kwargs)
    assert CANARY in fetch(raw, WAIT_S)["response"]
    foreign.close()
    return {job.id: ours, raw.id: theirs}


@pytest.fixture
def tasks(flower: httpx.Client, sent: dict[str, str]) -> dict[str, dict[str, object]]:
    """What `/api/tasks` says, once it knows of the end of both jobs."""
    seen: dict[str, dict[str, object]] = {}

    def are_ended() -> bool:
        seen.update(flower.get("/api/tasks").json())
        return all(seen.get(job_id, {}).get("state") == ENDED for job_id in sent)

    wait_until(are_ended, timeout_s=WAIT_S, what="both jobs ended in /api/tasks")
    return seen


def test_flower_shows_whose_conversation_a_job_belongs_to(
    tasks: dict[str, dict[str, object]], sent: dict[str, str]
) -> None:
    """Agent and session are there, for jobs of ours and of services that import nothing."""
    for job_id, session_id in sent.items():
        assert tasks[job_id]["name"] == "tasks.chat_task"
        shown = str(tasks[job_id]["kwargs"])
        assert "'energy'" in shown
        assert session_id in shown


@pytest.mark.usefixtures("tasks")
def test_no_answer_of_flower_holds_a_word_of_the_conversation(
    flower: httpx.Client, sent: dict[str, str]
) -> None:
    """Neither the message nor the reply, in any answer that a reader can ask for."""
    paths = ["/", "/tasks", "/broker", "/metrics", "/api/tasks", "/api/workers?refresh=1"]
    for job_id in sent:
        paths += [f"/task/{job_id}", f"/api/task/info/{job_id}", f"/api/task/result/{job_id}"]
    answers = {path: flower.get(path) for path in paths}
    assert {path for path, answer in answers.items() if CANARY in answer.text} == set()
    answered = {path for path, answer in answers.items() if answer.status_code == 200}
    assert answered == {path for path in paths if "/result/" not in path}


def test_the_lengths_of_the_queues_are_answered(flower: httpx.Client) -> None:
    """Flower reads them from the broker itself: both queues that the worker consumes."""
    queues = flower.get("/api/queues/length").json()["active_queues"]
    assert {"chat", "celery"} <= {queue["name"] for queue in queues}


def test_the_queue_of_maintenance_is_named_though_nobody_consumes_it(flower: httpx.Client) -> None:
    """No maintenance worker runs here, which is when an operator looks for its queue."""
    assert "maintenance" in flower.get("/broker").text
    queues = flower.get("/api/queues/length").json()["active_queues"]
    assert "maintenance" in {queue["name"] for queue in queues}


@pytest.mark.usefixtures("tasks")
def test_the_list_of_tasks_has_agent_and_session_in_a_column(flower: httpx.Client) -> None:
    """A column of the page holds what the API tells of the arguments."""
    assert '<th data-column="kwargs">' in flower.get("/tasks").text


def test_sweeps_do_not_fill_the_list(flower: httpx.Client) -> None:
    """There are 17,280 of them a day; what maintenance does less often is there."""
    for name in (SWEEP_TASK, STATS_TASK):
        app.send_task(name, queue="celery")
    wait_until(
        lambda: STATS_TASK in _names_of_tasks(flower), timeout_s=WAIT_S, what="the statistics"
    )
    assert SWEEP_TASK not in _names_of_tasks(flower)


def _names_of_tasks(flower: httpx.Client) -> set[str]:
    return {one["name"] for one in flower.get("/api/tasks").json().values()}


@pytest.mark.usefixtures("tasks")
def test_long_runs_have_buckets_of_their_own(flower: httpx.Client) -> None:
    """The histogram tells a reply of half a minute from one of five."""
    text = flower.get("/metrics").text
    assert 'flower_task_runtime_seconds_bucket{le="30.0",task="tasks.chat_task"' in text
    assert 'le="300.0"' in text


@pytest.mark.parametrize("auth", [None, (USER, "wrong"), ("", "")])
@pytest.mark.parametrize("path", ["/", "/api/tasks", "/api/workers", "/api/queues/length"])
def test_nothing_is_shown_without_the_password(
    flower_url: str, path: str, auth: tuple[str, str] | None
) -> None:
    """Pages and API alike ask for it."""
    assert httpx.get(flower_url + path, auth=auth).status_code == 401


@pytest.mark.parametrize("path", ["/metrics", "/healthcheck"])
def test_metrics_and_health_are_open_and_tell_no_secret(flower_url: str, path: str) -> None:
    """Flower 2.2.0 asks no password for these two; docs/operations.md says not to publish them."""
    answer = httpx.get(flower_url + path)
    assert answer.status_code == 200
    assert CANARY not in answer.text
    assert "session-" not in answer.text


@pytest.mark.usefixtures("flower")
def test_flower_listens_on_this_machine_only(flower_url: str) -> None:
    """Nothing was said about an address, so nobody else can connect."""
    port = int(flower_url.rpartition(":")[2])
    heard = {conn.laddr.ip for conn in psutil.net_connections() if conn.laddr.port == port}
    assert heard == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [({}, "FLOWER_ADDRESS="), ({"FLOWER_BASIC_AUTH": ""}, "FLOWER_BASIC_AUTH: must be")],
)
def test_flower_that_others_can_reach_needs_a_password(
    stack: GriotStack, credentials: dict[str, str], reason: str
) -> None:
    """It does not start, and says in one line why."""
    with pytest.raises(ServerDied, match=f"status 78(?s:.*)griot: {reason}"):
        stack.flower(FLOWER_ADDRESS="0.0.0.0", **credentials)  # noqa: S104  # that is the point


@pytest.mark.parametrize(("is_confined", "held"), [(True, 1), (False, 0)])
def test_flower_puts_no_message_back_that_a_worker_holds(
    valkey: ValkeyServer, is_confined: bool, held: int
) -> None:
    """Whoever consumes from the broker restores what was held for too long; a watcher does not."""
    app = Celery("watcher", broker=valkey.url(5), set_as_current=False)
    if is_confined:
        confine(app)
    with app.connection() as connection:
        channel = connection.default_channel
        channel.client.delete("chat", "unacked", "unacked_index", "unacked_mutex")
        note = json.dumps([{"body": "", "properties": {}}, "", "chat"])
        channel.client.hset("unacked", "tag-1", note)
        channel.client.zadd("unacked_index", {"tag-1": 1})
        channel.qos.restore_visible(num=10, interval=1)
        assert channel.client.hlen("unacked") == held
        assert channel.client.llen("chat") == 1 - held
    app.close()


def test_the_file_of_the_health_check_is_touched_while_worker_and_beat_work(
    stack: GriotStack, logs: Path
) -> None:
    """Its age is their health: it is renewed, and no longer when they are gone."""
    files = {name: logs / f"{name}.alive" for name in ("looked-after", "beat")}
    worker = stack.worker(name="looked-after", WORKER_ALIVE_FILE=str(files["looked-after"]))
    beat = stack.beat(WORKER_ALIVE_FILE=str(files["beat"]))
    for file in files.values():
        wait_until(file.exists, timeout_s=WAIT_S, what=f"{file.name} is there")
        first = file.stat().st_mtime
        wait_until(
            lambda file=file, first=first: file.stat().st_mtime > first,
            timeout_s=WAIT_S,
            what=f"{file.name} is touched again",
        )
    assert is_healthy(files["beat"])
    worker.stop()
    beat.stop()
    os.utime(files["beat"], (0, time.time() - 31))
    assert not is_healthy(files["beat"])


def is_healthy(file: Path) -> bool:
    """What the health check says of a process."""
    return subprocess.run(("/bin/sh", "-c", HEALTHY.format(file)), check=False).returncode == 0


@pytest.mark.slow
def test_flower_ends_at_once_while_the_broker_is_away(stack: GriotStack, logs: Path) -> None:
    """Its threads ask for workers without end then, and keep no process that is to end."""
    with ValkeyServer() as broker:
        seen = len((logs / "flower.log").read_text())
        flower, _ = stack.flower(CELERY_BROKER_URL=broker.url(1))
        wait_until(
            lambda: "no worker has answered yet" in flower.log_text()[seen:],
            timeout_s=WAIT_S,
            what="its pool has connections, for it has asked for workers",
        )
        broker.kill()
        wait_until(
            lambda: flower.log_text()[seen:].count("Failed to capture events") >= 2,
            timeout_s=WAIT_S,
            what="Flower has noticed twice",
        )
        assert flower.stop(grace_s=scaled(5)) == 0, flower.log_tail()
