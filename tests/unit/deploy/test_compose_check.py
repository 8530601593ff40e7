"""`make compose-check` says what is needed before compose fails with words of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
NO_COMPOSE = "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1"

CASES = {
    "docker is not installed": None,
    "docker has no `docker compose`": f'[ "$1" = info ] && echo 28.2.2 || {{ {NO_COMPOSE}; }}',
    "Docker Compose 1.29.2 is too old; install 2.26": "echo 1.29.2",
    "Docker Compose 2.9.0 is too old": "echo 2.9.0",
    "no Docker engine answers": '[ "$1" = compose ] && echo v2.26.1-4',
}
"""What a docker of a machine does, by what is said of it."""


def check(docker: str | None, directory: Path) -> "subprocess.CompletedProcess[str]":
    """The target's command with this docker on the PATH, and no other."""
    if docker is not None:
        (directory / "docker").write_text(f"#!/bin/sh\n{docker}\n", "utf-8")
        (directory / "docker").chmod(0o755)
    return subprocess.run(
        (sys.executable, "-m", "deploy.compose_check"), cwd=ROOT, check=False, text=True,
        env={"PATH": str(directory), "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("said", CASES)
def test_what_is_missing_is_said_with_what_to_do(said: str, tmp_path: Path) -> None:
    """In one line, with an exit status that make sees."""
    done = check(CASES[said], tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"compose: {said}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("version", ["2.26.1-4", "v2.38.2", "5.0.0"])
def test_a_machine_that_has_all_is_told_so(version: str, tmp_path: Path) -> None:
    """Debian's and Docker's own spelling of the version."""
    done = check(f"echo {version}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"compose: Docker Compose {version}, and an engine answers\n"


def test_it_needs_nothing_but_python() -> None:
    """A new clone has no environment yet."""
    text = (ROOT / "deploy" / "compose_check.py").read_text("utf-8")
    imported = {line.split()[1] for line in text.splitlines() if line.startswith("import ")}
    assert imported <= set(sys.stdlib_module_names)
    assert "\nfrom " not in text
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert "compose-check: ##" in makefile
    assert "\n\t@$(PYTHON) -m deploy.compose_check\n" in makefile


def test_where_no_engine_is_the_test_of_the_stack_says_that_it_is_skipped() -> None:
    """Once, with the reason, and with the status of tests that fail where it is not."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipe = re.search(r"^compose-test: .*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe
    shell = recipe[1].replace("\t@", "").replace("$(PYTHON) -m deploy.compose_check", "$CHECK")
    shell = re.sub(r"\$\(BIN\)/pytest .*?;", "$TESTS;", shell)
    for check, tests, status, said in (
        ("false", "false", 0, "make compose-test: skipped, for the reason above\n"),
        ("true", "true", 0, ""),
        ("true", "false", 1, ""),
    ):
        done = subprocess.run(
            ("/bin/sh", "-c", shell), env={"CHECK": check, "TESTS": tests}, capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (status, said)
