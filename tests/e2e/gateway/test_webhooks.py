"""Webhooks from end to end: each end of a job reaches its receiver, whoever ended it and whoever
dies on the way."""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence

import httpx
import openai
import pytest
from click.testing import CliRunner

from memory import get_redis_memory
from memory.records import api_keys
from memory.records.api_keys import USUAL, ApiKey, Scope
from memory.webhooks import queue
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import CancelOutcome, EventType, InvalidJob, app, chat_task, follow_job
from tasks.process.anew import read_settings_again
from tasks.process.crash_points import CrashPoint
from tasks.submit.erase import erase
from tests.conftest import FAST
from tests.support.faults.rig import armed
from tests.support.waiting import wait_until
from tests.support.webhooks.receiver import SECRET, Receiver, receiver
from worker.cli import main

AGENT, HOOKED = "energy", "hooked"


@pytest.fixture(scope="module")
def hooks() -> Iterator[Receiver]:
    """A receiver for all tests; each looks for its own jobs."""
    with receiver() as found:
        yield found


@pytest.fixture(scope="module")
def griot_settings(
    hooks: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    """Short times, a receiver that is allowed, and an agent with a webhook; for all processes, and
    for this one."""
    profiles = tmp_path_factory.mktemp("hooks") / "profiles.toml"
    profiles.write_text(f'[agents.{HOOKED}]\nwebhook = "{hooks.url}"\n', "utf-8")
    own = {
        "WEBHOOK_HOSTS": f"http://127.0.0.1:{hooks.port}",
        "WEBHOOK_NETWORKS": "127.0.0.0/8",
        "WEBHOOK_SECRETS": SECRET,
        "WEBHOOK_RETRY_BASE_SECONDS": "0.2",
        "WEBHOOK_RETRY_MAX_SECONDS": "0.5",
        "AGENT_PROFILES": str(profiles),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**own, "CHAT_ALLOWED_MODELS": "*"}.items():
            patch.setenv(name, value)
        read_settings_again()
        yield {**FAST, **own}
    read_settings_again()


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> ServerProcess:
    """One worker for all tests of this module."""
    return stack.worker()


@pytest.fixture
def session() -> str:
    """A session of the test's own."""
    return f"s-{uuid.uuid4()}"


def told(hooks: Receiver, job_id: str) -> list[str]:
    """The types of the events that came for a job; each was signed, and opens."""
    return [delivery.event().type for delivery in hooks.about(job_id)]


def wait_told(hooks: Receiver, job_id: str, *kinds: str) -> None:
    """Wait until a job's events have come, and see that they are these."""
    wait_until(lambda: hooks.about(job_id), timeout_s=20, what=f"the webhook of {job_id}")
    assert told(hooks, job_id) == [f"response.{kind}" for kind in kinds]


def key(hooks: Receiver, *more: Scope) -> str:
    """An API key with a webhook."""
    made, token = ApiKey.new(
        name="shop", owner="shop", scopes=[*USUAL, *more], agents=None, webhook=hooks.url
    )
    memory = get_redis_memory()
    memory.connection.run(api_keys.save(memory.keyspace, made))
    return token


def griot(*arguments: str) -> str:
    """What a command prints."""
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 0, ended.output
    return ended.output


def test_a_response_that_is_over_is_told_to_who_the_request_names(
    client: openai.OpenAI, hooks: Receiver
) -> None:
    """The event has OpenAI's form and no word of what was said; the response is there by then."""
    extra = {"griot": {"webhook": hooks.url}}
    sent = client.responses.create(
        model=AGENT, input="canary bird", background=True, extra_body=extra
    )
    wait_told(hooks, sent.id, "completed")
    assert client.responses.retrieve(sent.id).status == "completed"
    (delivery,) = hooks.about(sent.id)
    body = json.loads(delivery.body)
    assert sorted(body) == ["created_at", "data", "id", "object", "type"]
    assert (body["object"], body["id"]) == ("event", delivery.headers["webhook-id"])
    assert b"canary" not in delivery.body
    assert "s3cret" not in sent.to_json()


@pytest.mark.parametrize("given", ["https://elsewhere.example/", "http://127.0.0.1:1/", "ftp://x"])
def test_an_address_that_is_not_allowed_is_refused_before_anything_is_sent(
    http: httpx.Client, given: str
) -> None:
    """By the gateway and by `delay`."""
    body = {"model": AGENT, "input": "hello", "griot": {"webhook": given}}
    answer = http.post("/v1/responses", json=body)
    assert (answer.status_code, answer.json()["griot"]["accepted"]) == (400, "no")
    with pytest.raises(InvalidJob, match="webhook"):
        chat_task.delay(AGENT, "s", "hello", webhook=given)


def test_a_cut_off_and_a_failed_response_are_told(hooks: Receiver, session: str) -> None:
    """As incomplete, and as failed; a dead letter that is sent again is another response."""
    cut = chat_task.delay(AGENT, session, "hello", webhook=hooks.url, max_tokens=1)
    dead = chat_task.delay(AGENT, session, "hello", webhook=hooks.url, model="bad-400")
    wait_told(hooks, dead.id, "failed")
    wait_told(hooks, cut.id, "incomplete")
    (again,) = griot("dead-letters", "requeue", dead.id).split()[-1:]
    wait_told(hooks, again, "failed")


def test_jobs_that_are_cancelled_replaced_or_merged_are_told(hooks: Receiver, session: str) -> None:
    """Before they run and while they do; those that are merged end with the job that answers."""
    ids = [str(uuid.uuid4()) for _ in range(5)]
    given = {"webhook": hooks.url}
    chat_task.apply_async((AGENT, session, "go"), {**given, "model": "endless"}, ids[0])
    next(one for one in follow_job(ids[0]) if one.type is EventType.TOKEN)
    chat_task.apply_async((AGENT, session, "waits"), {**given}, ids[1])
    assert chat_task.cancel(ids[1]) is CancelOutcome.CANCELLED
    wait_told(hooks, ids[1], "cancelled")
    chat_task.apply_async((AGENT, session, "waits"), {**given}, ids[2])
    options = {**given, "on_busy": "replace_pending"}
    chat_task.apply_async((AGENT, session, "replaces"), options, ids[3])
    wait_told(hooks, ids[2], "cancelled")
    options = {**given, "on_busy": "merge"}
    chat_task.apply_async((AGENT, session, "merges"), options, ids[4])
    chat_task.cancel(ids[0])
    wait_told(hooks, ids[0], "cancelled")
    wait_told(hooks, ids[4], "completed")
    wait_told(hooks, ids[3], "completed")


def test_an_agent_s_profile_and_an_api_key_have_webhooks_of_their_own(
    gateway: str, hooks: Receiver, session: str
) -> None:
    """For each job that names no other."""
    wait_told(hooks, chat_task.delay(HOOKED, session, "hello").id, "completed")
    memory, token = get_redis_memory(), key(hooks)
    try:
        body = {"model": AGENT, "input": "hello"}
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.post(f"{gateway}/v1/responses", json=body, headers=headers, timeout=30)
        wait_told(hooks, answer.json()["id"], "completed")
    finally:
        for one in memory.connection.run(api_keys.every(memory.keyspace)):
            memory.connection.run(api_keys.revoke(memory.keyspace, one.key_id))
        memory.connection.run(api_keys.reopen(memory.keyspace))


@pytest.mark.parametrize("point", [CrashPoint.AFTER_COMMIT, CrashPoint.BEFORE_RESULT])
def test_a_worker_that_dies_between_commit_and_delivery_loses_no_webhook(
    stack: GriotStack, hooks: Receiver, session: str, point: CrashPoint
) -> None:
    """Another one finds the end in the outbox."""
    name = f"doomed-{point.value}"
    doomed = stack.worker("-Q", name, "-c", "1", name=name, **armed(point))
    sent = chat_task.apply_async((AGENT, session, "hello"), {"webhook": hooks.url}, queue=name)
    wait_until(lambda: not doomed.is_running, timeout_s=20, what="it has died")
    wait_until(lambda: hooks.about(sent.id), timeout_s=30, what="another one has delivered")
    assert set(told(hooks, sent.id)) == {"response.completed"}


def test_a_receiver_that_is_down_gets_its_events_when_it_is_up(
    hooks: Receiver, session: str
) -> None:
    """Each try has the same id."""
    hooks.status = 500
    try:
        sent = chat_task.delay(AGENT, session, "hello", webhook=hooks.url)
        wait_until(lambda: len(hooks.about(sent.id)) >= 2, timeout_s=20, what="two tries failed")
    finally:
        hooks.status = 204
    assert len({one.headers["webhook-id"] for one in hooks.about(sent.id)}) == 1
    wait_until(lambda: not pending(), timeout_s=20, what="all is delivered")


def pending() -> int:
    """How many webhooks are not delivered and not given up."""
    memory = get_redis_memory()
    found = memory.connection.run_each(queue.counts(memory.keyspace))
    return found[0] - found[1]


def letters() -> Sequence[Mapping[str, object]]:
    """The webhooks among the dead letters, as the command lists them."""
    found: list[dict[str, object]] = json.loads(
        griot("dead-letters", "list", "--kind", "webhook", "--json")
    )
    return found


def test_a_webhook_that_is_given_up_is_listed_sent_again_and_dropped(
    http: httpx.Client, hooks: Receiver, session: str
) -> None:
    """By the commands, and by the gateway's routes for operators."""
    hooks.status = 410
    try:
        sent = [chat_task.delay(AGENT, session, str(n), webhook=hooks.url).id for n in range(3)]
        wait_until(lambda: len(letters()) == 3, timeout_s=20, what="all are given up")
    finally:
        hooks.status = 204
    assert "s3cret" not in griot("dead-letters")
    by_job = {letter["job_id"]: letter["id"] for letter in letters()}
    listed = http.get("/v1/dead_letters").json()["data"]
    assert set(by_job.values()) <= {one["id"] for one in listed if one["kind"] == "webhook"}
    griot("dead-letters", "requeue", str(by_job[sent[0]]))
    again = http.post(f"/v1/dead_letters/{by_job[sent[1]]}/requeue")
    assert again.status_code == 200, again.text
    griot("dead-letters", "drop", str(by_job[sent[2]]))
    wait_until(lambda: len(hooks.about(sent[0])) == 2, timeout_s=20, what="it has come")
    wait_until(lambda: len(hooks.about(sent[1])) == 2, timeout_s=20, what="it has come")
    assert letters() == []
    assert len(told(hooks, sent[2])) == 1


def test_erasing_a_session_forgets_what_is_not_delivered(hooks: Receiver, session: str) -> None:
    """Of its jobs that run it is told that they failed."""
    hooks.status = 500
    done = chat_task.delay(AGENT, session, "hello", webhook=hooks.url)
    wait_until(lambda: hooks.about(done.id), timeout_s=20, what="a try has failed")
    running = chat_task.delay(AGENT, session, "go", webhook=hooks.url, model="endless")
    next(one for one in follow_job(running.id) if one.type is EventType.TOKEN)
    erase(app, AGENT, session)
    hooks.status = 204
    wait_told(hooks, running.id, "failed")
    memory = get_redis_memory()
    keys = memory.keyspace.session(AGENT, session)
    wait_until(
        lambda: memory.connection.run(queue.of_session(memory.keyspace, keys)) == [],
        what="nothing of the session is left",
    )
    assert set(told(hooks, done.id)) == {"response.completed"}


def test_no_log_has_a_secret_or_the_path_of_a_receiver(
    stack: GriotStack, valkey: ValkeyServer
) -> None:
    """Of all processes of this module."""
    assert valkey
    for process in stack.processes:
        assert "s3cret" not in process.log_text()
        assert SECRET not in process.log_text()
