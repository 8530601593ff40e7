"""What an operator deploys, held to the code: Procfile, image, compose file, settings."""

import os
import re
import shlex
import shutil
import tomllib
from collections.abc import Mapping
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from pydantic import TypeAdapter

from deploy import reference
from deploy.redis_users.roles import ROLES
from gateway.settings import GatewaySettings
from sandbox.errors import ReplyError
from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.resp import RespConnection
from sandbox.valkey import valkey_binary
from tasks import app
from tasks.settings import QueueSettings
from tests.support.machine import scaled

ROOT = Path(__file__).resolve().parents[3]
OURS = ("worker", "maintenance", "beat", "flower", "gateway")
OLLAMA = ("ollama", "model")
MONITORING = ("prometheus", "grafana")
SERVICES = (*OURS, *OLLAMA, *MONITORING, "redis", "griot")
ONE_SHOT = {"model", "griot"}
SETTINGS = {name for _, kind in reference.SECTIONS for name, _ in reference.named_fields(kind)}

OF_GATEWAY = {name for name, _ in reference.named_fields(GatewaySettings)}
"""What the gateway alone reads."""

OF_OTHERS = ("FLOWER_", "OTEL_")
"""How the names begin of what Flower and OpenTelemetry read."""

FIXED = {"OLLAMA_BASE_URL", "REDIS_DB", "REDIS_HOST", "REDIS_PORT", "REDIS_USERNAME"}
"""What compose says itself, and so refuses from anybody else."""

REFUSAL = re.compile(r"\$\{(\w+):\+([^}]*)\}")
"""A setting that ends compose, with its words: docker-compose.yml, networks."""

BINARIES = [valkey_binary(), *map(Path, filter(None, (shutil.which("redis-server"),)))]
"""Valkey, and Redis where it is installed."""

Service = Mapping[str, object]
Options = TypeAdapter(dict[str, object])
Many = TypeAdapter(list[str])
COMPOSE = Options.validate_python(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))
COMPOSE_SERVICES = TypeAdapter(dict[str, dict[str, object]]).validate_python(COMPOSE["services"])


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> dict[str, object]:
    """Each service of the compose file."""
    return COMPOSE_SERVICES[request.param]


def words(command: object) -> list[str]:
    """A command of the compose file or the Procfile."""
    return shlex.split(command) if isinstance(command, str) else [str(word) for word in command]


# ---- the commands


