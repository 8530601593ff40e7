"""From nothing to stopped, as an operator goes: build, start, 200 jobs, faults, stop."""

import base64
import json
import threading
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from pydantic import TypeAdapter

from sandbox.ports import free_port
from tests.support.compose import producer
from tests.support.compose.stack import Compose, lines_of, part
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1200)]

PRODUCER = Path(producer.__file__).read_text("utf-8")
OURS = ("worker", "maintenance", "beat", "flower")
LASTING = (*OURS, "redis", "ollama")
MONITORING = ("prometheus", "grafana")
WEBHOOK_SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()
Bindings = TypeAdapter(dict[str, list[dict[str, str]]])
Options = TypeAdapter(dict[str, object])
SETTLE_S = 180
JOBS = producer.SESSIONS * producer.JOBS


def dangling(compose: Compose) -> set[str]:
    """Images that have no tag."""
    shown = compose.docker("images", "--filter", "dangling=true", "--quiet")
    return set(shown.stdout.split())


def is_well(compose: Compose, *services: str) -> bool:
    """Whether each container of them runs, and each health check says that it is well."""
    found = compose.containers(*services)
    return bool(found) and all(
        part(one, "State", "Running") and part(one, "State", "Health", "Status") == "healthy"
        for one in found.values()
    )


@pytest.fixture(scope="module")
def built(compose: Compose) -> dict[str, str | set[str]]:
    """What building printed, and the images without a tag before and after."""
    before = dangling(compose)
    done = compose.run("--progress", "plain", "build", timeout_s=1200)
    said = done.stdout + done.stderr
    ids = compose.docker("images", "--quiet", f"griot:{compose.settings['GRIOT_VERSION']}").stdout
    again = compose.run("build", timeout_s=1200)
    assert again.returncode == 0
    same = compose.docker("images", "--quiet", f"griot:{compose.settings['GRIOT_VERSION']}").stdout
    return {"said": said, "left": dangling(compose) - before, "first": ids, "second": same}


@pytest.fixture(scope="module")
def stack(compose: Compose, built: object) -> Compose:
    """All services, started with the one documented command, and well."""
    started = compose.run("up", "--detach", timeout_s=1800)
    assert "pull access denied" not in started.stderr
    for service in LASTING:
        wait_until(
            lambda name=service: is_well(compose, name),
            timeout_s=SETTLE_S,
            what=f"{service} is well",
        )
    return compose


def test_a_build_leaves_nothing_behind_and_warns_of_nothing(
    built: Mapping[str, str | set[str]],
) -> None:
    """One image for a tag; an unchanged second build makes the same."""
    assert built["left"] == set()
    assert built["first"] == built["second"]
    said = str(built["said"])
    assert "SYS_UID_MAX" not in said
    assert "warning: " not in said.lower().replace("warning: running pip as the 'root'", "")


def test_the_image_has_no_servers_for_a_try(stack: Compose) -> None:
    """They are in the clone that it was built from."""
    shown = stack.run("run", "--rm", "-T", "--entrypoint", "python", "griot", "-c",
        "import importlib.util as u; print([n for n in ('sandbox', 'bench', 'tests', 'deploy',"
        " 'examples') if u.find_spec(n)])")  # fmt: skip
    assert shown.stdout.strip() == "[]"
    refused = stack.run("run", "--rm", "-T", "griot", "demo", check=False)
    assert refused.returncode != 0


def test_there_are_as_many_workers_as_the_setting_says(stack: Compose) -> None:
    """The command names no number."""
    assert len(stack.containers("worker")) == 3
    stack.run("-f", "docker-compose.yml", "-f", "deploy/compose.gpu.yml", "config", "--quiet")


def test_a_second_start_makes_nothing_anew(stack: Compose) -> None:
    """No container is replaced, none restarted."""
    before = stack.containers(*LASTING)
    stack.run("up", "--detach")
    after = stack.containers(*LASTING)
    assert set(after) == set(before)
    for one, container in before.items():
        assert part(container, "State", "StartedAt") == part(after[one], "State", "StartedAt")


def test_every_container_is_confined(stack: Compose) -> None:
    """As the engine holds it, not as the file says: nobody is root, nothing can be written,
    no capability is left, and no new privilege can be had; no port is open outside."""
    for one, container in stack.containers(*LASTING).items():
        assert_confined(stack, one, container)
        assert part(container, "HostConfig", "PortBindings") in ({}, None), container["Name"]


