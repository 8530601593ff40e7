"""Whom Flower lets in, and what its app may do."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from celery import Celery

from llm import LLMSettings
from tasks.errors import ConfigurationError
from worker.flower import (
    RUNTIME_BUCKETS_S,
    check_access,
    check_port,
    confine,
    forget_service_ports,
)
from worker.settings import FlowerAccess, flower_variables


@dataclass
class FlowerOptions:
    """The options of a Flower, after all its sources have been read."""

    address: str = "127.0.0.1"
    port: int = 0
    unix_socket: str = ""
    auth: str = ""
    basic_auth: Sequence[str] | None = None


@pytest.mark.parametrize(
    "options",
    [
        FlowerOptions(),
        FlowerOptions(address="localhost"),
        FlowerOptions(address="::1"),
        FlowerOptions(address="", unix_socket="/run/flower.sock"),
        FlowerOptions(address="", basic_auth=["operator:secret"]),
        FlowerOptions(address="10.0.0.1", basic_auth=["one:a", "two:b"]),
        FlowerOptions(address="0.0.0.0", auth=r".*@ecowas\.int"),  # noqa: S104
    ],
)
def test_flower_may_listen(options: FlowerOptions) -> None:
    """On this machine, or to whoever knows a password."""
    check_access(options)


@pytest.mark.parametrize("address", ["", "0.0.0.0", "::", "10.0.0.1", "flower"])  # noqa: S104
def test_flower_may_not_listen_to_others_without_a_password(address: str) -> None:
    """The refusal names both variables."""
    with pytest.raises(ConfigurationError, match=r"^FLOWER_ADDRESS=.*FLOWER_BASIC_AUTH"):
        check_access(FlowerOptions(address=address))


@pytest.mark.parametrize(
    "credentials", [[""], ["operator"], ["operator:"], [":secret"], ["opérateur:x"], ["a:b", ""]]
)
def test_a_credential_that_would_let_anybody_in_is_refused(credentials: list[str]) -> None:
    """An empty one is the user without name and password; the message does not repeat it."""
    with pytest.raises(ConfigurationError, match=r"must be user:password") as refused:
        check_access(FlowerOptions(basic_auth=credentials))
    assert not any(part in str(refused.value) for part in ("operator", "secret"))


def test_an_app_that_only_watches_reads_no_results_and_acknowledges_nothing() -> None:
    """The other options of the connection stay."""
    watcher = Celery("watcher", set_as_current=False)
    watcher.conf.update(
        broker_url="memory://",
        result_backend="cache+memory://",
        broker_transport_options={"socket_timeout": 10.0},
    )
    confine(watcher)
    assert type(watcher.backend).__name__ == "DisabledBackend"
    assert watcher.conf.broker_transport_options == {"socket_timeout": 10.0, "ack_emulation": False}


def test_flower_is_the_version_that_was_looked_into() -> None:
    """worker/flower.py reaches into it; look at each workaround again, then change this."""
    assert version("flower") == "2.2.0"


def test_the_buckets_of_run_times_reach_as_far_as_a_reply_may_take() -> None:
    """LLM_TOTAL_TIMEOUT is the longest."""
    assert max(RUNTIME_BUCKETS_S) >= LLMSettings.model_fields["total_timeout_s"].default
    assert list(RUNTIME_BUCKETS_S) == sorted(RUNTIME_BUCKETS_S)


def test_a_port_that_is_taken_is_named() -> None:
    """With the setting to change; a free one, any one, and a socket's path are fine."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=f"FLOWER_PORT: .*port {port}: address already"
        ):
            check_port(FlowerOptions(port=port))
        check_port(FlowerOptions(port=port, unix_socket="/run/flower.sock"))
    for free in (port, 0):
        check_port(FlowerOptions(port=free))


def test_a_service_called_flower_is_no_setting_of_flower() -> None:
    """Kubernetes names each service in the environment of its neighbours; a port stays one."""
    environment = {
        "FLOWER_PORT": "tcp://10.96.0.9:5555", "FLOWER_ADDRESS": "tcp://x", "OTHER_PORT": "tcp://y",
    }  # fmt: skip
    forget_service_ports(environment)
    assert set(environment) == {"FLOWER_ADDRESS", "OTHER_PORT"}
    chosen = {"FLOWER_PORT": "5556"}
    forget_service_ports(chosen)
    assert chosen == {"FLOWER_PORT": "5556"}


def test_flower_is_told_what_stands_in_the_env_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The environment goes before it; what is empty there, or not Flower's, is none."""
    monkeypatch.chdir(tmp_path)
    assert flower_variables({}) == {}
    (tmp_path / ".env").write_text(
        "FLOWER_PORT=5556\nFLOWER_ADDRESS=10.0.0.1\nFLOWER_BASIC_AUTH=\nREDIS_PORT=1\n"
    )
    expected = {"FLOWER_PORT": "5556", "FLOWER_ADDRESS": "10.0.0.1"}
    assert flower_variables({}) == expected
    assert flower_variables({"FLOWER_PORT": "1"}) == {"FLOWER_ADDRESS": "10.0.0.1"}
    for name in (*expected, "FLOWER_BASIC_AUTH"):
        monkeypatch.delenv(name, raising=False)
    assert (FlowerAccess().port, FlowerAccess().address) == ("5556", "10.0.0.1")
