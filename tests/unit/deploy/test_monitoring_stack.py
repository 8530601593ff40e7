"""What Prometheus and Grafana are given by compose and by Kubernetes. tests/compose shows the first
on a real engine."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.metrics.prometheus import needs_prometheus
from tests.support.metrics.promql import unknown_names
from tests.support.source_tree import ROOT

MONITORING = ROOT / "deploy" / "monitoring"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
OURS = ("worker", "maintenance", "beat", "gateway")


def configuration(**settings: str) -> str:
    """What the container of Prometheus makes of its environment."""
    done = subprocess.run(
        ("/bin/sh", str(MONITORING / "prometheus-compose.sh")), env=settings,
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    return done.stdout


def found(text: str) -> set[tuple[str, int]]:
    """The names and ports that are looked up."""
    (job,) = yaml.safe_load(text)["scrape_configs"]
    places = job["dns_sd_configs"]
    return {(name, one["port"]) for one in places for name in one["names"]}


def promtool(*words: str) -> str:
    """What it prints. Fails with that if it fails."""
    done = subprocess.run(
        (str(shutil.which("promtool")), *words), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_in_compose_finds_each_service_that_has_metrics() -> None:
    """On the port that they are told, each under the name that compose gives it. An empty setting
    is none."""
    assert found(configuration()) == {(f"{name}.", 9400) for name in OURS}
    assert COMPOSE["x-settings"]["METRICS_PORT"] == "${METRICS_PORT:-9400}"
    assert set(OURS) <= set(COMPOSE["services"])
    moved = configuration(METRICS_PORT="7000", GATEWAY_PROCESSES="")
    assert found(moved) == {(f"{name}.", 7000) for name in OURS}


def test_each_process_of_a_gateway_is_found() -> None:
    """In one container each takes the next port."""
    several = found(configuration(GATEWAY_PROCESSES="3"))
    assert several - found(configuration()) == {("gateway.", 9401), ("gateway.", 9402)}


def test_the_role_is_the_service() -> None:
    """As the dashboard shows it, without the dot that keeps the host's own domain away."""
    (job,) = yaml.safe_load(configuration())["scrape_configs"]
    (rule,) = job["relabel_configs"]
    matched = re.fullmatch(rule["regex"], "worker.")
    assert matched
    assert (matched[1], rule["target_label"], job["job_name"]) == ("worker", "role", "griot")


@needs_prometheus
def test_prometheus_knows_every_field(tmp_path: Path) -> None:
    """Of compose's file. Debian's cannot look for pods, so of the other one all but that."""
    given = tmp_path / "prometheus.yml"
    given.write_text(configuration(GATEWAY_PROCESSES="2"), "utf-8")
    assert "SUCCESS" in promtool("check", "config", "--syntax-only", str(given))
    text = (MONITORING / "prometheus-kubernetes.yml").read_text("utf-8")
    (job,) = yaml.safe_load(text)["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod", "namespaces": {"names": ["griot"]}}]
    given.write_text(yaml.safe_dump({"scrape_configs": [job]}), "utf-8")
    assert "SUCCESS" in promtool("check", "config", "--syntax-only", str(given))


def test_the_images_have_the_rules_and_the_dashboard() -> None:
    """Where the commands and the provisioning look."""
    image = (ROOT / "deploy" / "prometheus.Dockerfile").read_text("utf-8")
    (rules,) = yaml.safe_load(configuration())["rule_files"]
    assert f"COPY monitoring/rules {Path(rules).parent}\n" in image
    command = " ".join(COMPOSE["services"]["prometheus"]["command"])
    (script,) = re.findall(r"sh (\S+) >", command)
    assert f"COPY monitoring/{Path(script).name} {Path(script).parent}/\n" in image
    image = (ROOT / "deploy" / "grafana.Dockerfile").read_text("utf-8")
    environment = COMPOSE["services"]["grafana"]["environment"]
    assert f"provisioning {environment['GF_PATHS_PROVISIONING']}\n" in image
    folder = MONITORING / "grafana" / "provisioning" / "dashboards" / "griot.yml"
    (provider,) = yaml.safe_load(folder.read_text("utf-8"))["providers"]
    assert f"COPY monitoring/grafana/dashboards {provider['options']['path']}\n" in image
    home = Path(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == provider["options"]["path"]
    assert (MONITORING / "grafana" / "dashboards" / home.name).is_file()


def test_grafana_asks_the_prometheus_beside_it_and_has_no_user() -> None:
    """It shows; nobody can log in, least of all as admin with the password admin."""
    path = MONITORING / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
    (source,) = yaml.safe_load(path.read_text("utf-8"))["datasources"]
    (port,) = COMPOSE["services"]["prometheus"]["ports"]
    assert source["url"] == f"http://prometheus:{port.rpartition(':')[2]}"
    assert source["isDefault"] is True
    environment = COMPOSE["services"]["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    for name in ("GF_AUTH_ANONYMOUS_ENABLED", "GF_AUTH_DISABLE_LOGIN_FORM"):
        assert environment[name] == "true"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"


def adapter_query() -> str:
    """What the adapter asks Prometheus for, in the namespace `griot`."""
    path = ROOT / "deploy" / "kubernetes" / "waiting-jobs" / "adapter-values.yaml"
    (rule,) = yaml.safe_load(path.read_text("utf-8"))["rules"]["external"]
    return str(rule["metricsQuery"]).replace("<<.LabelMatchers>>", 'namespace="griot"')


def test_the_adapter_asks_for_metrics_that_there_are() -> None:
    """With their labels; the namespace is the scraper's."""
    assert unknown_names(adapter_query().replace('namespace="griot"', "")) == []


@needs_prometheus
@pytest.mark.parametrize(
    ("running", "waiters", "waiting"), [(3, 0, 27), (3, 7, 20), (30, 0, 0), (20, 20, 0)]
)
def test_waiting_jobs_are_those_that_a_worker_more_would_help(
    tmp_path: Path, running: int, waiters: int, waiting: int
) -> None:
    """Two maintenance workers say the same; another installation's are not counted."""
    here = 'namespace="griot", instance="{}"'
    series = [
        (f"{name}{{{label}{here.format(one)}}}", value)
        for one in ("a", "b")
        for name, label, value in (
            ("griot_pending_jobs", 'agent="energy", ', 20),
            ("griot_pending_jobs", 'agent="weather", ', 10),
            ("griot_running_turns", "", running),
            ("griot_slot_waiters", 'model="small", ', waiters),
        )
    ]
    series.append(('griot_pending_jobs{agent="energy", namespace="other"}', 500))
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": f"{value}x3"} for name, value in series],
        "promql_expr_test": [
            {
                "expr": adapter_query(),
                "eval_time": "2m",
                "exp_samples": [{"labels": "{}", "value": waiting}],
            }
        ],
    }
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump({"tests": [case]}), "utf-8")
    assert "SUCCESS" in promtool("test", "rules", str(path))