def assert_confined(stack: Compose, one: str, container: Mapping[str, object]) -> None:
    """All of it but the ports."""
    name = str(container["Name"])
    host = container["HostConfig"]
    assert isinstance(host, dict)
    assert host["ReadonlyRootfs"] is True, name
    assert not host["Privileged"], name
    assert host["PidsLimit"] > 0, name
    assert host["Memory"] > 0, name
    status = stack.inside(one, "cat", "/proc/self/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(facts["Uid"].split()[0]) > 0, name
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0, name
    assert facts["NoNewPrivs"] == "1", name
    assert "Read-only file system" in stack.inside(one, "touch", "/usr/x", check=False), name


def test_each_process_is_its_own_user_at_redis(stack: Compose, settings: dict[str, str]) -> None:
    """And none is the administrator."""
    (redis,) = stack.containers("redis")
    shown = stack.inside(redis, "redis-cli", "CLIENT", "LIST")
    users = {
        word.removeprefix("user=")
        for line in shown.splitlines() if "cmd=client" not in line
        for word in line.split() if word.startswith("user=")
    }  # fmt: skip
    assert users == {f"griot-{name}" for name in OURS}
    refused = stack.inside(redis, "sh", "-c", "REDISCLI_AUTH= redis-cli ping", check=False)
    assert "NOAUTH" in refused
    denied = stack.inside(
        redis, "sh", "-c",
        f"REDISCLI_AUTH={settings['REDIS_WORKER_PASSWORD']} redis-cli --user griot-worker flushall",
        check=False,
    )  # fmt: skip
    assert "NOPERM" in denied


def test_griots_commands_run_beside_the_stack(stack: Compose) -> None:
    """`griot check` finds that a job would be done, by all workers."""
    checked = stack.run("run", "--rm", "-T", "griot", "check", "--json")
    findings = {one["check"]: one for one in json.loads(checked.stdout)}
    assert findings["redis user"]["found"] == "griot-operator"
    assert findings["workers"]["found"] == "4 answer"
    assert not [one for one in findings.values() if one["level"] == "fail"]
    assert stack.run("run", "--rm", "-T", "griot", "status", "--json").returncode == 0


def test_a_setting_and_the_profiles_reach_the_processes(stack: Compose) -> None:
    """As a worker reads them."""
    worker = next(iter(stack.containers("worker")))
    code = (
        "from tasks.process.configuration import load_settings as s; "
        "print(s().llm.num_predict, s().agents.profiles, sorted(s().profiles.by_id))"
    )
    told = stack.inside(worker, "python", "-c", code)
    assert told.split()[0] == "6"
    assert "/etc/griot/agents.toml" in told


def test_flower_is_shown_to_this_machine_and_asks_for_a_password(stack: Compose) -> None:
    """With its overlay, which scales no worker back."""
    port = free_port()
    files = ("-f", "docker-compose.yml", "-f", "deploy/compose.flower.yml")
    stack.run(*files, "up", "--detach", FLOWER_PORT=str(port))
    wait_until(lambda: is_well(stack, "flower"), timeout_s=SETTLE_S, what="flower is well")
    (flower,) = stack.containers("flower").values()
    assert part(flower, "HostConfig", "PortBindings") == {
        "5555/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]
    }
    user, _, password = stack.settings["FLOWER_BASIC_AUTH"].partition(":")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as browser:
        assert browser.get("/workers").status_code == httpx.codes.UNAUTHORIZED
        assert browser.get("/workers", auth=(user, password)).status_code == httpx.codes.OK
    assert len(stack.containers("worker")) == 3


def test_the_gateway_is_shown_to_this_machine_and_asks_for_a_key(stack: Compose) -> None:
    """With its overlay, as docs/containers.md has it; none runs before."""
    assert stack.containers("gateway") == {}
    made = stack.run("run", "--rm", "-T", "griot", "keys", "create", "web-shop").stdout
    key = made.split()[-1]
    port = free_port()
    files = ("-f", "docker-compose.yml", "-f", "deploy/compose.gateway.yml")
    stack.run(*files, "up", "--detach", GATEWAY_PORT=str(port), GATEWAY_PROCESSES="2")
    wait_until(lambda: is_well(stack, "gateway"), timeout_s=SETTLE_S, what="the gateway is well")
    (gateway,) = stack.containers("gateway").values()
    assert part(gateway, "HostConfig", "PortBindings") == {
        f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]
    }
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
        assert client.get("/v1/models").status_code == httpx.codes.UNAUTHORIZED
        bearer = {"Authorization": f"Bearer {key}"}
        assert client.get("/v1/models", headers=bearer).status_code == httpx.codes.OK
    assert len(stack.containers("worker")) == 3


