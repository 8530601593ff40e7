"""What an operator meets when something is wrong: a word at once, and no stack that half starts."""

import math
import time
from collections.abc import Iterator

import pytest

from tests.support.compose.stack import Compose, part
from tests.support.waiting import elapsed, wait_until

pytestmark = [pytest.mark.compose, pytest.mark.timeout(600)]

ABSENT = "griot-has-no-such-model:1b"


@pytest.fixture(autouse=True)
def same_settings(compose: Compose) -> Iterator[None]:
    """Each test begins with the settings of the first, and with nothing that runs."""
    before = dict(compose.settings)
    # The stack of the other module still has its Redis.
    compose.remove()
    yield
    compose.settings = before
    compose.remove()


@pytest.mark.parametrize("name", ["REDIS_URL", "REDIS_USERNAME", "CELERY_BROKER_URL", "LOG_FILE"])
def test_a_setting_that_could_have_no_effect_is_refused(compose: Compose, name: str) -> None:
    """Before anything starts, by its name and without its value."""
    refused = compose.run("up", "--detach", check=False, **{name: "s3cret"})
    assert refused.returncode != 0
    assert f"({name}: " in refused.stderr
    assert "s3cret" not in refused.stderr
    assert compose.containers() == {}


def test_an_empty_setting_is_no_setting(compose: Compose) -> None:
    """As `.env.example` has them, uncommented."""
    assert compose.run("config", "--quiet", REDIS_URL="", LOG_FILE="").returncode == 0


def test_a_second_stack_has_names_of_its_own(compose: Compose) -> None:
    """Also for the network that other projects join."""
    shown = compose.docker("compose", "--project-name", "second", "config").stdout
    assert "name: second-queue" in shown
    assert "griot-queue" not in shown
    chosen = compose.run("config", GRIOT_NETWORK="shop").stdout
    assert "name: shop\n" in chosen


def test_a_file_of_profiles_that_is_not_there_is_named(compose: Compose) -> None:
    """The engine would make a folder in its place."""
    refused = compose.run("up", "--detach", "beat", check=False, AGENT_PROFILES="./profils.toml")
    assert refused.returncode != 0
    assert "profils.toml" in refused.stderr
    assert not (compose.directory / "profils.toml").exists()


def test_a_bad_setting_is_named_with_status_78_and_tried_ever_more_seldom(compose: Compose) -> None:
    """The engine waits twice as long before each restart."""
    compose.run("build", timeout_s=1200)
    began_s = time.monotonic()
    compose.run("up", "--detach", "beat", CHAT_MAX_ATTEMPTS="none")
    (beat,) = compose.containers("beat")
    wait_until(
        lambda: part(compose.containers("beat")[beat], "State", "ExitCode") == 78,
        timeout_s=60, what="beat ends with the status of settings",
    )  # fmt: skip
    wait_until(elapsed(30), timeout_s=60, what="some tries")
    tries = part(compose.containers("beat")[beat], "RestartCount")
    assert isinstance(tries, int)
    # After 0.1, 0.2, 0.4 … seconds.
    assert 1 <= tries <= 1 + math.log2(1 + (time.monotonic() - began_s) / 0.1)
    # Compose 2.26 begins each line with the mark that clears one.
    said = compose.run("logs", "--no-log-prefix", "beat").stdout.replace("\x1b[2K", "").splitlines()
    assert all(line.startswith("griot: CHAT_MAX_ATTEMPTS=none: ") for line in said)
    assert len(said) >= tries


def test_a_model_that_cannot_be_had_keeps_nobody_from_starting(compose: Compose) -> None:
    """Workers run and say so, and so do the download and Ollama's health."""
    compose.run("build", timeout_s=1200)
    compose.run("up", "--detach", OLLAMA_MODEL=ABSENT, OLLAMA_NUM_PARALLEL="1", WORKER_REPLICAS="1")
    for one in compose.containers("worker", "maintenance", "beat", "flower", "ollama").values():
        assert part(one, "State", "Running") is True, one["Name"]
    (model,) = compose.containers("model").values()
    assert part(model, "State", "ExitCode") == 0
    assert f"griot: Ollama has no model {ABSENT}" in compose.run("logs", "model").stdout
    wait_until(
        lambda: f"ollama pull {ABSENT}" in compose.run("logs", "worker").stdout,
        timeout_s=60, what="the worker names the model",
    )  # fmt: skip
    checked = compose.run("run", "--rm", "-T", "griot", "check", check=False)
    assert checked.returncode == 1
    assert f"ollama pull {ABSENT}" in checked.stdout


def test_a_download_that_was_asked_for_fails_with_a_status(compose: Compose) -> None:
    """A script has to see it."""
    refused = compose.run("run", "--rm", "-T", "model", ABSENT, check=False)
    assert refused.returncode == 1
    assert f"griot: Ollama has no model {ABSENT}" in refused.stderr
