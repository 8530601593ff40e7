"""The manifests of deploy/kubernetes: what the cluster's schemas allow, and the same processes,
users, limits and settings as in compose."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from pydantic import TypeAdapter

from deploy import reference
from tasks.settings import QueueSettings

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy" / "kubernetes"
OURS = ("worker", "maintenance", "beat", "flower", "gateway")
OLDEST = "1.27"
"""No process needs more of a cluster than this version had."""

Options = TypeAdapter(dict[str, object])
Many = TypeAdapter(list[dict[str, object]])
COMPOSE = Options.validate_python(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))
COMPOSE_SERVICES = TypeAdapter(dict[str, dict[str, object]]).validate_python(COMPOSE["services"])
KUSTOMIZATION = Options.validate_python(yaml.safe_load((FOLDER / "kustomization.yaml").read_text()))
FIELDS = {name: field for _, k in reference.SECTIONS for name, field in reference.named_fields(k)}


def manifests() -> Iterator[tuple[str, dict[str, object]]]:
    """Every object of every file that is named, by kind and name."""
    for file in TypeAdapter(list[str]).validate_python(KUSTOMIZATION["resources"]):
        for one in yaml.safe_load_all((FOLDER / file).read_text("utf-8")):
            found = Options.validate_python(one)
            yield f"{found['kind']} {at(found, 'metadata', 'name')}", found


def at(found: object, *names: str | int) -> object:
    """What lies at these names and positions."""
    for name in names:
        if isinstance(name, int):
            found = TypeAdapter(list[object]).validate_python(found)[name]
        else:
            found = Options.validate_python(found)[name]
    return found


OBJECTS = dict(manifests())
WAITING = Options.validate_python(
    yaml.safe_load((FOLDER / "waiting-jobs" / "autoscaler.yaml").read_text("utf-8"))
)


def deployment(name: str) -> dict[str, object]:
    """One of our processes."""
    return OBJECTS[f"Deployment griot-{name}"]


def pod(name: str) -> dict[str, object]:
    """What its pods are."""
    return Options.validate_python(at(deployment(name), "spec", "template", "spec"))


def container(name: str) -> dict[str, object]:
    """The only container of its pods."""
    (only,) = Many.validate_python(pod(name)["containers"])
    return only


def environment(name: str) -> dict[str, dict[str, object]]:
    """What stands in the manifest itself, by the variable's name."""
    return {str(one["name"]): one for one in Many.validate_python(container(name)["env"])}


def settings_file() -> dict[str, str]:
    """The settings that all processes get."""
    lines = (FOLDER / "settings.env").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def in_compose(name: str) -> dict[str, object]:
    """What compose gives the process of that name."""
    return Options.validate_python(COMPOSE_SERVICES[name]["environment"])


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("named", OBJECTS)
def test_the_cluster_knows_every_field(named: str, version: str) -> None:
    """A misspelled one would be dropped without a word."""
    kubernetes_validate.validate(OBJECTS[named], version, strict=True)


def test_a_misspelled_field_is_found() -> None:
    """Which is what the test above is for."""
    spec = {**Options.validate_python(deployment("beat")["spec"]), "replica": 1}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**deployment("beat"), "spec": spec}, OLDEST, strict=True)


