"""A stack of its own name, from a clone that only its owner may read."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.compose_check import problem
from tests.support.compose.stack import Compose, private_clone

PROJECT = "griot-compose-test"
ROLES = ("WORKER", "MAINTENANCE", "BEAT", "FLOWER", "OPERATOR", "PRODUCER", "CLIENT", "MEMORY")
PROFILES = '[agents.energy]\nsystem_prompt = "Answer in one word."\n'


@pytest.fixture(scope="session")
def engine() -> None:
    """Without one every test of this folder is skipped, with what is missing."""
    if found := problem():
        pytest.skip(f"no container engine: {found}")


@pytest.fixture(scope="session")
def settings() -> dict[str, str]:
    """The `.env` of the stack: a password for each user, short times, short replies."""
    return {
        "REDIS_PASSWORD": secrets.token_hex(16),
        **{f"REDIS_{role}_PASSWORD": secrets.token_hex(16) for role in ROLES},
        "FLOWER_BASIC_AUTH": f"somebody:{secrets.token_hex(16)}",
        "GRIOT_VERSION": "0.0.0-compose-test",
        "AGENT_PROFILES": "./profiles.toml",
        "OLLAMA_MODEL": os.environ.get("OLLAMA_MODEL", "qwen2.5:0.5b"),
        "OLLAMA_NUM_PARALLEL": "4",
        "LLM_NUM_PREDICT": "6",
        "CHAT_LEASE_SECONDS": "6",
        "CHAT_SWEEP_SECONDS": "1",
        "CHAT_GRACE_SECONDS": "2",
        "WORKER_DRAIN_SECONDS": "10",
        "WORKER_REPLICAS": "3",
    }


@pytest.fixture(scope="session")
def compose(
    engine: None, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Compose]:
    """`docker compose` in the clone; what it has made is removed at the end."""
    clone = private_clone(tmp_path_factory.mktemp("compose") / "griot")
    (clone / "profiles.toml").write_text(PROFILES, "utf-8")
    # Its owner's business: a worker that may not read it says so and does not start.
    (clone / "profiles.toml").chmod(0o644)
    stack = Compose(clone, PROJECT, settings)
    try:
        # What an earlier run has left that was killed.
        stack.remove()
        forget_images(stack)
        yield stack
    finally:
        stack.remove()
        forget_images(stack)


def forget_images(stack: Compose) -> None:
    """Those that were built here; the engine keeps what makes the next build quick."""
    version = stack.settings["GRIOT_VERSION"]
    ours = ("griot", "griot-redis", "griot-prometheus", "griot-grafana")
    stack.docker("image", "rm", *(f"{name}:{version}" for name in ours), check=False)


@pytest.fixture(scope="session")
def producers(compose: Compose) -> Iterator[Compose]:
    """A project of somebody else, in its own folder, that joins the network of the stack."""
    source = Path(__file__).resolve().parents[1] / "support" / "compose" / "producer.yml"
    folder = compose.directory.parent / "producer"
    folder.mkdir()
    (folder / "docker-compose.yml").write_text(source.read_text("utf-8"), "utf-8")
    given = {name: compose.settings[name] for name in compose.settings if name.startswith("REDIS_")}
    told = {"GRIOT_NETWORK": f"{PROJECT}-queue", "GRIOT_VERSION": compose.settings["GRIOT_VERSION"]}
    other = Compose(folder, f"{PROJECT}-producer", {**given, **told})
    try:
        yield other
    finally:
        other.remove()
