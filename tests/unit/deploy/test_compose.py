"""What the compose file must be so that a first start, a second stack and a small host meet no
surprise. tests/compose shows the same on a real engine."""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

ROOT = Path(__file__).resolve().parents[3]
Options = TypeAdapter(dict[str, object])
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = Options.validate_python(yaml.safe_load(TEXT))
SERVICES = TypeAdapter(dict[str, dict[str, object]]).validate_python(COMPOSE["services"])
SMALL_HOST = {"cpus": 1.0, "memory": 2 * 1024}
"""One processor; MiB."""
UNIT = {"m": 1, "g": 1024}


def default_of(value: object) -> str:
    """What stands in the file where the variable is unset."""
    text = str(value)
    found = re.fullmatch(r"\$\{\w+:-(.*)\}", text)
    return found[1] if found else text


def limits_of(name: str) -> dict[str, object]:
    """The limits of a service."""
    deployed = Options.validate_python(SERVICES[name]["deploy"])
    resources = Options.validate_python(deployed["resources"])
    return Options.validate_python(resources["limits"])


@pytest.mark.parametrize("name", SERVICES)
def test_no_limit_is_above_what_a_small_host_has(name: str) -> None:
    """The engine starts no container that may use more processors than there are; 0 is no limit."""
    limits = limits_of(name)
    assert float(default_of(limits["cpus"])) <= SMALL_HOST["cpus"]
    memory = default_of(limits["memory"])
    assert int(memory[:-1]) * UNIT[memory[-1]] <= SMALL_HOST["memory"]


def test_an_image_is_built_by_one_service_and_pulled_by_none() -> None:
    """Each build of a tag is an image of its own: with four, the next start made all anew."""
    built = Counter(str(one["image"]) for one in SERVICES.values() if "build" in one)
    ours = {str(one["image"]) for one in SERVICES.values() if "GRIOT_VERSION" in str(one["image"])}
    assert set(built) == ours
    assert set(built.values()) == {1}
    for name, service in SERVICES.items():
        assert (service.get("pull_policy") == "never") == (service["image"] in ours), name


def test_the_number_of_workers_is_a_setting() -> None:
    """One of a command line is forgotten by the next command, and scales back to one."""
    deployed = Options.validate_python(SERVICES["worker"]["deploy"])
    assert deployed["replicas"] == "${WORKER_REPLICAS:-1}"
    files = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/*.yml")]
    for file in [*files, ROOT / "docker-compose.yml"]:
        assert "--scale worker" not in file.read_text(), file


def test_a_second_stack_has_a_network_of_its_own() -> None:
    """Named after the project unless GRIOT_NETWORK names it; no other name is fixed."""
    networks = TypeAdapter(dict[str, dict[str, object] | None]).validate_python(COMPOSE["networks"])
    named = {name: one["name"] for name, one in networks.items() if one and "name" in one}
    assert named == {"queue": "${GRIOT_NETWORK:-${COMPOSE_PROJECT_NAME}-queue}"}
    assert all(not one for one in Options.validate_python(COMPOSE["volumes"]).values())


def test_redis_has_a_name_that_nobody_else_has() -> None:
    """A project that joins may have a `redis` of its own: nobody is told that name."""
    joined = TypeAdapter(dict[str, dict[str, list[str]]]).validate_python(
        SERVICES["redis"]["networks"]
    )
    assert {name: one["aliases"] for name, one in joined.items()} == {
        "inner": ["griot-redis"],
        "queue": ["griot-redis"],
    }
    for name, service in SERVICES.items():
        environment = Options.validate_python(service["environment"])
        assert environment.get("REDIS_HOST", "griot-redis") == "griot-redis", name


def test_nobody_but_ollama_waits_for_the_model() -> None:
    """Workers start without it, for jobs wait; of a model that cannot be had they say so."""
    waiting = {
        name: set(Options.validate_python(service.get("depends_on") or {}))
        for name, service in SERVICES.items()
    }
    assert waiting["ollama"] == {"model"}
    assert {name for name, others in waiting.items() if others & {"model", "ollama"}} == {"ollama"}
    script = str(TypeAdapter(list[str]).validate_python(SERVICES["model"]["entrypoint"])[2])
    assert script.rstrip().endswith('[ "$$#" -eq 0 ]'), "a model that was asked for fails"


def test_the_agents_profiles_are_mounted() -> None:
    """A path of this machine in `.env`; in the container it is another one, or nothing."""
    settings = Options.validate_python(COMPOSE["x-settings"])
    target = "/etc/griot/agents.toml"
    assert settings["AGENT_PROFILES"] == f"${{AGENT_PROFILES:+{target}}}"
    for name in ("worker", "maintenance", "beat", "flower", "griot"):
        (mount,) = TypeAdapter(list[dict[str, object]]).validate_python(SERVICES[name]["volumes"])
        assert mount["source"] == "${AGENT_PROFILES:-/dev/null}"
        assert mount["target"] == target
        assert mount["read_only"] is True
        assert mount["bind"] == {"create_host_path": False}, "a wrong path is said"


def test_the_archive_is_shared_by_all_who_use_it() -> None:
    """One volume, which the image gives to its user, and one address; beat asks for archiving."""
    overlay = TypeAdapter(dict[str, dict[str, object]]).validate_python(
        yaml.safe_load((ROOT / "deploy" / "compose.archive.yml").read_text())["services"]
    )
    assert set(overlay) == {"worker", "maintenance", "gateway", "griot", "beat"}
    for name, service in overlay.items():
        address = Options.validate_python(service["environment"])["ARCHIVE_URL"]
        assert address == "sqlite:////var/lib/griot/archive.db"
        assert service.get("volumes") == (None if name == "beat" else ["archive:/var/lib/griot"])
    image = (ROOT / "Dockerfile").read_text()
    assert "--owner griot --group griot /var/lib/griot" in image


def test_no_file_of_the_clone_has_to_be_readable_for_a_container() -> None:
    """It may have been made under umask 077: what a container reads is in its image."""
    for name, service in SERVICES.items():
        mounts = TypeAdapter(list[str | dict[str, object]]).validate_python(
            service.get("volumes") or []
        )
        shared = [one for one in mounts if isinstance(one, str) and not re.match(r"[a-z-]+:/", one)]
        assert not shared, name
    text = (ROOT / "deploy" / "redis.Dockerfile").read_text()
    copied = re.search(r"^COPY (.*) (/\S+/)$", text, re.MULTILINE)
    assert copied
    assert set(copied[1].split()) == {"redis.conf", "users.acl", "fill-users.sh"}
    assert re.search(r"^RUN chmod 0755 /etc/griot && chmod 0644 /etc/griot/\*$", text, re.MULTILINE)


def test_griots_commands_are_no_part_of_the_stack() -> None:
    """`up` starts nothing that ends at once; `run --rm griot` does as the operator."""
    profiles = {name: one["profiles"] for name, one in SERVICES.items() if "profiles" in one}
    assert profiles.pop("griot") == ["commands"]
    assert set(profiles) == {"prometheus", "grafana"}
    assert SERVICES["griot"]["entrypoint"] == ["griot"]


def test_the_user_of_the_image_is_no_system_user_with_a_number_beyond_theirs() -> None:
    """`useradd --system` warns of 10001 at each build."""
    text = (ROOT / "Dockerfile").read_text()
    assert "useradd --uid 10001" in text
    assert "--system" not in text
