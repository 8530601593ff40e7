"""`griot check` names what stands open outside Redis, and nothing that does not."""

from dataclasses import replace

import pytest

from llm import LLMSettings
from tasks.process.configuration import Settings, load_settings
from webhooks.settings import WebhookSettings
from worker.checks.findings import Finding, Level
from worker.checks.open_doors import check_open_doors

HOOK_SECRET = "whsec_" + "QUFB" * 8
SECRET = "operator:geheim-0815"  # noqa: S105  # of this test


@pytest.fixture(autouse=True)
def neutral(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names no door."""
    for name in ("ADDRESS", "BASIC_AUTH", "AUTH", "UNIX_SOCKET"):
        monkeypatch.delenv(f"FLOWER_{name}", raising=False)


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