def test_the_procfile_and_compose_start_the_same_commands() -> None:
    """Each process is described once; the other place only repeats it."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    procfile = {
        name: words(command) for name, _, command in (line.partition(":") for line in lines)
    }
    assert set(procfile) == set(OURS)
    assert procfile == {name: words(COMPOSE_SERVICES[name]["command"]) for name in OURS}
    begins = {name: command[:2] for name, command in procfile.items()}
    assert begins.pop("flower") == ["celery", "-A"]
    assert {one[0] for one in begins.values()} == {"griot"}
    assert {one[1] for one in begins.values()} == {"worker", "beat", "serve"}


def test_maintenance_consumes_the_queue_that_periodic_tasks_are_sent_to() -> None:
    """And no worker for chat does."""
    tasks = [entry["task"] for entry in app.conf.beat_schedule.values()]
    routed = {str(app.amqp.router.route({}, task)["queue"].name) for task in tasks}
    assert routed == {"maintenance"}
    command = words(COMPOSE_SERVICES["maintenance"]["command"])
    assert command[command.index("-Q") + 1] == "maintenance"
    assert "-Q" not in words(COMPOSE_SERVICES["worker"]["command"])


# ---- the compose file's promises


def test_every_service_is_tested_here() -> None:
    """A new service has to keep the same promises."""
    assert set(COMPOSE_SERVICES) == set(SERVICES)


def test_a_service_is_confined(service: Service) -> None:
    """No capability, no new privilege, nothing written but what is mounted for it."""
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"model"}))
def test_a_service_is_not_root(name: str) -> None:
    """The one-shot download alone owns a volume, without any capability."""
    user, group = str(COMPOSE_SERVICES[name]["user"]).split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_a_service_has_limits(service: Service) -> None:
    """Processors, memory, processes and logs."""
    deployed = Options.validate_python(service["deploy"])
    limits = Options.validate_python(Options.validate_python(deployed["resources"])["limits"])
    assert set(limits) == {"cpus", "memory", "pids"}
    assert "max-size" in Options.validate_python(service["logging"])["options"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(MONITORING)))
def test_nothing_is_published(name: str) -> None:
    """No port, and no fixed name that would keep a service from being scaled."""
    forbidden = {"ports", "container_name", "hostname", "network_mode"}
    assert forbidden.isdisjoint(COMPOSE_SERVICES[name])


@pytest.mark.parametrize("name", MONITORING)
def test_what_is_looked_at_is_shown_to_this_machine_only(name: str) -> None:
    """It asks for no password, and runs only when its profile is named."""
    (port,) = Many.validate_python(COMPOSE_SERVICES[name]["ports"])
    assert re.fullmatch(rf"127\.0\.0\.1:\$\{{{name.upper()}_PORT:-(\d+)\}}:\1", port)
    assert COMPOSE_SERVICES[name]["profiles"] == ["monitoring"]


def test_an_image_is_pinned(service: Service) -> None:
    """By a whole version; `latest` and `7` move."""
    assert re.search(r":(\$\{GRIOT_VERSION:-)?\d+\.\d+\.\d+", str(service["image"]))


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_a_service_has_a_health_check(name: str) -> None:
    """Of its own, with a time-out."""
    check = Options.validate_python(COMPOSE_SERVICES[name]["healthcheck"])
    assert words(check["test"])[0] in {"CMD", "CMD-SHELL"}
    assert "timeout" in check


def test_only_the_download_reaches_the_internet_and_only_workers_reach_ollama() -> None:
    """Ollama asks nobody for a password."""
    networks = Options.validate_python(COMPOSE["networks"])
    inner = {name for name, told in networks.items() if told and is_internal(told)}
    joined = {name: set(COMPOSE_SERVICES[name]["networks"]) for name in SERVICES}
    published = {*MONITORING}  # in a network that nobody else is in
    assert {name for name in SERVICES if not joined[name] <= inner} == {"model", *published}
    assert {name for name in SERVICES if "internet" in joined[name]} == {"model"}
    assert {name for name in SERVICES if "monitoring" in joined[name]} == published
    assert {name for name in SERVICES if "models" in joined[name]} == {"ollama", "worker", "griot"}
    assert {name for name in SERVICES if "queue" in joined[name]} == {"redis"}


def is_internal(network: Mapping[str, object]) -> bool:
    """Whether it leads nowhere else, unless a setting is refused in its place."""
    return re.sub(REFUSAL, "", str(network.get("internal"))).strip().lower() == "true"


def test_no_secret_has_a_value_in_the_file() -> None:
    """Each is asked of the environment, and compose does not start without it, but for those that
    need not be set at all."""
    secrets = {"FLOWER_BASIC_AUTH", "REDISCLI_AUTH"} | {
        name
        for _, kind in reference.SECTIONS
        for name, field in reference.named_fields(kind)
        if reference.is_secret(field)
    }
    found = 0
    for service in COMPOSE_SERVICES.values():
        for name, value in Options.validate_python(service["environment"]).items():
            if name in secrets - {"ARCHIVE_URL", "GRIOT_ENCRYPTION_KEYS", "WEBHOOK_SECRETS"}:
                found += 1
                # Of its own, or else the administrator's, which has to be there.
                assert re.fullmatch(r"(\$\{\w+:-)?\$\{\w+:\?[^}]+\}\}?", str(value)), name
    assert found >= len(OURS) + 3


def test_each_of_our_services_is_its_own_user_at_redis() -> None:
    """Redis is given the same passwords, and makes no user without one."""
    given = Options.validate_python(COMPOSE_SERVICES["redis"]["environment"])
    for name in (*OURS, "griot"):
        environment = Options.validate_python(COMPOSE_SERVICES[name]["environment"])
        user = "operator" if name == "griot" else name
        assert environment["REDIS_USERNAME"] == f"griot-{user}"
        variable = f"REDIS_{user.upper()}_PASSWORD"
        assert str(environment["REDIS_PASSWORD"]).startswith(f"${{{variable}:-${{REDIS_PASSWORD:?")
    roles = {f"REDIS_{role.name.upper()}_PASSWORD" for role in ROLES}
    assert roles == {one for one in given if re.fullmatch(r"REDIS_[A-Z]+_PASSWORD", one)}
    assert "REDIS_KEY_PREFIX" in given
    assert re.search(
        r"fill-users.sh /etc/griot/users.acl > (\S+).*--aclfile \1",
        words(COMPOSE_SERVICES["redis"]["command"])[2],
        re.DOTALL,
    )


@pytest.mark.parametrize("binary", BINARIES, ids=lambda path: Path(path).name)
def test_redis_in_compose_starts_with_its_users(binary: Path, tmp_path: Path) -> None:
    """The command of the file, here with its paths on this machine."""
    port = free_port()
    given = tmp_path / "given"
    given.mkdir()
    for name in ("redis.conf", "users.acl", "fill-users.sh"):
        text = (ROOT / "deploy" / name).read_text().replace("dir /data", f"dir {tmp_path}")
        (given / name).write_text(text)
    shell = words(COMPOSE_SERVICES["redis"]["command"])[2].rstrip()
    shell = shell.replace("/tmp/", f"{tmp_path}/")  # noqa: S108  # in the container
    shell = shell.replace("/etc/griot/", f"{given}/")
    shell = shell.replace("exec redis-server", f"exec {binary}")
    shell += f" --port {port} --bind 127.0.0.1"
    server = ServerProcess(
        ("sh", "-euc", shell), log_path=tmp_path / "log", cwd=tmp_path, name="redis",
        env={"PATH": os.defpath, "REDIS_PASSWORD": "administrator", "REDIS_BEAT_PASSWORD": "tick"},
    )  # fmt: skip
    with server:
        server.wait_ready(lambda: _answers(port, "default", "administrator"), scaled(10))
        assert _answers(port, "griot-beat", "tick")
        assert _answers(port, "griot-worker", "administrator")
        for user, password in (("griot-beat", "administrator"), ("default", ""), ("default", "x")):
            with pytest.raises(ReplyError, match="WRONGPASS"):
                _answers(port, user, password)
        assert "administrator" not in (tmp_path / "users.acl").read_text()


def _answers(port: int, user: str, password: str) -> bool:
    try:
        with RespConnection(port) as connection:
            connection.command("AUTH", user, password)
            return connection.command("PING") == "PONG"
    except OSError:
        return False


def test_redis_in_compose_keeps_what_it_acknowledged() -> None:
    """What a worker asks of it when it starts, and a little more."""
    lines = (ROOT / "deploy" / "redis.conf").read_text().splitlines()
    conf = dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    assert conf["appendonly"] == "yes"
    assert conf["appendfsync"] in {"always", "everysec"}
    assert conf["maxmemory-policy"] == "noeviction"
    assert int(conf["maxmemory"].removesuffix("mb")) > 0
    assert "requirepass" not in conf


def test_a_stopping_worker_is_given_more_time_than_it_needs() -> None:
    """Or turns are killed that it would have given back."""
    drain_s = QueueSettings.model_fields["drain_s"].default
    for name in ("worker", "maintenance"):
        grace = re.fullmatch(r"\$\{\w+:-(\d+)s\}", str(COMPOSE_SERVICES[name]["stop_grace_period"]))
        assert float(grace[1]) >= drain_s + 10


def test_flower_in_compose_asks_for_a_password_and_only_looks() -> None:
    """It is reachable by its neighbours there."""
    environment = Options.validate_python(COMPOSE_SERVICES["flower"]["environment"])
    assert environment["FLOWER_ADDRESS"] == "0.0.0.0"  # noqa: S104  # within its container
    assert str(environment["FLOWER_BASIC_AUTH"]).startswith("${FLOWER_BASIC_AUTH:?")
    assert environment["FLOWER_READ_ONLY"] == "${FLOWER_READ_ONLY:-true}"


def test_the_overlay_for_flower_publishes_to_this_machine_only() -> None:
    """Its /metrics asks for no password."""
    overlay = yaml.safe_load((ROOT / "deploy" / "compose.flower.yml").read_text())
    assert set(overlay["services"]) == {"flower"}
    assert all(port.startswith("127.0.0.1:") for port in overlay["services"]["flower"]["ports"])


def test_the_overlay_for_the_gateway_publishes_one_to_this_machine_only() -> None:
    """Where it listens in its container; without the overlay none runs that would want a key."""
    overlay = yaml.safe_load((ROOT / "deploy" / "compose.gateway.yml").read_text())
    assert set(overlay["services"]) == {"gateway"}
    service = overlay["services"]["gateway"]
    port = Options.validate_python(COMPOSE_SERVICES["gateway"]["environment"])["GATEWAY_PORT"]
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert service["deploy"] == {"replicas": 1}
    deployed = Options.validate_python(COMPOSE_SERVICES["gateway"]["deploy"])
    assert deployed["replicas"] == "${GATEWAY_REPLICAS:-0}"


def test_the_overlay_for_webhooks_lets_out_who_sees_no_words() -> None:
    """The maintenance worker alone; a worker could only fail to send, and has no secret."""
    overlay = yaml.safe_load((ROOT / "deploy" / "compose.webhooks.yml").read_text())
    assert overlay["services"] == {
        "worker": {"environment": {"WEBHOOK_SECRETS": ""}},
        "maintenance": {"networks": ["inner", "internet"]},
    }


def test_the_gateway_in_compose_listens_in_its_network_and_is_asked_whether_it_lives() -> None:
    """By the port that it has."""
    environment = Options.validate_python(COMPOSE_SERVICES["gateway"]["environment"])
    assert environment["GATEWAY_HOST"] == "0.0.0.0"  # noqa: S104  # within its container
    assert environment["GATEWAY_PORT"] == f"${{GATEWAY_PORT:-{GatewaySettings().port}}}"
    check = Options.validate_python(COMPOSE_SERVICES["gateway"]["healthcheck"])
    code = words(check["test"])[3]
    compile(code, "the check", "exec")
    assert """http://127.0.0.1:{os.environ["GATEWAY_PORT"]}/healthz""" in code