def test_every_file_is_named() -> None:
    """One that is not would never be applied."""
    files = {path.name for path in FOLDER.iterdir() if path.is_file()}
    named = set(TypeAdapter(list[str]).validate_python(KUSTOMIZATION["resources"]))
    assert files == named | {"kustomization.yaml", "settings.env"}
    kinds = {named.split()[0] for named in OBJECTS}
    assert kinds == {
        "Namespace", "Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Service",
        "NetworkPolicy",
    }  # fmt: skip
    assert {name.removeprefix("Deployment griot-") for name in OBJECTS if "Deployment" in name} == {
        *OURS
    }


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_makes_the_same_objects() -> None:
    """With the image's tag and the settings put in; it asks no cluster."""
    done = subprocess.run(
        (str(shutil.which("kubectl")), "kustomize", str(FOLDER)),
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    made = [Options.validate_python(one) for one in yaml.safe_load_all(done.stdout)]
    (settings,) = [one for one in made if one["kind"] == "ConfigMap"]
    assert settings["data"] == settings_file()
    assert {f"{one['kind']} {at(one, 'metadata', 'name')}" for one in made} - set(OBJECTS) == {
        f"ConfigMap {at(settings, 'metadata', 'name')}"
    }
    assert done.stdout.count("image: griot:") == len(OURS)
    assert done.stdout.count(f"name: {at(settings, 'metadata', 'name')}\n") == len(OURS) + 1


@pytest.mark.parametrize("name", OURS)
def test_the_processes_are_those_of_compose(name: str) -> None:
    """The same command, image, user and memory."""
    assert container(name)["command"] == COMPOSE_SERVICES[name]["command"]
    tag = at(KUSTOMIZATION, "images", 0, "newTag")
    assert str(COMPOSE_SERVICES[name]["image"]) == f"griot:${{GRIOT_VERSION:-{tag}}}"
    assert container(name)["image"] == at(KUSTOMIZATION, "images", 0, "name") == "griot"
    user, group = str(COMPOSE_SERVICES[name]["user"]).split(":")
    assert at(pod(name), "securityContext", "runAsUser") == int(user)
    assert at(pod(name), "securityContext", "runAsGroup") == int(group)
    limits = Options.validate_python(at(COMPOSE_SERVICES[name], "deploy", "resources", "limits"))
    given = Options.validate_python(at(container(name), "resources", "limits"))
    assert str(given["memory"]).lower() == f"{limits['memory']}i"
    assert cores(given["cpu"]) == cores(limits["cpus"])


def cores(amount: object) -> float:
    """Processors, however they are written."""
    text = str(amount)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


@pytest.mark.parametrize("name", OURS)
def test_each_process_is_the_user_at_redis_that_it_is_in_compose(name: str) -> None:
    """With the password of the same name; none has the administrator's."""
    given = environment(name)
    assert given["REDIS_USERNAME"]["value"] == in_compose(name)["REDIS_USERNAME"]
    key = at(given["REDIS_PASSWORD"], "valueFrom", "secretKeyRef", "key")
    assert str(in_compose(name)["REDIS_PASSWORD"]).startswith(f"${{{key}:-")
    assert key != "REDIS_PASSWORD"


@pytest.mark.parametrize("name", OURS)
def test_a_variable_is_one_that_the_process_knows(name: str) -> None:
    """A setting, or one of Flower's that compose gives it too; a secret comes from the Secret."""
    for variable, one in environment(name).items():
        assert variable in FIELDS or (name == "flower" and variable in in_compose(name))
        is_secret = variable == "FLOWER_BASIC_AUTH" or (
            variable in FIELDS and reference.is_secret(FIELDS[variable])
        )
        assert is_secret == ("valueFrom" in one), variable
    assert {one for one in in_compose(name) if one.startswith("FLOWER_")} == {
        one for one in environment(name) if one.startswith("FLOWER_")
    }
    assert container(name)["envFrom"] == [{"configMapRef": {"name": "griot-settings"}}]


def test_the_settings_of_all_are_settings_and_no_secrets() -> None:
    """And none that is said elsewhere: by the image, or for one process."""
    generated = Many.validate_python(KUSTOMIZATION["configMapGenerator"])
    assert generated == [{"name": "griot-settings", "envs": ["settings.env"]}]
    for name in settings_file():
        assert name in FIELDS, name
        assert not reference.is_secret(FIELDS[name]), name
        assert name not in {"LOG_FILE", "WORKER_ALIVE_FILE", "REDIS_USERNAME"}
    commented = re.findall(r"^# (\w+)=(\S+)$", (FOLDER / "settings.env").read_text(), re.MULTILINE)
    ((name, path),) = commented
    assert name == "AGENT_PROFILES"
    mounted = {
        str(one["mountPath"]) for one in Many.validate_python(container("worker")["volumeMounts"])
    }
    assert str(Path(path).parent) in mounted


@pytest.mark.parametrize("name", OURS)
def test_a_pod_is_confined(name: str) -> None:
    """Not root, nothing to write to but /tmp, no capability, no token of the cluster."""
    assert at(pod(name), "securityContext", "runAsNonRoot") is True
    assert at(pod(name), "securityContext", "seccompProfile", "type") == "RuntimeDefault"
    assert pod(name)["automountServiceAccountToken"] is False
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    volumes = {str(one["name"]): one for one in Many.validate_python(pod(name)["volumes"])}
    writable = [
        one
        for one in Many.validate_python(container(name)["volumeMounts"])
        if not one.get("readOnly")
    ]
    assert [one["mountPath"] for one in writable] == ["/tmp"]  # noqa: S108  # its own
    assert at(volumes["tmp"], "emptyDir", "medium") == "Memory"
    labels = at(OBJECTS["Namespace griot"], "metadata", "labels")
    assert labels == {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.mark.parametrize("name", ["worker", "maintenance", "beat"])
def test_a_process_is_ready_when_compose_calls_it_healthy(name: str) -> None:
    """And is started anew only when it has done nothing for much longer: Redis may be away."""
    check = TypeAdapter(list[str]).validate_python(
        at(COMPOSE_SERVICES[name], "healthcheck", "test")
    )
    ready = TypeAdapter(list[str]).validate_python(
        at(container(name), "readinessProbe", "exec", "command")
    )
    assert ready == ["sh", "-c", check[1].replace("$$", "$")]
    lives = str(at(container(name), "livenessProbe", "exec", "command", 2))
    assert lives == ready[2].replace("-mmin -0.5", "-mmin -5")
    assert int(str(at(container(name), "livenessProbe", "initialDelaySeconds"))) >= 5 * 60


@pytest.mark.parametrize("name", ["flower", "gateway"])
def test_a_page_is_ready_when_compose_calls_it_healthy(name: str) -> None:
    """The same path, and its service leads there."""
    check = str(at(COMPOSE_SERVICES[name], "healthcheck", "test"))
    port = at(container(name), "ports", 0, "containerPort")
    shown = check.replace('{os.environ["GATEWAY_PORT"]}', str(port))
    for probe in ("readinessProbe", "livenessProbe"):
        path = at(container(name), probe, "httpGet", "path")
        assert f"http://127.0.0.1:{port}{path}" in shown
    spec = OBJECTS[f"Service griot-{name}"]["spec"]
    assert at(spec, "selector") == labels_of(name)
    assert at(spec, "ports", 0, "port") == port


def test_the_gateway_listens_where_its_service_leads() -> None:
    """In the pod's network, so that it asks for keys; on the port of the settings."""
    given = environment("gateway")
    assert given["GATEWAY_HOST"]["value"] == in_compose("gateway")["GATEWAY_HOST"]
    port = FIELDS["GATEWAY_PORT"].default
    assert given["GATEWAY_PORT"]["value"] == str(port)
    assert at(container("gateway"), "ports", 0, "containerPort") == port


@pytest.mark.parametrize("name", ["worker", "maintenance"])
def test_a_stopping_worker_is_given_more_time_than_it_needs(name: str) -> None:
    """As much as in compose."""
    grace_s = int(str(pod(name)["terminationGracePeriodSeconds"]))
    assert grace_s >= QueueSettings.model_fields["drain_s"].default + 10
    assert COMPOSE_SERVICES[name]["stop_grace_period"] == f"${{WORKER_STOP_GRACE:-{grace_s}s}}"


def labels_of(name: str) -> Mapping[str, str]:
    """What its pods are found by."""
    found = at(deployment(name), "spec", "template", "metadata", "labels")
    return TypeAdapter(dict[str, str]).validate_python(found)


@pytest.mark.parametrize("name", OURS)
def test_a_deployment_finds_its_own_pods(name: str) -> None:
    """And no other's."""
    assert at(deployment(name), "spec", "selector", "matchLabels") == labels_of(name)
    assert labels_of(name)["app.kubernetes.io/component"] == name


def test_the_workers_are_scaled_by_processor_time() -> None:
    """By nothing else, and nobody else says how many there are."""
    spec = OBJECTS["HorizontalPodAutoscaler griot-worker"]["spec"]
    assert at(spec, "scaleTargetRef", "name") == at(deployment("worker"), "metadata", "name")
    assert at(spec, "metrics", 0, "resource", "name") == "cpu"
    assert "cpu" in Options.validate_python(at(container("worker"), "resources", "requests"))
    assert "replicas" not in Options.validate_python(deployment("worker")["spec"])
    least = int(str(at(spec, "minReplicas")))
    kept = OBJECTS["PodDisruptionBudget griot-worker"]["spec"]
    assert 0 < int(str(at(kept, "minAvailable"))) < least, "a node can be drained"
    assert at(kept, "selector", "matchLabels") == labels_of("worker")


def test_the_workers_can_be_scaled_by_what_waits() -> None:
    """In the place of the other autoscaler, and beside processor time; the adapter makes the name
    that is asked for, of metrics that there are (test_monitoring_stack.py)."""
    (asked, *rest) = Many.validate_python(at(WAITING, "spec", "metrics"))
    scaled = OBJECTS["HorizontalPodAutoscaler griot-worker"]
    assert at(WAITING, "metadata") == at(scaled, "metadata")
    others = dict(Options.validate_python(scaled["spec"]))
    assert rest == others.pop("metrics")
    assert others.items() <= Options.validate_python(WAITING["spec"]).items()
    rules = yaml.safe_load((FOLDER / "waiting-jobs" / "adapter-values.yaml").read_text("utf-8"))
    (rule,) = rules["rules"]["external"]
    assert at(asked, "external", "metric", "name") == at(rule, "name", "as")
    kustomization = yaml.safe_load((FOLDER / "waiting-jobs/kustomization.yaml").read_text("utf-8"))
    assert kustomization["kind"] == "Component"
    assert kustomization["patches"] == [{"path": "autoscaler.yaml"}]


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_the_cluster_knows_every_field_of_the_other_autoscaler(version: str) -> None:
    """As of all others."""
    kubernetes_validate.validate(WAITING, version, strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_puts_the_other_autoscaler_in_place(tmp_path: Path) -> None:
    """With the one line that the docs have."""
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    with (tmp_path / "kubernetes" / "kustomization.yaml").open("a", encoding="utf-8") as file:
        file.write("components: [waiting-jobs]\n")
    done = subprocess.run(
        (str(shutil.which("kubectl")), "kustomize", str(tmp_path / "kubernetes")),
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    made = [Options.validate_python(one) for one in yaml.safe_load_all(done.stdout)]
    (scaler,) = [one for one in made if one["kind"] == "HorizontalPodAutoscaler"]
    assert scaler["spec"] == WAITING["spec"]


@pytest.mark.parametrize("name", ["worker", "maintenance", "beat", "gateway"])
def test_a_pod_shows_its_metrics_where_the_settings_say(name: str) -> None:
    """On the port of that name, by which Prometheus finds it."""
    ports = {str(one["name"]): one for one in Many.validate_python(container(name)["ports"])}
    assert str(ports["metrics"]["containerPort"]) == settings_file()["METRICS_PORT"]
    assert settings_file()["METRICS_HOST"] == "0.0.0.0"  # noqa: S104  # of its pod


def test_there_is_never_a_second_beat() -> None:
    """Not even while it is updated."""
    assert at(deployment("beat"), "spec", "replicas") == 1
    assert at(deployment("beat"), "spec", "strategy", "type") == "Recreate"


def test_nobody_is_let_in_but_where_the_policies_say_and_only_workers_reach_the_models() -> None:
    """As in compose; the ports are those of the settings."""
    policies = {name: one["spec"] for name, one in OBJECTS.items() if "NetworkPolicy" in name}
    everybody, worker = (policies[f"NetworkPolicy {name}"] for name in ("griot", "griot-worker"))
    gateway = policies["NetworkPolicy griot-gateway"]
    metrics = policies["NetworkPolicy griot-metrics"]
    assert len(policies) == 4
    assert at(metrics, "ingress", 0, "from", 0, "namespaceSelector", "matchLabels") == {
        "griot-metrics": "prometheus"
    }
    assert str(at(metrics, "ingress", 0, "ports", 0, "port")) == settings_file()["METRICS_PORT"]
    assert at(gateway, "policyTypes") == ["Ingress"]
    assert at(gateway, "podSelector", "matchLabels") == labels_of("gateway")
    (entry,) = Many.validate_python(at(gateway, "ingress"))
    assert entry["from"] == [{"namespaceSelector": {"matchLabels": {"griot-gateway": "client"}}}], (
        "a namespace is named before anyone of it is let in"
    )
    assert at(entry, "ports", 0, "port") == FIELDS["GATEWAY_PORT"].default
    selected = TypeAdapter(dict[str, str]).validate_python(
        at(everybody, "podSelector", "matchLabels")
    )
    assert all(selected.items() <= labels_of(name).items() for name in OURS)
    assert at(everybody, "policyTypes") == ["Ingress", "Egress"]
    assert at(everybody, "ingress") == []
    ports = {one["port"] for rule in Many.validate_python(at(everybody, "egress")) for one in
        Many.validate_python(rule["ports"])}  # fmt: skip
    assert ports == {53, FIELDS["REDIS_PORT"].default}
    assert at(worker, "podSelector", "matchLabels") == labels_of("worker")
    models = at(worker, "egress", 0, "ports", 0, "port")
    assert settings_file()["OLLAMA_BASE_URL"].endswith(f":{models}")
