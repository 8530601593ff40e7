"""A real Prometheus, where Debian's package is installed; none is downloaded."""

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from sandbox.ports import free_port
from sandbox.process import ServerProcess
from tests.support.source_tree import ROOT

MONITORING = ROOT / "deploy" / "monitoring"

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="there is no Prometheus here: apt-get install prometheus",
)


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that runs: `targets` is the folder in which it looks for the addresses of processes."""

    http: httpx.Client
    targets: Path

    def values(self, expression: str) -> list[float]:
        """What each series of an expression is now; those that are no number are left out."""
        answer = self.http.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", (expression, answer)
        found = (float(one["value"][1]) for one in answer["data"]["result"])
        return [value for value in found if math.isfinite(value)]

    def roles(self) -> set[str]:
        """Of which processes it has metrics."""
        answer = self.http.get("/api/v1/targets", params={"state": "active"}).json()
        targets = answer["data"]["activeTargets"]
        return {one["labels"]["role"] for one in targets if one["health"] == "up"}


@contextmanager
def prometheus(folder: Path) -> Iterator[Prometheus]:
    """One with the configuration for one machine, which looks every second."""
    config = folder / "monitoring"
    shutil.copytree(MONITORING / "rules", config / "rules")
    text = (MONITORING / "prometheus.yml").read_text("utf-8")
    for slow in ("15s", "30s"):
        text = text.replace(slow, "1s")
    (config / "prometheus.yml").write_text(text, "utf-8")
    (config / "targets").mkdir()
    program, port = shutil.which("prometheus"), free_port()
    assert program
    process = ServerProcess(
        (
            *(program, f"--config.file={config / 'prometheus.yml'}"),
            *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"),
        ),
        log_path=folder / "prometheus.log",
        cwd=folder,
        name="prometheus",
    )
    url = f"http://127.0.0.1:{port}"
    with process, httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
        process.wait_ready(lambda: _is_ready(http), 30)
        yield Prometheus(http, config / "targets")


def _is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False
