"""A clone with a `.env`, and what `docker compose` does and shows there."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter

ROOT = Path(__file__).resolve().parents[3]
CONTEXT = ("docker-compose.yml", "Dockerfile", ".dockerignore", "deploy")
"""What compose itself reads; the rest is what .dockerignore lets into the image."""

KEPT = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")
"""The shell's own settings would win over those of `.env`."""

Rows = TypeAdapter(list[dict[str, object]])


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def private_clone(directory: Path) -> Path:
    """What of the repository compose and the images are made from, readable by its owner only."""
    let_in = [
        line[1:]
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line[:1] == "!"
    ]
    skipped = shutil.ignore_patterns("__pycache__", "*.pyc")
    with _umask(0o077):
        directory.mkdir(parents=True)
        # Not in the image, but in a clone.
        for name in (*CONTEXT, *let_in, "sandbox"):
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, directory / name, ignore=skipped)
            else:
                shutil.copyfile(ROOT / name, directory / name)
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    return directory


class Compose:
    """`docker compose` in a folder, with the settings of its `.env`, under a project's name."""

    def __init__(self, directory: Path, project: str, settings: Mapping[str, str]) -> None:
        self.directory = directory
        self.project = project
        self.settings = dict(settings)
        self._env = {name: os.environ[name] for name in KEPT if name in os.environ}

    def run(
        self,
        *words: str,
        timeout_s: float = 600,
        check: bool = True,
        stdin: str | None = None,
        **settings: str,
    ) -> "subprocess.CompletedProcess[str]":
        """`docker compose --project-name … WORDS`, after `settings` have been put into `.env`."""
        self.settings |= settings
        lines = (f"{name}={value}\n" for name, value in self.settings.items())
        (self.directory / ".env").write_text("".join(lines), "utf-8")
        return self.docker(
            "compose", "--project-name", self.project, *words,
            timeout_s=timeout_s, check=check, stdin=stdin,
        )  # fmt: skip

    def docker(
        self, *words: str, timeout_s: float = 120, check: bool = True, stdin: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """`docker WORDS`. Fails with what it has printed, unless `check` is false."""
        done = subprocess.run(
            (shutil.which("docker") or "docker", *words), cwd=self.directory, env=self._env,
            capture_output=True, text=True, timeout=timeout_s, check=False, input=stdin,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, f"docker {' '.join(words)}: {done.stdout}{done.stderr}"
        return done

    def containers(self, *services: str) -> dict[str, dict[str, object]]:
        """All that there is of each container of these services, of all by default, by its id."""
        ids = self.run("ps", "--all", "--quiet", *services).stdout.split()
        found = Rows.validate_json(self.docker("inspect", *ids).stdout) if ids else []
        return {str(one["Id"]): one for one in found}

    def inside(self, container: str, *words: str, check: bool = True) -> str:
        """What a command prints that runs in a container."""
        done = self.docker("exec", container, *words, check=check)
        return done.stdout + done.stderr

    def remove(self) -> None:
        """All containers, networks and volumes of the project."""
        self.run(
            "--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "1", check=False
        )


def part(container: Mapping[str, object], *names: str) -> object:
    """What lies at `names` in what the engine tells of a container."""
    found: object = container
    for name in names:
        found = TypeAdapter(dict[str, object]).validate_python(found)[name]
    return found


def lines_of(text: str) -> list[dict[str, object]]:
    """The JSON objects that a program has printed, one in a line."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
