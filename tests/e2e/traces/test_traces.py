"""A job's trace, taken from a collector, is whole: whatever becomes of the job, whoever dies."""

import json
import time
import uuid
from collections.abc import Callable
from functools import partial

import httpx
import pytest
from click.testing import CliRunner
from opentelemetry import trace

from llm import LLMService, LLMSettings
from sandbox.collector import Collector
from sandbox.ollama import OllamaStandIn
from sandbox.ports import free_port
from sandbox.stack import GriotStack
from tasks import EventType, chat_task, follow_job
from tasks.errors import JobFailed
from tasks.job.options import ChatOptions
from tasks.process.crash_points import CrashPoint
from tests.support.faults.rig import armed
from tests.support.machine import scaled
from tests.support.traces.spans import Got, assert_whole, named, spans, trace_of
from tests.support.waiting import wait_until
from tests.support.webhooks.receiver import Receiver
from worker.cli import main
from worker.traces.setup import FLUSH_S

WAIT_S = scaled(40)
AGENT = "energy"
CLIENTS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def session() -> str:
    """A session of the test's own."""
    return f"s-{uuid.uuid4()}"


def traced(collected: Collector, job_id: str, is_there: Callable[[list[Got]], object]) -> list[Got]:
    """The trace of a job, once that is there which is waited for."""
    wait_until(lambda: is_there(trace_of(collected, job_id)), timeout_s=WAIT_S, what="the trace")
    return trace_of(collected, job_id)


def attempts(found: list[Got], outcome: str = "") -> list[Got]:
    """The attempts of a trace, those that have come to this."""
    mine = named(found, "invoke_agent")
    return [one for one in mine if outcome in ("", one.attributes.get("griot.outcome"))]


def is_delivered(found: list[Got]) -> bool:
    """Whether an attempt has answered, and the result is delivered."""
    return bool(attempts(found, "answered") and named(found, "deliver result"))


@pytest.mark.usefixtures("shop")
def test_a_turn_with_a_tool_is_one_trace(collected: Collector, session: str) -> None:
    """From the sender to the delivered result, with what each model's call and tool has taken."""
    job = chat_task.delay("tooled", session, "How much can Accra do?")
    job.get(timeout=WAIT_S)
    found = traced(collected, job.id, is_delivered)
    assert_whole(found)
    by_id = {one.id: one.name for one in found}
    beside = ("queued", "load tools")
    assert [(by_id.get(one.parent), one.name) for one in found if one.name not in beside] == [
        (None, "send chat"),
        ("send chat", "invoke_agent tooled"),
        ("invoke_agent tooled", "acquire"),
        ("invoke_agent tooled", "prompt"),
        ("invoke_agent tooled", "chat tools"),
        ("invoke_agent tooled", "execute_tool capacity_of"),
        ("invoke_agent tooled", "prompt"),
        ("invoke_agent tooled", "chat tools"),
        ("invoke_agent tooled", "commit"),
        ("invoke_agent tooled", "deliver result"),
    ]
    (queued,) = named(found, "queued")
    assert by_id[queued.parent] == "send chat"
    assert {one.service for one in found} == {"shop", "griot-worker"}
    (attempt,) = attempts(found)
    assert attempt.attributes["gen_ai.agent.name"] == "tooled"
    assert attempt.attributes["griot.attempt"] == 1
    assert "gen_ai.conversation.id" not in attempt.attributes
    call = named(found, "chat")[-1]
    assert call.events == ("first token",)
    assert call.attributes["gen_ai.request.model"] == "tools"
    assert call.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert int(str(call.attributes["gen_ai.usage.output_tokens"])) > 0
    assert call.attributes["server.address"] == "127.0.0.1"


@pytest.mark.usefixtures("shop")
def test_a_retry_is_a_second_attempt_in_the_same_trace(
    stack: GriotStack, collected: Collector, session: str
) -> None:
    """Beside the first, with the error's class and not its words."""
    stack.worker("-Q", "twice", name="twice", CHAT_MAX_ATTEMPTS="2")
    job = chat_task.apply_async(
        (AGENT, session, "hello"), ChatOptions(model="error-line"), queue="twice"
    )
    with pytest.raises(JobFailed):
        job.get(timeout=WAIT_S)
    found = traced(collected, job.id, lambda found: attempts(found, "failed"))
    assert_whole(found)
    first, second = attempts(found)
    assert first.parent == second.parent
    assert [one.attributes["griot.outcome"] for one in (first, second)] == ["retried", "failed"]
    assert all(one.is_error for one in (first, second, *named(found, "chat")))
    assert {one.attributes["error.type"] for one in named(found, "chat")} == {"OllamaFailedError"}


