"""`griot check` names what stands open outside Redis, and nothing that does not."""

import os
from dataclasses import replace

import pytest

from llm import LLMSettings
from memory import Keyspace
from memory.records import api_keys
from memory.records.api_keys import USUAL, ApiKey
from tasks.process.configuration import Settings, load_settings
from telemetry.settings import CONTENT
from tests.support.memory_fixtures import Backend, fake_backend
from webhooks.settings import WebhookSettings
from worker.checks.findings import Finding, Level
from worker.checks.open_doors import check_gateway, check_open_doors

__all__ = ["fake_backend"]

HOOK_SECRET = "whsec_" + "QUFB" * 8
SECRET = "operator:geheim-0815"  # noqa: S105  # of this test


@pytest.fixture(autouse=True)
def neutral(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names no door."""
    for name in ("ADDRESS", "BASIC_AUTH", "AUTH", "UNIX_SOCKET"):
        monkeypatch.delenv(f"FLOWER_{name}", raising=False)
    for name in [one for one in os.environ if one.startswith(("OTEL_", "METRICS_", "GATEWAY_"))]:
        monkeypatch.delenv(name)


def settings(**llm: object) -> Settings:
    """The settings of this process with model servers of the test's."""
    given = {"base_url": "http://127.0.0.1:11434", "model": "llama3.2", **llm}
    return replace(load_settings(), llm=LLMSettings.model_validate(given))


def warned(of: Settings) -> list[Finding]:
    """The doors that stand open."""
    return [one for one in check_open_doors(of) if one.level is not Level.OK]


def test_nothing_is_open_as_griot_comes() -> None:
    """One finding, and it is OK."""
    (found,) = check_open_doors(settings())
    assert (found.check, found.level, found.advice) == ("open doors", Level.OK, "")


@pytest.mark.parametrize(
    ("address", "login", "is_open"),
    [
        ("127.0.0.1", {}, False),
        ("localhost", {}, False),
        ("0.0.0.0", {}, True),  # noqa: S104  # of a setting, nobody listens
        ("", {}, True),
        ("10.0.0.1", {"FLOWER_BASIC_AUTH": ""}, True),
        ("10.0.0.1", {"FLOWER_BASIC_AUTH": SECRET}, False),
        ("10.0.0.1", {"FLOWER_AUTH": r".*@ecowas\.int"}, False),
        ("10.0.0.1", {"FLOWER_UNIX_SOCKET": "/run/flower.sock"}, False),
    ],
)
def test_a_flower_that_asks_nobody_is_named(
    monkeypatch: pytest.MonkeyPatch, address: str, login: dict[str, str], is_open: bool
) -> None:
    """Where others than this machine reach it; never with its password."""
    for name, value in {"FLOWER_ADDRESS": address, **login}.items():
        monkeypatch.setenv(name, value)
    found = warned(settings())
    assert ["Flower does not start" in one.advice for one in found] == [True] * is_open
    assert "geheim" not in repr(found)


@pytest.mark.parametrize(
    ("url", "is_open"),
    [
        ("http://localhost:11434", False),
        ("http://[::1]:11434", False),
        ("http://127.0.0.9:11434", False),
        ("http://ollama:11434", False),
        ("http://host.docker.internal:11434", False),
        ("https://models.example.org", False),
        ("http://models.example.org:11434", True),
        ("http://10.1.2.3:11434", True),
        ("http://[fd00::1]:11434", True),
    ],
)
def test_a_way_in_plain_text_to_another_machine_is_named(url: str, is_open: bool) -> None:
    """Once for all servers, as a warning."""
    found = warned(settings(base_urls=f"{url},{url}/two" if is_open else url))
    assert [one.level for one in found] == [Level.WARN] * is_open
    assert all(f"{url}, {url}/two" in one.found for one in found)


@pytest.mark.parametrize("switch", ["", "tests"])
def test_a_crash_point_is_named(monkeypatch: pytest.MonkeyPatch, switch: str) -> None:
    """Armed or not: it has no business in a deployment."""
    monkeypatch.setenv("GRIOT_CRASH_AT", "token:1")
    monkeypatch.setenv("GRIOT_CRASH_ARMED", switch)
    (found,) = warned(settings())
    assert "GRIOT_CRASH_AT" in found.found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ""),
        ({"hosts": "hooks.example.com", "secrets": HOOK_SECRET}, ""),
        ({"hosts": "http://127.0.0.1:9", "secrets": HOOK_SECRET, "networks": "127.0.0.1/32"}, ""),
        ({"hosts": "hooks.example.com"}, "without WEBHOOK_SECRETS"),
        ({"hosts": "a.example", "secrets": HOOK_SECRET, "networks": "10.0.0.0/8"}, "10.0.0.0/8"),
        ({"hosts": "http://a.example", "secrets": HOOK_SECRET}, "plain text: a.example"),
    ],
)
def test_what_is_open_for_webhooks_is_named(given: dict[str, str], expected: str) -> None:
    """No secret, a whole private network, no TLS; never with a secret."""
    of = replace(settings(), webhooks=WebhookSettings.model_validate(given))
    found = warned(of)
    assert [expected in one.found for one in found] == [True] * bool(expected)
    assert HOOK_SECRET not in repr((found, of))


