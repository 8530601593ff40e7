"""The hooks of pre-commit are the commands of `make check`, and come from nowhere else."""

import shlex
import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
MAKE = shutil.which("make") or "make"
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]


def test_the_hooks_are_the_commands_of_make_check() -> None:
    """In their order: what passes the hooks passes that part of CI."""
    printed = subprocess.run(
        (MAKE, "--no-print-directory", "--dry-run", "--old-file", ".venv/.installed", "check"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    commands = [shlex.split(line) for line in printed.stdout.splitlines()]
    entries = [shlex.split(hook["entry"]) for repo in HOOKS for hook in repo["hooks"]]
    in_shell = [shlex.split(entry[2]) if entry[:2] == ["sh", "-c"] else entry for entry in entries]
    assert in_shell == commands


def test_the_hooks_are_local() -> None:
    """Nothing is fetched for them: they run what is locked."""
    assert [repo["repo"] for repo in HOOKS] == ["local"]
    assert {hook["language"] for repo in HOOKS for hook in repo["hooks"]} == {"system"}
