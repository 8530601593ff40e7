"""What `griot check` says of addresses, without any server."""

from dataclasses import replace

import pytest
from pydantic import SecretStr

from memory import MemorySettings
from tasks.process.configuration import Settings, load_settings
from tasks.settings import QueueSettings
from worker.findings import Level
from worker.security_checks import way_findings, ways_to_servers

LONG = "0123456789abcdef"
FAR = f"redis://:{LONG}@far:6379/0"


def settings_of(url: str, **celery: str) -> Settings:
    """Settings with these addresses and the suite's other ones."""
    queue = QueueSettings(**{name: SecretStr(one) for name, one in celery.items()})
    return replace(load_settings(), memory=MemorySettings(url=SecretStr(url)), queue=queue)


def said(settings: Settings) -> list[tuple[str, Level, str]]:
    """What is found of the three addresses."""
    ways = ways_to_servers(settings)
    return [(one.check, one.level, one.found) for way in ways for one in way_findings(way)]


@pytest.mark.parametrize(
    "url",
    ["redis://localhost:1/0", "redis://127.0.0.9/0", "redis://[::1]/0", "redis://:x@localhost/0"],
)
def test_this_machine_needs_nothing(url: str) -> None:
    """Neither TLS nor a password."""
    assert {(level, found) for _, level, found in said(settings_of(url))} == {
        (Level.OK, "does not leave this machine")
    }


def test_a_socket_needs_nothing() -> None:
    """It has no host, and its rights are the file system's."""
    socket = "redis+socket:///run/redis.sock?virtual_host="
    found = said(
        settings_of("unix:///run/redis.sock", broker_url=f"{socket}1", result_backend=f"{socket}2")
    )
    assert [level for _, level, _ in found] == [Level.OK] * 3


def test_an_address_without_tls_is_told_of_each_server() -> None:
    """Broker and results have the memory's address where they have none."""
    found = said(settings_of(FAR))
    assert [(check, level) for check, level, _ in found] == [
        (f"{name} security", Level.WARN) for name in ("redis", "broker", "results")
    ]
    assert all(text.startswith("no TLS to far") for _, _, text in found)
    assert LONG not in str(found)


def test_tls_with_its_certificate_checked_is_well() -> None:
    """With a password that nobody guesses."""
    found = said(settings_of(f"rediss://:{LONG}@far/0", broker_url=f"amqps://u:{LONG}@mq//"))
    assert {level for _, level, _ in found} == {Level.OK}


@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "ssl_check_hostname=false"])
@pytest.mark.parametrize("host", ["far", "localhost"])
def test_a_certificate_that_nobody_checks_is_told(option: str, host: str) -> None:
    """On this machine too: who asks for TLS wants what it is for."""
    found = said(settings_of(f"rediss://:{LONG}@{host}/0?{option}"))
    assert [level for _, level, _ in found] == [Level.WARN] * 3
    assert all(option in text for _, _, text in found)


def test_rabbitmq_without_a_check_is_told() -> None:
    """Its library has other names for it."""
    broker = f"amqps://u:{LONG}@mq//?ssl_cert_reqs=none"
    found = said(settings_of("redis://localhost/0", broker_url=broker))
    assert [check for check, level, _ in found if level is Level.WARN] == ["broker security"]


@pytest.mark.parametrize("password", ["secret", "changeme", "griot", "short"])
def test_a_password_that_anybody_guesses_is_told(password: str) -> None:
    """Not which."""
    found = said(settings_of(f"rediss://:{password}@far/0"))
    assert [text for _, _, text in found] == ["the password for far is short or well known"] * 3


def test_an_address_without_a_password_is_told() -> None:
    """Beside the TLS that it lacks."""
    found = [text for check, _, text in said(settings_of("redis://far/0")) if "redis" in check]
    assert found[1:] == ["no password for far"]


def test_sentinels_are_named() -> None:
    """They are asked before their server is."""
    memory = MemorySettings(url=None, mode="sentinel", sentinels=("a:1", "localhost:2"))
    queue = QueueSettings(broker_url=SecretStr("sentinel://a:1/1"))
    way, *_ = ways_to_servers(replace(load_settings(), memory=memory, queue=queue))
    assert way.where == "a, localhost"
    assert not way.is_local