def test_prometheus_and_grafana_are_shown_to_this_machine(stack: Compose) -> None:
    """With their profile, which changes no other service; every process is found, each of a
    gateway's too."""
    before = stack.containers(*OURS)
    ports = {"PROMETHEUS_PORT": str(free_port()), "GRAFANA_PORT": str(free_port())}
    files = ("-f", "docker-compose.yml", "-f", "deploy/compose.gateway.yml")
    stack.run(*files, "up", "--detach", COMPOSE_PROFILES="monitoring", timeout_s=1200, **ports)
    wait_until(lambda: is_well(stack, *MONITORING), timeout_s=SETTLE_S, what="both are well")
    assert set(stack.containers(*OURS)) == set(before)
    for one, container in stack.containers(*MONITORING).items():
        assert_confined(stack, one, container)
        bindings = Bindings.validate_python(part(container, "HostConfig", "PortBindings"))
        assert {place["HostIp"] for places in bindings.values() for place in places} == {
            "127.0.0.1"
        }
    address = f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}"
    with httpx.Client(base_url=address, trust_env=False, timeout=30) as prometheus:
        expected = {"worker": 3, "maintenance": 1, "beat": 1, "gateway": 2}
        wait_until(lambda: processes(prometheus) == expected, timeout_s=SETTLE_S, what="all found")
        rules = prometheus.get("/api/v1/rules").json()["data"]["groups"]
        assert {"griot-redis", "griot-processes"} <= {one["name"] for one in rules}
        assert query(prometheus, "sum(griot_redis_up)") == [1.0]
    (grafana,) = stack.containers("grafana")
    shown = stack.inside(grafana, "cat", "/etc/griot/dashboards/griot.json")
    assert json.loads(shown)["title"]
    health = f"http://127.0.0.1:{ports['GRAFANA_PORT']}/api/health"
    assert httpx.get(health, trust_env=False, timeout=30).status_code == httpx.codes.OK
    stack.run("rm", "--stop", "--force", *MONITORING)
    stack.run("up", "--detach", COMPOSE_PROFILES="")


def query(prometheus: httpx.Client, expression: str) -> list[float]:
    """What each series of an expression is now."""
    answer = prometheus.get("/api/v1/query", params={"query": expression}).json()
    return [float(one["value"][1]) for one in answer["data"]["result"]]


def processes(prometheus: httpx.Client) -> dict[str, int]:
    """How many of each role Prometheus has metrics of."""
    answer = prometheus.get("/api/v1/query", params={"query": "count by (role) (up == 1)"}).json()
    found = answer["data"]["result"]
    return {one["metric"]["role"]: int(one["value"][1]) for one in found}


def test_the_maintenance_worker_alone_is_let_out_to_send_webhooks(stack: Compose) -> None:
    """With its overlay; workers have no secret to sign with."""
    files = ("-f", "docker-compose.yml", "-f", "deploy/compose.webhooks.yml")
    given = {"WEBHOOK_HOSTS": "hooks.example.com", "WEBHOOK_SECRETS": WEBHOOK_SECRET}
    stack.run(*files, "up", "--detach", **given)
    wait_until(lambda: is_well(stack, *OURS), timeout_s=SETTLE_S, what="all are well")
    joined = {name: networks(stack, name) for name in OURS}
    assert {name for name in OURS if "internet" in joined[name]} == {"maintenance"}
    asked = "import os; print(os.environ.get('WEBHOOK_SECRETS', ''))"
    told = {
        name: stack.inside(next(iter(stack.containers(name))), "python", "-c", asked).strip()
        for name in ("worker", "maintenance")
    }
    assert told == {"worker": "", "maintenance": WEBHOOK_SECRET}
    stack.run("up", "--detach", WEBHOOK_HOSTS="", WEBHOOK_SECRETS="")
    wait_until(lambda: is_well(stack, *OURS), timeout_s=SETTLE_S, what="all are well")
    assert "internet" not in networks(stack, "maintenance")


def networks(stack: Compose, service: str) -> set[str]:
    """Which networks its containers are in, without the project's name."""
    return {
        name.rpartition("_")[2]
        for one in stack.containers(service).values()
        for name in Options.validate_python(part(one, "NetworkSettings", "Networks"))
    }


def produce(
    producers: Compose, service: str, what: str, given: str = ""
) -> list[dict[str, object]]:
    """What the program of the producer prints, which runs in a container of that project."""
    done = producers.run("run", "--rm", "-T", "--no-deps", service, PRODUCER, what,
        stdin=given, timeout_s=1000)  # fmt: skip
    return lines_of(done.stdout)


