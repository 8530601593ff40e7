"""Metrics of real processes: each moves when what it counts happens, and each process has its own.

tests/unit/structure/test_metrics_document.py holds that every metric is named in a test.
"""

from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from memory import Mailbox
from memory.records.stats import record_stats
from sandbox.ollama import OllamaStandIn
from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import JobFailed, chat_task
from tasks.process.services import producer_services
from tests.support.machine import scaled
from tests.support.metrics import shown
from tests.support.waiting import wait_until

WAIT_S = scaled(30)
ROOT = Path(__file__).resolve().parents[3]
PROFILES = """
[agents.energy]
[agents.tooled]
model = "tools"
tools = ["tests.support.tool_functions.capacity_of"]
[agents.talker]
model = "endless"
[agents.scarce.quota]
jobs_per_minute = 1
"""
FILLER = "x" * 4000


@dataclass(frozen=True, slots=True)
class Setup:
    """A worker, a worker of maintenance, beat, and a gateway of two processes."""

    folder: Path
    gateway: str
    worker: ServerProcess

    def text(self, role: str) -> str:
        """What all processes of a role show, one after the other."""
        return "\n".join(shown.scraped(one) for one in shown.targets(self.folder)[role])

    def total(self, role: str, name: str, **labels: str) -> float:
        """The sum of a metric over the processes of a role."""
        places = shown.targets(self.folder)[role]
        return sum(shown.total(shown.scraped(one), name, **labels) for one in places)

    def moved(self, role: str, name: str, **labels: str) -> None:
        """Wait until a metric is more than nothing."""
        wait_until(lambda: self.total(role, name, **labels) > 0, what=f"{name} {labels}")

    def chat(self, agent: str = "energy", **more: object) -> httpx.Response:
        """A request to the gateway."""
        asked = {"model": agent, "messages": [{"role": "user", "content": "hello"}], **more}
        url = f"{self.gateway}/v1/chat/completions"
        return httpx.post(url, json=asked, trust_env=False, timeout=WAIT_S)


