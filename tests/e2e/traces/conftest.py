"""A collector, a service that traces what it sends, a receiver of webhooks, and a worker."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sandbox.collector import Collector, collector
from sandbox.stack import GriotStack
from tasks.process.anew import read_settings_again
from tests.conftest import FAST
from tests.support.traces import spans
from tests.support.webhooks.receiver import SECRET, Receiver, receiver

ROOT = Path(__file__).resolve().parents[3]
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
PROFILES = """
[agents.tooled]
model = "tools"
tools = ["tests.support.tool_functions.capacity_of"]
"""


@pytest.fixture(scope="module")
def collected() -> Iterator[Collector]:
    """Takes the spans of all processes."""
    with collector() as found:
        yield found


@pytest.fixture(scope="module")
def hooks() -> Iterator[Receiver]:
    """A receiver of webhooks."""
    with receiver() as found:
        yield found


@pytest.fixture(scope="module")
def griot_settings(
    collected: Collector, hooks: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    """Short times, a collector, a receiver that is allowed; for all processes, and for this one."""
    profiles = tmp_path_factory.mktemp("traced") / "profiles.toml"
    profiles.write_text(PROFILES, "utf-8")
    own = {
        "WEBHOOK_HOSTS": f"http://127.0.0.1:{hooks.port}",
        "WEBHOOK_NETWORKS": "127.0.0.0/8",
        "WEBHOOK_SECRETS": SECRET,
        "AGENT_PROFILES": str(profiles),
    }
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collected.url, **SOON}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**own, "CHAT_ALLOWED_MODELS": "*"}.items():
            patch.setenv(name, value)
        read_settings_again()
        yield {**FAST, **own, **traced, "PYTHONPATH": str(ROOT)}
    read_settings_again()


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> None:
    """One worker for all tests of a module."""
    stack.worker()


@pytest.fixture
def shop(collected: Collector) -> Iterator[None]:
    """This process traces what it sends."""
    with spans.service(collected):
        yield