def test_the_health_check_looks_at_the_file_that_the_image_names() -> None:
    """Workers and beat touch it; the image says where."""
    image = (ROOT / "Dockerfile").read_text()
    path = re.search(r"WORKER_ALIVE_FILE=(\S+)", image)[1]
    for name in ("worker", "maintenance", "beat"):
        check = Options.validate_python(COMPOSE_SERVICES[name]["healthcheck"])
        assert path in words(check["test"])[1]
        writable = {str(mount).partition(":")[0] for mount in COMPOSE_SERVICES[name]["tmpfs"]}
        assert str(Path(path).parent) in writable


# ---- the image


def test_the_image_installs_only_what_is_named_with_its_hash() -> None:
    """And runs as nobody in particular, with no log file."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    installs = re.findall(r"pip[^&\n]* install ([^&\n]*)", text)
    assert len(installs) == 3
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert 'LOG_FILE=""' in text
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.11\.\d+-slim-", text, re.MULTILINE)


def test_the_image_has_all_that_the_wheel_is_made_of() -> None:
    """`.dockerignore` lets nothing else in, and keeps the servers for a try out."""
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]
    packed = {*wheel["only-include"], *wheel["force-include"]} - {"sandbox"}
    assert allowed == packed | {"pyproject.toml", "README.md", "LICENSE", "requirements"}


def test_the_build_requirements_are_those_of_the_development_lock() -> None:
    """Same versions, same hashes: two locks that drift apart would hide it."""
    build, dev = (pinned(f"requirements/{name}.lock") for name in ("build", "dev"))
    assert "hatchling" in build
    assert build == {name: dev[name] for name in build}


def test_the_workers_lock_has_what_the_redis_transport_needs() -> None:
    """Kombu names it under its extra `redis`; without it a worker cannot be imported."""
    needed = {
        requirement.name
        for requirement in map(Requirement, requires("kombu") or ())
        if requirement.marker and requirement.marker.evaluate({"extra": "redis"})
    }
    assert "redis" in needed
    assert needed <= set(pinned("requirements/worker.lock"))


def pinned(path: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes of each requirement of a lock."""
    text = (ROOT / path).read_text().replace("\\\n", " ")
    lines = re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)([^\n]*)", text, re.MULTILINE)
    return {
        name: (version, frozenset(re.findall(r"--hash=(\S+)", rest)))
        for name, version, rest in lines
    }


