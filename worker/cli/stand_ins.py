"""The servers that `griot demo` and `griot up --sandbox` start where there are none."""

import fcntl
import sys
from contextlib import ExitStack
from pathlib import Path

from llm import LLMSettings
from memory import MemorySettings
from memory.redis.endpoint import Endpoint, endpoint
from sandbox.ports import free_port, is_free
from sandbox.process import ServerProcess
from sandbox.valkey import ValkeyServer
from worker.cli.group import CommandFailed
from worker.model_servers import LOOPBACK

SANDBOX_DIRECTORY = Path(".griot")
STAND_IN_READY_S = 20.0
TOKEN_S = 0.02
"""Seconds per token of the stand-in: slow enough to be seen."""
NUM_PARALLEL = 4
"""Replies of the stand-in at once, unless OLLAMA_NUM_PARALLEL says otherwise."""


def start_stand_in(
    directory: Path, settings: LLMSettings, cleanup: ExitStack, port: int | None = None
) -> tuple[str, ServerProcess]:
    """A stand-in for Ollama on loopback and its address, started here and stopped by `cleanup`.

    Raises SandboxError, and CommandFailed where something else has the port.
    """
    if port is not None and not is_free("127.0.0.1", port):
        raise CommandFailed(
            f"port {port} is taken, but not by an Ollama that answers; stop what listens there, or "
            "set OLLAMA_BASE_URL"
        )
    port = port or free_port()
    process = ServerProcess(
        (
            sys.executable,
            *("-m", "sandbox.ollama", "--port", str(port)),
            *("--plain", "--token-s", str(TOKEN_S), "--model", settings.model),
            *("--num-parallel", str(settings.num_parallel or NUM_PARALLEL)),
        ),
        log_path=directory / "ollama.log",
        name="ollama-stand-in",
    )
    seen = len(process.log_text())
    cleanup.enter_context(process)
    process.wait_ready(lambda: "listening on" in process.log_text()[seen:], STAND_IN_READY_S)
    return f"http://127.0.0.1:{port}", process


def redis_where_expected(
    settings: MemorySettings, directory: Path, cleanup: ExitStack, trouble: str
) -> ValkeyServer:
    """A Valkey where the settings expect Redis, stopped by `cleanup`; its data are kept.

    `trouble` says what is wrong with what the settings name. Raises CommandFailed with it where
    something listens there already, or where that is no place on this machine.
    """
    match endpoint(settings):
        case Endpoint(mode="single", options={"host": host, "port": int(port), **more}) if (
            host in LOOPBACK and "ssl" not in more
        ):
            if not is_free("127.0.0.1", port):
                raise CommandFailed(
                    f"port {port} is taken, but not by a Redis that can be used: {trouble}"
                )
            password = str(more["password"]) if more.get("password") else None
            data = data_directory(directory, port)
            if not claim(data, cleanup):
                raise CommandFailed(
                    f"another `griot up` or `griot demo` uses {data}: stop it first"
                )
            server = ValkeyServer(port, data, append_only="everysec", password=password)
            return cleanup.enter_context(server)
    raise CommandFailed(
        f"--sandbox starts a Redis on this machine only, but the settings name another: {trouble}"
    )


def data_directory(directory: Path, port: int) -> Path:
    """Where an embedded Valkey keeps its data: by port, for two servers in one directory would ruin
    each other's."""
    return directory.resolve() / f"valkey-{port}"


def claim(data: Path, cleanup: ExitStack) -> bool:
    """Take a directory of data until `cleanup` or our end. False: another process has it."""
    data.mkdir(parents=True, exist_ok=True)
    lock = cleanup.enter_context((data / "in-use").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
