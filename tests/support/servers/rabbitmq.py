"""A real RabbitMQ on this machine, where one is installed: started, killed, started again."""

import os
import shutil
import socket
from pathlib import Path

from sandbox.context import Starting
from sandbox.ports import free_port
from sandbox.process import ServerProcess

HOST = "127.0.0.1"
READY_TIMEOUT_S = 60.0
MEGABYTES_FREE = 50


def rabbitmq_binary() -> Path | None:
    """The server itself where RabbitMQ is on the PATH; None elsewhere.

    Debian's command of that name runs as a user of its own and keeps its data in one place; the
    script that it calls does neither.
    """
    found = shutil.which("rabbitmq-server")
    if found is None or shutil.which("epmd") is None:
        return None
    debian = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    return debian if debian.exists() else Path(found)


class RabbitServer(Starting):
    """One RabbitMQ on a free port of 127.0.0.1, its data in `directory`; the user is `guest`."""

    def __init__(self, directory: Path) -> None:
        """RuntimeError where none is installed."""
        binary = rabbitmq_binary()
        if binary is None:
            raise RuntimeError("no rabbitmq-server on the PATH")
        self.port = free_port()
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        names_port = str(free_port())
        environment = {
            **os.environ,
            "HOME": str(directory),
            "ERL_EPMD_PORT": names_port,
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_NODENAME": f"griot-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_PID_FILE": str(directory / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(self._config()),
        }
        # RabbitMQ would start a name server that outlives it.
        self._names = ServerProcess(
            (shutil.which("epmd") or "epmd", "-port", names_port),
            log_path=directory / "epmd.log",
            env=environment,
        )
        self.process = ServerProcess(
            (binary,), log_path=directory / "rabbitmq.log", cwd=directory, env=environment
        )

    @property
    def url(self) -> str:
        """Its address as Celery has it."""
        return f"amqp://guest:guest@{HOST}:{self.port}//"

    def start(self) -> "RabbitServer":
        """Start it and return when it speaks AMQP. ServerDied or ServerNotReady otherwise."""
        if not self._names.is_running:
            self._names.start()
        self.process.start()
        self.process.wait_ready(self._is_ready, READY_TIMEOUT_S)
        return self

    def kill(self) -> None:
        """SIGKILL: connections break; durable queues and persistent messages stay."""
        self.process.kill()

    def close(self) -> None:
        """Kill it, and what knows its name. Safe to repeat."""
        self.process.kill()
        self._names.kill()

    def _config(self) -> Path:
        path = self._directory / "rabbitmq.conf"
        # A machine of tests may have little room; RabbitMQ would block all who publish.
        path.write_text(
            f"disk_free_limit.absolute = {MEGABYTES_FREE}MB\nlog.console = true\n"
            "collect_statistics_interval = 60000\n"
        )
        return path

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as probe:
                probe.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(probe.recv(1))
        except OSError:
            return False
