"""The servers that `griot demo` and `griot up --sandbox` start where there are none."""

import sys
from contextlib import ExitStack
from pathlib import Path

from llm import LLMSettings
from memory import MemorySettings
from memory.redis.endpoint import Endpoint, endpoint
from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.valkey import ValkeyServer
from worker.cli.group import CommandFailed
from worker.model_servers import LOOPBACK

STAND_IN_READY_S = 20.0
TOKEN_S = 0.02
"""Seconds per token of the stand-in: slow enough to be seen."""


def start_stand_in(
    directory: Path, settings: LLMSettings, cleanup: ExitStack, port: int | None = None
) -> str:
    """The address of a stand-in for Ollama on loopback, started here and stopped by `cleanup`.

    Raises SandboxError.
    """
    port = port or free_port()
    process = ServerProcess(
        (
            sys.executable,
            *("-m", "sandbox.ollama", "--port", str(port)),
            *("--token-s", str(TOKEN_S), "--model", settings.model),
        ),
        log_path=directory / "ollama.log",
        name="ollama-stand-in",
    )
    seen = len(process.log_text())
    cleanup.enter_context(process)
    process.wait_ready(lambda: "listening on" in process.log_text()[seen:], STAND_IN_READY_S)
    return f"http://127.0.0.1:{port}"


def embedded_redis(settings: MemorySettings, directory: Path) -> ValkeyServer:
    """A Valkey, not started yet, where the settings expect Redis; its data go below `directory`."""
    match endpoint(settings):
        case Endpoint(mode="single", options={"host": host, "port": int(port), **more}) if (
            host in LOOPBACK and "ssl" not in more
        ):
            password = str(more["password"]) if more.get("password") else None
            # A directory for each port: two servers on one would ruin each other's data.
            data = directory.resolve() / f"valkey-{port}"
            return ValkeyServer(port, data, append_only="everysec", password=password)
    raise CommandFailed(
        "--sandbox starts a Redis on this machine only, but the settings name another"
    )
