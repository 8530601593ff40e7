"""Griot's wheel, built and installed into an empty environment.

The environment finds what Griot needs in the one that runs the tests, but not Griot itself: that
has to come from the wheel.
"""

import json
import os
import subprocess
import sys
import sysconfig
import textwrap
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.machine import scaled

TIMEOUT_S = 30.0
NO_SUCH_REDIS = "redis://127.0.0.1:1/0"


@dataclass(frozen=True)
class Environment:
    """A virtual environment with Griot's wheel in it."""

    wheel: Path
    directory: Path

    def run(
        self, *command: str, cwd: Path, timeout_s: float = TIMEOUT_S
    ) -> "subprocess.CompletedProcess[str]":
        """One of its commands, with its output."""
        plain = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
        return subprocess.run(
            (self.directory / "bin" / command[0], *command[1:]),
            env={**plain, "REDIS_URL": NO_SUCH_REDIS, "PATH": os.defpath},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=scaled(timeout_s),
            check=False,
        )

    def told(self, program: str, cwd: Path) -> Mapping[str, object]:
        """What a program in the folder `cwd` assigns to `told`."""
        code = f"{textwrap.dedent(program)}\nimport json; print(json.dumps(told))"
        done = self.run("python", "-c", code, cwd=cwd)
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found


def installed(source: Path, directory: Path) -> Environment:
    """An environment with the wheel of these sources."""
    build = (sys.executable, "-m", "hatchling", "build", "--target", "wheel")
    subprocess.run((*build, "--directory", directory / "dist"), cwd=source, check=True)
    (wheel,) = (directory / "dist").iterdir()
    environment = Environment(wheel, directory / "venv")
    venv.create(environment.directory, with_pip=False, symlinks=True)
    python = environment.directory / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check")
    options = ("--quiet", "--no-index", "--no-deps", "--no-compile")
    subprocess.run((*pip, "install", *options, str(wheel)), check=True)
    # A folder of a .pth file is on the path after Griot, and its own .pth files do not count: one
    # of them leads to this checkout.
    (site,) = environment.directory.glob("lib/python*/site-packages")
    (site / "what_griot_needs.pth").write_text(sysconfig.get_path("purelib"))
    return environment