def answered(stack: Compose) -> int:
    """How many jobs have a result."""
    (redis,) = stack.containers("redis")
    return int(stack.inside(redis, "redis-cli", "-n", "2", "DBSIZE"))


@pytest.fixture(scope="module")
def jobs(stack: Compose, producers: Compose) -> list[dict[str, object]]:
    """How 200 jobs ended that were sent before a worker was killed, and Redis and Ollama were
    started anew."""
    producers.run("up", "--detach", "redis")
    sent = produce(producers, "producer", "send")
    assert len(sent) == JOBS
    victim = next(iter(stack.containers("worker")))
    stack.inside(victim, "sh", "-c", "kill -9 -1", check=False)
    wait_until(
        lambda: part(stack.containers("worker")[victim], "RestartCount") == 1,
        timeout_s=30, what="the engine starts the killed worker again",
    )  # fmt: skip
    for service in ("redis", "ollama"):
        assert answered(stack) < JOBS, "what is started anew is at work"
        stack.run("restart", service)
        wait_until(lambda name=service: is_well(stack, name), timeout_s=SETTLE_S, what=service)
    given = "".join(f"{json.dumps(one)}\n" for one in sent)
    return produce(producers, "producer", "outcomes", given)


def test_every_job_is_answered(jobs: list[dict[str, object]]) -> None:
    """None is lost, and none has failed for what happened around it."""
    assert len(jobs) == JOBS
    assert [one for one in jobs if one["state"] != "SUCCESS"] == []


def test_each_question_is_in_its_history_once_and_in_order(
    stack: Compose, producers: Compose, jobs: list[dict[str, object]]
) -> None:
    """With the reply that its sender got."""
    replies = {(one["session"], one["number"]): one["response"] for one in jobs}
    found = produce(producers, "reader", "histories")
    assert len(found) == producer.SESSIONS
    for session in found:
        number = session["session"]
        assert session["history"] == [
            pair
            for turn in range(producer.JOBS)
            for pair in (["user", f"question {turn}"], ["assistant", replies[number, turn]])
        ]


def test_a_project_that_joins_reaches_redis_and_nothing_else(
    producers: Compose, jobs: object
) -> None:
    """Its own `redis` stays its own; workers and Ollama are in networks that it is not in."""
    code = (
        "import socket\n"
        "for n in ('griot-redis', 'redis', 'worker', 'ollama', 'flower'):\n"
        "    try: print(n, len(socket.getaddrinfo(n, 1, socket.AF_INET, socket.SOCK_STREAM)))\n"
        "    except OSError: print(n, 0)\n"
    )
    shown = producers.run("run", "--rm", "-T", "--no-deps", "producer", code).stdout
    reached = dict(line.split() for line in shown.splitlines())
    assert reached["griot-redis"] == "1"
    assert int(reached["redis"]) >= 1
    assert [reached[name] for name in ("worker", "ollama", "flower")] == ["0", "0", "0"]


def test_workers_that_are_scaled_down_end_in_order(stack: Compose, jobs: object) -> None:
    """Each with status 0, and one is left."""
    before = set(stack.containers("worker"))
    ended: dict[str, str] = {}

    def note(one: str) -> None:
        ended[one] = stack.docker("wait", one, check=False).stdout.strip()

    waiting = [threading.Thread(target=note, args=(one,)) for one in before]
    for thread in waiting:
        thread.start()
    stack.run("up", "--detach", WORKER_REPLICAS="1")
    left = set(stack.containers("worker"))
    assert len(left) == 1
    gone = before - left
    wait_until(lambda: gone <= set(ended), timeout_s=60, what="the others have ended")
    assert {ended[one] for one in gone} == {"0"}
    stack.run("stop", "worker")
    for thread in waiting:
        thread.join(timeout=60)
    assert set(ended.values()) == {"0"}


def test_all_end_with_status_0_when_they_are_stopped(stack: Compose, jobs: object) -> None:
    """None is killed because it takes too long."""
    stack.run("stop", timeout_s=300)
    ended = {
        str(one["Name"]): part(one, "State", "ExitCode")
        for one in stack.containers(*LASTING).values()
    }
    assert set(ended.values()) == {0}, ended


def test_what_was_said_is_there_after_the_next_start(
    stack: Compose, producers: Compose, jobs: object
) -> None:
    """Redis keeps it in its volume, whatever becomes of the containers."""
    stack.run("down")
    stack.run("up", "--detach", "redis")
    wait_until(lambda: is_well(stack, "redis"), timeout_s=SETTLE_S, what="redis")
    found = produce(producers, "reader", "histories")
    assert all(len(str(one["history"])) > 2 for one in found)