# ---- the settings


def test_the_example_of_the_environment_is_what_the_settings_say() -> None:
    """Every variable, its default, its meaning. To renew it: python -m deploy.reference."""
    assert reference.ENV_EXAMPLE.read_text() == reference.env_example()


def test_the_tables_of_the_manual_are_what_the_settings_say() -> None:
    """To renew them: python -m deploy.reference."""
    assert reference.OPERATIONS.read_text() == reference.operations()


def test_a_default_of_the_example_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uncommenting a line changes nothing."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    lines = reference.env_text().splitlines()
    shown = dict(line[2:].split("=", 1) for line in lines if re.match(r"# [A-Z_]+=", line))
    assert set(shown) == SETTINGS
    for _, kind in reference.SECTIONS:
        names = {name for name, _ in reference.named_fields(kind)}
        given = {name: shown[name] for name in names if shown[name]}
        assert kind(_env_file=None, **given) == kind(_env_file=None), kind  # type: ignore[call-arg]


def test_a_number_says_its_unit_or_what_it_counts() -> None:
    """A duration without a unit is a trap."""
    for _, kind in reference.SECTIONS:
        for field_name, field in kind.model_fields.items():
            if field_name.endswith("_s"):
                assert "second" in str(field.description), field_name
            if field_name.endswith("_bytes"):
                assert "bytes" in str(field.description), field_name