@pytest.mark.parametrize(
    ("given", "is_open"),
    [
        ({"METRICS_PORT": "9100"}, False),
        ({"METRICS_HOST": "0.0.0.0"}, False),  # noqa: S104  # of a setting, nobody listens
        ({"METRICS_PORT": "9100", "METRICS_HOST": "0.0.0.0"}, True),  # noqa: S104  # the same
        ({"METRICS_PORT": "9100", "METRICS_HOST": "10.0.0.1"}, True),
        ({"METRICS_PORT": "9100", "METRICS_HOST": "localhost"}, False),
    ],
)
def test_metrics_that_others_reach_are_named(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], is_open: bool
) -> None:
    """They ask for no password."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert ["METRICS_HOST" in one.found for one in warned(settings())] == [True] * is_open


COLLECTOR = "OTEL_EXPORTER_OTLP_ENDPOINT"
FAR = "http://collector.example.org:4318"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, []),
        ({COLLECTOR: "http://127.0.0.1:4318"}, []),
        ({COLLECTOR: "http://collector:4318"}, []),
        ({COLLECTOR: "https://collector.example.org"}, []),
        ({COLLECTOR: FAR}, [FAR]),
        ({COLLECTOR: FAR, "OTEL_SDK_DISABLED": "true"}, []),
        ({CONTENT: "true"}, []),
        ({COLLECTOR: "http://127.0.0.1:4318", CONTENT: "true"}, ["hold what is said"]),
    ],
)
def test_spans_that_others_read_are_named(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: list[str]
) -> None:
    """In plain text over a network, or with what is said in them."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = [one.found for one in warned(settings())]
    assert len(found) == len(expected)
    assert all(part in one for part, one in zip(expected, found, strict=True))


def test_a_gateway_that_asks_for_no_key_is_named(
    monkeypatch: pytest.MonkeyPatch, fake_backend: Backend
) -> None:
    """On loopback it is open, and said to be; elsewhere it does not start; keys close it."""
    keyspace = Keyspace(fake_backend.prefix)
    connection = fake_backend.connection
    (found,) = check_gateway(connection, keyspace)
    assert "asks for no API key" in found.found
    assert "griot keys create" in found.advice
    with monkeypatch.context() as patch:
        patch.setenv("GATEWAY_HOST", "0.0.0.0")  # noqa: S104  # of a setting, nobody listens
        (found,) = check_gateway(connection, keyspace)
        assert "does not start" in found.found
    key, _ = ApiKey.new(name="a", owner="a", scopes=USUAL, agents=None)
    connection.run(api_keys.save(keyspace, key))
    (found,) = check_gateway(connection, keyspace)
    assert (found.found, found.advice) == ("asks for an API key", "")
