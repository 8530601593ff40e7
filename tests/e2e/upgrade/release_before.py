"""The release before: its packages, unpacked, and processes of it beside those of this one.

`before.tar.xz` is what its users have: `git archive COMMIT agents children celeryconfig.py griot.py
llm memory tasks telemetry webhooks worker | xz -9e`. Who makes a release puts it there.
"""

import json
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.process import ServerProcess
from sandbox.stack import READY_TIMEOUT_S, GriotStack
from tests.support.machine import scaled

PACKED = Path(__file__).with_name("before.tar.xz")
WORKER = ("-m", "celery", "-A", "worker", "worker", "-c", "20")
SEND = """
import json, sys
from tasks import chat_task
for job in json.load(sys.stdin):
    chat_task.apply_async(kwargs=job["kwargs"], task_id=job["task_id"])
"""
"""What a service of the release before does."""


@dataclass(frozen=True)
class ReleaseBefore:
    """The packages of the release before in `folder`."""

    folder: Path
    stack: GriotStack

    @classmethod
    def unpacked(cls, folder: Path, stack: GriotStack) -> "ReleaseBefore":
        """Unpack them."""
        with tarfile.open(PACKED) as packed:
            packed.extractall(folder, filter="data")
        return cls(folder, stack)

    def worker(self, name: str) -> ServerProcess:
        """A started worker of the release before."""
        process = ServerProcess(
            (sys.executable, *WORKER, "--hostname", f"{name}@%h"),
            log_path=self.stack.directory / f"{name}.log",
            cwd=self.stack.directory,
            env=self._env("worker"),
            name=name,
        ).start()
        process.wait_ready(lambda: " ready." in process.log_text(), READY_TIMEOUT_S)
        return process

    def send(self, jobs: Sequence[Mapping[str, object]]) -> None:
        """Send jobs from a service that has the release before."""
        subprocess.run(
            (sys.executable, "-c", SEND),
            input=json.dumps(jobs).encode(),
            cwd=self.folder,
            env=self._env("producer"),
            timeout=scaled(60),
            check=True,
        )

    def _env(self, role: str) -> dict[str, str]:
        # Before what is installed, which is this release.
        return {**self.stack.env_of(role), "PYTHONPATH": str(self.folder)}
