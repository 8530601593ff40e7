"""Prometheus' own word on its files: promtool reads them, and plays each alert through."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.machine import scaled
from tests.support.metrics.prometheus import needs_prometheus

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "monitoring"

pytestmark = needs_prometheus


def promtool(*words: str, directory: Path = FOLDER) -> None:
    """Run it; what it says is the reason of a failure."""
    program = shutil.which("promtool")
    assert program
    done = subprocess.run(
        [program, *words],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=scaled(30),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_reads_its_configuration() -> None:
    """And the rules that it names."""
    promtool("check", "config", "prometheus.yml")


@pytest.mark.parametrize(
    "tested", sorted((FOLDER / "rule_tests").glob("*.yml")), ids=lambda path: path.name
)
def test_the_alerts_fire_when_they_should(tested: Path) -> None:
    """And only then: each case of the file holds."""
    promtool("test", "rules", str(tested))
