"""Whether this machine can run docker-compose.yml: `make compose-check`, without an environment.

Prints one line and ends with 0, or with 1 and what is needed.
"""

import re
import shutil
import subprocess
import sys

NEEDED = (2, 26)
"""The oldest Docker Compose that was tried: Debian 13's."""

INSTEAD = "`make up` runs Griot without containers"
TIMEOUT_S = 30


def problem() -> str | None:
    """What is missing, and what to do; None where all is there."""
    if shutil.which("docker") is None:
        return f"docker is not installed; install Docker with Compose {_text(NEEDED)}, or {INSTEAD}"
    told = _said("compose", "version", "--short")
    found = re.match(r"v?(\d+)\.(\d+)", told or "")
    if told is None or found is None:
        return (
            f"docker has no `docker compose`; install Docker Compose {_text(NEEDED)} or newer "
            f"(docker-compose-plugin, or Debian 13's docker-compose), or {INSTEAD}"
        )
    if (int(found[1]), int(found[2])) < NEEDED:
        return f"Docker Compose {told} is too old; install {_text(NEEDED)} or newer, or {INSTEAD}"
    if _said("info", "--format", "{{.ServerVersion}}") is None:
        return "no Docker engine answers; start it (systemctl start docker), or set DOCKER_HOST"
    return None


def _said(*words: str) -> str | None:
    """What docker prints; None where it fails, or says nothing of use in time."""
    try:
        done = subprocess.run(  # noqa: S603  # fixed words
            (shutil.which("docker") or "docker", *words),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else None


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def main() -> None:
    """Say it."""
    if found := problem():
        sys.exit(f"compose: {found}")
    print(
        f"compose: Docker Compose {_said('compose', 'version', '--short')}, and an engine answers"
    )


if __name__ == "__main__":
    main()
