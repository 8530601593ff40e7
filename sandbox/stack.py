"""Griot's own processes on this machine: worker, maintenance worker, beat, Flower."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from sandbox.context import Closing
from sandbox.ports import free_port
from sandbox.process import ServerProcess, Starter, started
from sandbox.users import Users

READY_TIMEOUT_S = 30.0
STOP_GRACE_S = 30.0
OPERATOR = "operator"
"""The role of commands; that of a process is its Celery command, or `maintenance`."""

OURS = (
    "REDIS_",
    "OLLAMA_",
    "LLM_",
    "AGENT_",
    "SUPERVISOR_",
    "CELERY_",
    "CHAT_",
    "WORKER_",
    "HISTORY_",
    "MEMORY_",
    "METRICS_",
    "LOG_",
    "FLOWER_",
    "GATEWAY_",
    "WEBHOOK_",
    "OTEL_",
    "TRACE_",
    "GRIOT_ENCRYPTION_",
)
"""What the names of Griot's settings begin with."""


class GriotStack(Closing):
    """Starts Griot's processes with one environment; leaving the context stops them all.

    `settings` are environment variables on top of the parent's own, from which everything that
    configures Griot is taken out, so that a stack is what its arguments say. Logs go to
    `directory`, one file per process.
    """

    def __init__(
        self,
        directory: Path,
        *,
        redis_url: str,
        ollama_url: str,
        settings: Mapping[str, str] | None = None,
        users: Users | None = None,
        starter: Starter = started,
    ) -> None:
        """`users` are those of the environment, if it has any; `starter` starts each process."""
        self.directory = directory
        self._starter = starter
        self._users = users or Users.of_environment()
        self._plain_env = {
            **_neutral_environment(),
            "REDIS_URL": redis_url,
            "OLLAMA_BASE_URL": ollama_url,
            "LOG_FILE": "",
            # The scenarios of the stand-in are models, and jobs name them.
            "CHAT_ALLOWED_MODELS": "*",
            **(settings or {}),
        }
        self.env = self.env_of(OPERATOR)
        """What commands get that work beside these processes."""
        self._processes: list[ServerProcess] = []

    def env_of(self, role: str) -> dict[str, str]:
        """The same for what works in another role."""
        return self._logged_in(self._plain_env, role)

    def worker(self, *options: str, name: str = "worker", **settings: str) -> ServerProcess:
        """A started worker that consumes the chat queues; `options` as of `griot worker`."""
        process = self._celery(
            "worker", "--hostname", f"{name}@%h", *options, name=name, **settings
        )
        return self.start_again(process)

    def start_again(self, worker: ServerProcess) -> ServerProcess:
        """The same worker, started once more after its end; returns when it is ready."""
        seen_chars = len(worker.log_text())
        worker.start()
        worker.wait_ready(lambda: " ready." in worker.log_text()[seen_chars:], READY_TIMEOUT_S)
        return worker

    def maintenance(self, name: str = "maintenance", **settings: str) -> ServerProcess:
        """A started worker for the maintenance queue."""
        return self.worker("-Q", "maintenance", "-c", "4", name=name, **settings)

    def beat(self, *options: str, **settings: str) -> ServerProcess:
        """A started beat; `options` are those of `griot beat`."""
        process = self._celery("beat", *options, name="beat", **settings).start()
        process.wait_ready(lambda: "beat: Starting" in process.log_text(), READY_TIMEOUT_S)
        return process

    def flower(self, port: int | None = None, **settings: str) -> tuple[ServerProcess, str]:
        """A started Flower, `celery -A worker flower` as it is, and its address on this machine.

        Its API answers only with FLOWER_BASIC_AUTH (`user:password`) among the settings.
        """
        port = port or free_port()
        process = self._celery("flower", name="flower", **{"FLOWER_PORT": str(port), **settings})
        seen_bytes = len(process.log_text())
        process.start()
        process.wait_ready(
            lambda: "Visit me at" in process.log_text()[seen_bytes:], READY_TIMEOUT_S
        )
        return process, f"http://127.0.0.1:{port}"

    def gateway(
        self, port: int | None = None, name: str = "gateway", **settings: str
    ) -> tuple[ServerProcess, str]:
        """A started gateway, `griot serve` as it is, and its address on this machine."""
        port = port or free_port()
        process = self._process(
            ("-m", "worker.cli", "serve"), name, "gateway", GATEWAY_PORT=str(port), **settings
        )
        seen_bytes = len(process.log_text())
        process.start()
        process.wait_ready(
            lambda: "Uvicorn running on" in process.log_text()[seen_bytes:], READY_TIMEOUT_S
        )
        return process, f"http://127.0.0.1:{port}"

    @property
    def processes(self) -> tuple[ServerProcess, ...]:
        """All processes so far, in the order of their start."""
        return tuple(self._processes)

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Stop everything, last started first."""
        while self._processes:
            self._processes.pop().stop(grace_s)

    def close(self) -> None:
        """Stop everything, with the usual grace."""
        self.stop()

    def _celery(self, *arguments: str, name: str, **settings: str) -> ServerProcess:
        role = "maintenance" if "maintenance" in arguments else arguments[0]
        # Flower is a command of Celery's own; the others are ours.
        program = ("celery", "-A", "worker") if arguments[0] == "flower" else ("griot",)
        command = ("-m", *program, *arguments)
        return self._process(command, name, role, **settings)

    def _process(
        self, command: tuple[str, ...], name: str, role: str, **settings: str
    ) -> ServerProcess:
        process = ServerProcess(
            (sys.executable, *command),
            log_path=self.directory / f"{name}.log",
            cwd=self.directory,
            env=self._logged_in({**self._plain_env, **settings}, role),
            name=name,
            starter=self._starter,
        )
        self._processes.append(process)
        return process

    def _logged_in(self, env: Mapping[str, str], role: str) -> dict[str, str]:
        return dict(env) if self._users is None else self._users.environment(env, role)


def _neutral_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
