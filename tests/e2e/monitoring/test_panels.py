"""Every panel of the dashboard shows something: a real Prometheus over a run of real processes."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import httpx
import pytest

from deploy.monitoring.dashboard import dashboard
from deploy.monitoring.rows import ROWS
from sandbox.ports import free_port
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import JobFailed, chat_task
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.metrics.prometheus import Prometheus, needs_prometheus, prometheus
from tests.support.source_tree import ROOT
from tests.support.waiting import wait_until
from tests.support.webhooks.receiver import SECRET, receiver

pytestmark = [pytest.mark.slow, needs_prometheus, pytest.mark.timeout(300)]

WAIT_S = scaled(30)
CANARY = "xylophone"
PROFILES = """
[agents.energy]
slo = {{queue_wait_s = 60.0, first_token_s = 60.0}}
[agents.tooled]
tools = ["tests.support.tool_functions.capacity_of"]
[agents.hooked]
webhook = "{url}"
[agents.rare.quota]
jobs_per_minute = 1
"""


@pytest.fixture(scope="module")
def watcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It is there before the processes are."""
    with prometheus(tmp_path_factory.mktemp("prometheus")) as found:
        yield found


@pytest.fixture(scope="module")
def griot_settings(
    watcher: Prometheus, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    """Metrics on, and what the traffic below needs."""
    with receiver() as hooks:
        profiles = tmp_path_factory.mktemp("profiles") / "profiles.toml"
        profiles.write_text(PROFILES.format(url=hooks.url), "utf-8")
        yield {
            **FAST,
            "METRICS_PORT": str(free_port()),
            "METRICS_TARGETS": str(watcher.targets),
            "MEMORY_STATS_EVERY": "1",
            "CHAT_MAX_ATTEMPTS": "2",
            "OLLAMA_NUM_PARALLEL": "2",
            "AGENT_PROFILES": str(profiles),
            "WEBHOOK_HOSTS": f"http://127.0.0.1:{hooks.port}",
            "WEBHOOK_NETWORKS": "127.0.0.0/8",
            "WEBHOOK_SECRETS": SECRET,
            "PYTHONPATH": str(ROOT),
        }


@dataclass(frozen=True, slots=True)
class Traffic:
    """What users send, through both doors."""

    gateway: httpx.Client

    def send(self) -> None:
        """An answer, a second one with little history, a tool, a webhook, a failure, a refusal."""
        session = f"s-{uuid.uuid4()}"
        jobs = [
            chat_task.delay("energy", session, f"Hello, {CANARY}"),
            chat_task.delay("energy", session, "And now?", max_history=0),
            chat_task.delay("tooled", session, "Ghana", model="tools"),
        ]
        lost = chat_task.delay("energy", f"s-{uuid.uuid4()}", "Hello", model="cut")
        # The gateway has the profiles' webhook and quota, this process has not.
        for agent in ("hooked", "rare", "rare"):
            body = {"model": agent, "messages": [{"role": "user", "content": CANARY}]}
            self.gateway.post("/v1/chat/completions", json=body)
        for job in jobs:
            job.get(timeout=WAIT_S)
        with pytest.raises(JobFailed):
            lost.get(timeout=WAIT_S)


@pytest.fixture(scope="module")
def traffic(stack: GriotStack, valkey: ValkeyServer) -> Iterator[Traffic]:
    """One of each process, on a Redis with a limit."""
    valkey.command("CONFIG", "SET", "maxmemory", "200mb")
    stack.worker()
    stack.maintenance()
    stack.beat()
    _, url = stack.gateway()
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
        yield Traffic(http)


def filled_in(expression: str) -> str:
    """As Grafana sends it, with all agents chosen."""
    return expression.replace("$__rate_interval", "1m").replace("$agent", ".*")


def test_every_panel_shows_something(watcher: Prometheus, traffic: Traffic) -> None:
    """Each query of each panel has a number, and so has the mark of a start."""
    asked = [one for row in ROWS for panel in row.panels for one in panel.queries]
    [mark] = dashboard()["annotations"]["list"]  # type: ignore[index]
    empty = {filled_in(one.expression) for one in asked} | {filled_in(mark["expr"])}

    def all_shown() -> bool:
        traffic.send()
        empty.difference_update([one for one in empty if watcher.values(one)])
        return not empty

    try:
        wait_until(all_shown, timeout_s=30, what="every panel shows something")
    except AssertionError:
        assert empty == set()


def test_prometheus_finds_each_process(watcher: Prometheus, traffic: Traffic) -> None:
    """By the files that they write, with what they are."""
    roles = {"worker", "maintenance", "beat", "gateway"}
    wait_until(lambda: watcher.roles() == roles, what="Prometheus has metrics of each process")


def test_no_label_holds_a_text_or_a_session(watcher: Prometheus, traffic: Traffic) -> None:
    """Of all that Prometheus has kept."""
    traffic.send()
    names = watcher.http.get("/api/v1/labels").json()["data"]
    for name in names:
        values = watcher.http.get(f"/api/v1/label/{name}/values").json()["data"]
        assert not [value for value in values if CANARY in value or value.startswith("s-")]