@pytest.mark.usefixtures("shop")
def test_the_attempt_of_a_worker_that_dies_is_in_the_trace(
    stack: GriotStack, collected: Collector, session: str
) -> None:
    """Killed in mid-reply, it makes no span; the worker that takes over shows it as lost."""
    doomed = stack.worker("-Q", "doomed", name="doomed", **armed(CrashPoint.TOKEN, 20))
    options = ChatOptions(model="slow-tokens:40x10ms")
    job = chat_task.apply_async((AGENT, session, "hello"), options, queue="doomed")
    wait_until(lambda: not doomed.is_running, timeout_s=WAIT_S, what="the worker's death")
    stack.worker("-Q", "doomed", name="heir")
    assert job.get(timeout=WAIT_S)["attempt"] == 2
    found = traced(collected, job.id, is_delivered)
    assert_whole(found)
    lost, answered = attempts(found)
    assert [one.attributes["griot.outcome"] for one in (lost, answered)] == ["lost", "answered"]
    assert [one.attributes["griot.attempt"] for one in (lost, answered)] == [1, 2]
    assert lost.parent == answered.parent
    assert lost.is_error


@pytest.mark.usefixtures("shop")
def test_a_cancelled_turn_ends_its_spans(collected: Collector, session: str) -> None:
    """The attempt is cancelled, and so is the model's call; neither is an unknown end."""
    job = chat_task.delay(AGENT, session, "hello", model="endless")
    next(one for one in follow_job(job.id) if one.type is EventType.TOKEN)
    chat_task.cancel(job.id)
    found = traced(collected, job.id, lambda found: attempts(found, "cancelled"))
    assert_whole(found)
    (call,) = named(found, "chat")
    assert call.attributes["error.type"] == "cancelled"


@pytest.mark.usefixtures("shop")
def test_merged_jobs_lead_to_the_one_that_answers(collected: Collector, session: str) -> None:
    """Each keeps its own trace, which links to the attempt; and that links to each of theirs."""
    first = chat_task.delay(AGENT, session, "first", model="slow-tokens:30x20ms")
    next(one for one in follow_job(first.id) if one.type is EventType.STARTED)
    sent = [chat_task.delay(AGENT, session, f"m{at}", on_busy="merge") for at in range(3)]
    answering = sent[-1]
    answering.get(timeout=WAIT_S)
    found = traced(collected, answering.id, is_delivered)
    assert_whole(found)
    merged = [trace_of(collected, one.id) for one in sent[:-1]]
    (attempt,) = attempts(found)
    assert set(attempt.links) == {one[0].trace for one in merged}
    for spans_of_one in merged:
        assert_whole(spans_of_one)
        (end,) = named(spans_of_one, "merged")
        assert end.links == (attempt.trace,)
        assert end.attributes["griot.merged.into"] == answering.id


@pytest.mark.usefixtures("shop")
def test_a_fail_over_shows_both_servers(
    stack: GriotStack, ollama: OllamaStandIn, collected: Collector, session: str
) -> None:
    """A call of the server that is away, with its error, then one of the server that answers."""
    with OllamaStandIn() as busy:
        # It is asked first, for it has the model loaded.
        with LLMService(LLMSettings(base_url=busy.url)) as service:
            service.chat("load the model", model="native")
        urls = f"{busy.url},{ollama.url}"
        stack.worker("-Q", "fleet", name="fleet", OLLAMA_BASE_URLS=urls)
        busy.script("*", ["busy-503"] * 20)
        options = ChatOptions(model="native")
        job = chat_task.apply_async((AGENT, session, "hello"), options, queue="fleet")
        job.get(timeout=WAIT_S)
    found = traced(collected, job.id, is_delivered)
    assert_whole(found)
    failed, answered = named(found, "chat")
    assert (failed.is_error, answered.is_error) == (True, False)
    assert failed.attributes["error.type"] == "OllamaBusyError"
    assert failed.attributes["server.port"] != answered.attributes["server.port"]
    assert failed.parent == answered.parent