@pytest.fixture(scope="module")
def setup(stack: GriotStack, tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """All of them, started once."""
    folder = tmp_path_factory.mktemp("targets")
    profiles = folder / "profiles.toml"
    profiles.write_text(PROFILES)
    settings = {
        "METRICS_PORT": str(free_port()),
        "METRICS_TARGETS": str(folder),
        "AGENT_PROFILES": str(profiles),
        "OLLAMA_NUM_PARALLEL": "20",
        "PYTHONPATH": str(ROOT),
    }
    worker = stack.worker("-c", "20", **settings)
    stack.maintenance(**settings)
    stack.beat(**settings)
    _, url = stack.gateway(**settings, GATEWAY_PROCESSES="2")
    wait_until(
        lambda: len(shown.targets(folder).get("gateway", ())) == 2,
        timeout_s=30,  # they are two more processes, spawned, which import everything
        what="both have their ports",
    )
    return Setup(folder, url, worker)


@pytest.fixture(scope="module")
def answered(setup: Setup) -> Setup:
    """After a turn with a tool, one as people have it, and one whose reply comes bit by bit."""
    for agent, model in (("energy", "ok"), ("energy", "ok:5x40ms"), ("tooled", None)):
        chat_task.delay(agent, f"s-{agent}", "hello", model=model).get(timeout=WAIT_S)
    return setup


BY_THE_CLOCK = ("griot_sweep", "griot_wakeups", "griot_redis_round_trip", "process_")
MOST_OF_A_TURN = 16
"""What is counted of a plain turn; each costs about 0.4 µs, in all less than a hundredth of it."""


def counted(text: str) -> float:
    """How often anything was counted that does not run by the clock."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.endswith(("_count", "_total")) and not sample.name.startswith(BY_THE_CLOCK)
    )


def test_a_turn_counts_few_things(answered: Setup) -> None:
    """What a job costs besides: each new metric of a turn has to be worth it."""
    before, jobs = counted(answered.text("worker")), 10
    for number in range(jobs):
        chat_task.delay("energy", f"few-{number}", "hello", model="ok").get(timeout=WAIT_S)
    of_a_turn = (counted(answered.text("worker")) - before) / jobs
    assert 8 <= of_a_turn <= MOST_OF_A_TURN, of_a_turn


OF_A_TURN: list[tuple[str, dict[str, str]]] = [
    ("gen_ai_client_operation_duration_seconds", {"error_type": ""}),
    ("gen_ai_client_operation_time_to_first_chunk_seconds", {"gen_ai_request_model": "ok:latest"}),
    ("gen_ai_client_operation_time_per_output_chunk_seconds", {}),
    ("gen_ai_client_token_usage", {"gen_ai_token_type": "input"}),
    ("gen_ai_client_token_usage", {"gen_ai_token_type": "output"}),
    ("gen_ai_invoke_agent_duration_seconds", {"gen_ai_agent_name": "energy", "error_type": ""}),
    ("gen_ai_execute_tool_duration_seconds", {"gen_ai_tool_name": "capacity_of"}),
    ("griot_queue_wait_seconds", {"agent": "energy"}),
    ("griot_first_token_seconds", {"agent": "energy"}),
    ("griot_handover_seconds", {}),
    ("griot_attempts_total", {"agent": "tooled", "outcome": "answered"}),
    ("griot_slot_wait_seconds", {"model": "ok:latest"}),
    ("griot_server_choices_total", {"model": "ok:latest"}),
    ("griot_relay_lag_seconds", {}),
    ("griot_sweeps_total", {}),
    ("griot_loop_lateness_seconds", {"stat": "max"}),
    ("griot_loop_lateness_seconds", {"stat": "p99"}),
    ("griot_concurrency", {}),
    ("griot_redis_round_trip_seconds", {}),
    ("process_resident_memory_bytes", {}),
    ("process_cpu_seconds_total", {}),
    ("process_open_fds", {}),
    ("process_start_time_seconds", {}),
    ("process_virtual_memory_bytes", {}),
    ("process_max_fds", {}),
]


@pytest.mark.parametrize(("name", "labels"), OF_A_TURN)
def test_a_turn_moves_what_a_worker_measures(
    answered: Setup, name: str, labels: dict[str, str]
) -> None:
    """One with a tool, one as people have it, and one whose reply comes bit by bit."""
    answered.moved("worker", name, **labels)


def test_a_failure_is_a_retry_and_at_last_a_dead_letter(setup: Setup) -> None:
    """With the classes of the errors."""
    for model in ("cut:3x1ms", "missing"):
        with pytest.raises(JobFailed):
            chat_task.delay("energy", f"s-{model}", "hello", model=model).get(timeout=WAIT_S)
    setup.moved("worker", "griot_retries_total")
    setup.moved("worker", "griot_dead_letters_made_total", reason="ModelNotFoundError")
    setup.moved("maintenance", "griot_dead_letters")


def test_a_lost_wake_up_is_counted_by_whoever_finds_it(setup: Setup) -> None:
    """Nobody has published one for this job. Each worker looks for such jobs, whatever its queues
    are: so a test that starts one more ends it."""
    services = producer_services()
    mailbox = Mailbox.of(services.keyspace, "energy", "lost")
    services.memory.run_all(*mailbox.enqueue("lost-job", b"{}", cap=9, grace_ms=0))

    def found(name: str, **labels: str) -> float:
        return sum(setup.total(role, name, **labels) for role in ("worker", "maintenance"))

    wait_until(lambda: found("griot_wakeups_lost_total"), what="griot_wakeups_lost_total")
    assert found("griot_sweep_mended_total", what="wake") > 0


def test_history_that_is_left_out_is_counted(setup: Setup) -> None:
    """By the agent."""
    for number in range(8):
        sent = chat_task.delay("energy", "long", f"{number} {FILLER}", model="window")
        sent.get(timeout=WAIT_S)
    setup.moved("worker", "griot_context_messages_left_out_total", agent="energy")


def test_what_runs_is_shown_while_it_runs(setup: Setup, ollama: OllamaStandIn) -> None:
    """By the worker itself, and by maintenance from Redis."""
    sent = chat_task.delay("energy", "running", "hello", model="endless")
    try:
        setup.moved("worker", "griot_turns_running")
        setup.moved("maintenance", "griot_pending_jobs", agent="energy")
        setup.moved("maintenance", "griot_pending_oldest_seconds", agent="energy")
        setup.moved("maintenance", "griot_slots_taken", model="endless:latest")
        setup.moved("maintenance", "griot_workers")
        setup.moved("maintenance", "griot_running_turns")
    finally:
        chat_task.cancel(sent.id)
    server = ollama.url.removeprefix("http://")
    assert setup.total("maintenance", "griot_slots_limit", server=server) >= 20
    assert setup.total("maintenance", "griot_redis_up") == 1
    assert setup.total("maintenance", "griot_redis_memory_bytes") > 0


def test_a_snapshot_is_shown_with_its_age(answered: Setup) -> None:
    """As maintenance takes them now and then."""
    services = producer_services()
    record_stats(services.memory, services.keyspace, keep=10)
    answered.moved("maintenance", "griot_sessions")
    answered.moved("maintenance", "griot_snapshot_age_seconds")


def test_requests_are_counted_by_route_and_status(setup: Setup) -> None:
    """Whichever process of the gateway answers; unknown paths have one series."""
    well = {"route": "/v1/chat/completions", "status": "200"}
    unknown = {"route": "unknown path", "status": "404"}
    before = [setup.total("gateway", "griot_http_requests_total", **one) for one in (well, unknown)]
    assert setup.chat().status_code == 200
    for number in range(3):
        httpx.get(f"{setup.gateway}/nothing/{number}", trust_env=False)
    after = [setup.total("gateway", "griot_http_requests_total", **one) for one in (well, unknown)]
    assert [more - less for more, less in zip(after, before, strict=True)] == [1, 3]
    assert setup.total("gateway", "griot_http_request_duration_seconds", route=well["route"]) >= 1


def test_a_quota_that_refuses_is_counted(setup: Setup) -> None:
    """Where it refuses: in the process that sends."""
    assert [setup.chat("scarce").status_code for _ in range(2)] == [200, 429]
    setup.moved("gateway", "griot_quota_refusals_total", quota="jobs_per_minute")


def test_a_stream_is_counted_while_it_is_open(setup: Setup) -> None:
    """And its follower."""
    message = [{"role": "user", "content": "hello"}]
    asked = {"model": "talker", "messages": message, "stream": True}
    with httpx.stream(
        "POST", f"{setup.gateway}/v1/chat/completions", json=asked, trust_env=False, timeout=WAIT_S
    ) as answer:
        assert answer.status_code == 200
        setup.moved("gateway", "griot_http_streams_open")
        setup.moved("gateway", "griot_followers")
    wait_until(lambda: setup.total("gateway", "griot_http_streams_open") == 0, what="it is closed")


def test_each_process_has_a_port_and_a_file_of_its_own(setup: Setup) -> None:
    """From METRICS_PORT on; beat, too."""
    found = shown.targets(setup.folder)
    assert {role: len(places) for role, places in found.items()} == {
        "worker": 1,
        "maintenance": 1,
        "beat": 1,
        "gateway": 2,
    }
    assert len({place for places in found.values() for place in places}) == 5
    assert shown.total(setup.text("beat"), "process_open_fds") > 0


def test_the_file_of_a_killed_process_goes_with_the_next_start(
    setup: Setup, stack: GriotStack
) -> None:
    """Prometheus would ask its port for ever."""
    settings = {"METRICS_PORT": str(free_port()), "METRICS_TARGETS": str(setup.folder / "own")}
    first = stack.worker("-Q", "idle", name="first", **settings)
    (left,) = (setup.folder / "own").glob("*.json")
    first.kill()
    with stack.worker("-Q", "idle", name="second", **settings):
        (now,) = (setup.folder / "own").glob("*.json")
    assert now != left


def test_each_process_of_a_pool_shows_its_own_turns(setup: Setup, stack: GriotStack) -> None:
    """Their main process runs none."""
    folder = setup.folder / "pool"
    settings = {"METRICS_PORT": str(free_port()), "METRICS_TARGETS": str(folder)}
    with stack.worker("-Q", "idle", "-P", "processes", "-c", "2", name="pool", **settings):
        wait_until(lambda: len(shown.targets(folder).get("worker", ())) == 3, what="all have ports")
        places = shown.targets(folder)["worker"]
        turns = sorted(shown.total(shown.scraped(one), "griot_concurrency") for one in places)
    assert turns == [0, 1, 1]