def test_every_setting_reaches_the_containers_or_is_refused() -> None:
    """What stands in `.env` counts in compose too, or compose says that it cannot; what the gateway
    alone reads reaches the gateway alone."""
    inner = str(Options.validate_python(COMPOSE["networks"])["inner"])
    refused = {found[1] for found in re.finditer(REFUSAL, inner)}
    for found in re.finditer(REFUSAL, inner):
        assert found[2].startswith(f" ({found[1]}: "), "the word names the setting"
    assert refused >= FIXED | {"GATEWAY_HOST"}
    for name in (*OURS, "griot"):
        environment = Options.validate_python(COMPOSE_SERVICES[name]["environment"])
        passed = {one for one in environment if not one.startswith(OF_OTHERS)}
        fixed = FIXED | {"GATEWAY_HOST"} if name == "gateway" else FIXED
        assert passed & refused == fixed
        read = SETTINGS if name == "gateway" else SETTINGS - OF_GATEWAY
        assert passed == read - (refused - fixed), name
        heeded = {one for one, value in environment.items() if one in str(value or one)}
        assert passed - heeded == fixed, "each is taken from .env"


def test_every_variable_of_the_compose_files_is_in_the_example() -> None:
    """Nobody has to read the compose file to find out what can be set."""
    files = [ROOT / "docker-compose.yml", *(ROOT / "deploy").glob("compose.*.yml")]
    asked = {name for file in files for name in re.findall(r"(?<!\$)\$\{(\w+)", file.read_text())}
    passed_on = Options.validate_python(COMPOSE_SERVICES["redis"]["environment"])
    asked |= {name for name, value in passed_on.items() if value is None}
    asked.remove("COMPOSE_PROJECT_NAME")  # compose's own
    settings = Options.validate_python(COMPOSE["x-settings"])
    asked |= {name for name in settings if name.startswith(OF_OTHERS)}
    named = set(re.findall(r"^(?:# )?([A-Z_]+)=", reference.ENV_EXAMPLE.read_text(), re.MULTILINE))
    assert asked <= named
    assert named == asked | SETTINGS