def test_a_request_is_the_root_and_a_webhook_the_end(
    stack: GriotStack, collected: Collector, hooks: Receiver
) -> None:
    """The client's own trace goes on through gateway and worker to the webhook's receiver; another
    request that follows the response links to it."""
    _, url = stack.gateway()
    body = {"model": AGENT, "input": "hello", "background": True}
    asked = {**body, "griot": {"webhook": hooks.url}}
    post = partial(httpx.post, f"{url}/v1/responses", timeout=WAIT_S)
    job_id = post(json=asked, headers={"traceparent": CLIENTS}).json()["id"]
    # Gateway and worker send their spans each in its own time.
    found = traced(
        collected, job_id, lambda found: named(found, "webhook") and named(found, "POST")
    )
    _, of_client, outer, _ = CLIENTS.split("-")
    assert_whole(found, outer=outer)
    assert {one.trace for one in found} == {of_client}
    by_id = {one.id: one.name for one in found}
    assert found[0].name == "POST /v1/responses"
    assert by_id[named(found, "send chat")[0].parent] == "POST /v1/responses"
    assert found[0].attributes["http.response.status_code"] == 200
    (webhook,) = named(found, "webhook")
    (delivery,) = hooks.about(job_id)
    assert delivery.headers["traceparent"] == f"00-{of_client}-{webhook.id}-01"
    with httpx.stream("GET", f"{url}/v1/responses/{job_id}?stream=true") as stream:
        stream.read()
    wait_until(
        lambda: any(of_client in one.links for one in spans(collected)),
        timeout_s=WAIT_S,
        what="a request that links to the trace",
    )


@pytest.mark.parametrize(
    "odd", ["x" * 4_000, "00-0-0-01", f"00-{'0' * 32}-{'1' * 16}-01", CLIENTS + "-more"]
)
def test_an_odd_place_in_a_trace_is_passed_over(
    collected: Collector, session: str, odd: str
) -> None:
    """In the headers of a raw job: it runs, in a trace of its own."""
    headers = {"traceparent": odd}
    kwargs = {"agent_id": AGENT, "session_id": session, "message": "hello"}
    job = chat_task.app.send_task("tasks.chat_task", kwargs=kwargs, headers=headers)
    found = traced(collected, job.id, lambda found: attempts(found, "answered"))
    assert_whole([one for one in found if one.name != "deliver result"])
    assert CLIENTS.split("-")[1] not in {one.trace for one in found}


def test_attempts_share_a_trace_that_nobody_has_begun(collected: Collector, session: str) -> None:
    """Where whoever sends makes no spans."""
    assert not trace.get_current_span().get_span_context().is_valid
    job = chat_task.delay(AGENT, session, "hello", model="instant")
    job.get(timeout=WAIT_S)
    found = traced(collected, job.id, is_delivered)
    assert_whole(found)
    assert [one.name for one in found if not one.parent] == [f"invoke_agent {AGENT}"]


def test_a_collector_that_is_away_holds_nothing_up(stack: GriotStack, session: str) -> None:
    """Neither a turn nor the end of the worker; its log says that spans are lost."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": nowhere, "OTEL_BSP_SCHEDULE_DELAY": "50"}
    worker = stack.worker("-Q", "nowhere", name="nowhere", **settings)
    options = ChatOptions(model="instant")
    for _ in range(5):
        job = chat_task.apply_async((AGENT, session, "hello"), options, queue="nowhere")
        job.get(timeout=WAIT_S)
    began_s = time.monotonic()
    worker.stop(scaled(30))
    assert worker.returncode == 0
    assert time.monotonic() - began_s < scaled(FLUSH_S + 6)
    assert "spans batch" in worker.log_text()


def test_the_log_names_the_trace(stack: GriotStack, session: str) -> None:
    """So that whoever reads a line finds the spans, and the other way round; as does the waterfall
    of the job, which needs no collector."""
    worker = stack.worker("-Q", "logged", name="logged", LOG_FORMAT="json", LOG_LEVEL="INFO")
    options = ChatOptions(model="error-line")
    job = chat_task.apply_async((AGENT, session, "hello"), options, queue="logged")
    wait_until(lambda: '"attempt": 1' in worker.log_text(), timeout_s=WAIT_S, what="a line")
    as_json = ["trace", job.id, "--json"]
    wait_until(
        lambda: json.loads(CliRunner().invoke(main, as_json).output)["trace"],
        timeout_s=WAIT_S, what="the event that names the trace",
    )  # fmt: skip
    chat_task.cancel(job.id)
    told = json.loads(CliRunner().invoke(main, as_json).output)
    lines = [json.loads(one) for one in worker.log_text().splitlines() if one.startswith("{")]
    assert told["trace"] in {one.get("trace") for one in lines if one.get("job") == job.id}
    shown = CliRunner().invoke(main, ["trace", job.id]).output
    assert "waits to be tried again" in shown
    assert f"Trace {told['trace']}" in shown


def test_an_unknown_job_has_no_times() -> None:
    """The command says so, and shows the id as one word."""
    ended = CliRunner().invoke(main, ["trace", "nobody\x1b[2J knows"])
    assert ended.exit_code == 1
    assert "nobody%1B%5B2J%20knows" in ended.output
