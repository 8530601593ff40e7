"""pytest-celery's nodes over processes of this machine, where it has Docker's containers."""

import signal as signals
import socket

from celery import Celery
from pytest_celery import CeleryTestBackend, CeleryTestBroker, CeleryTestNode, CeleryTestWorker

from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer

STOP_GRACE_S = 5.0


class ProcessNode(CeleryTestNode):  # type: ignore[misc]  # pytest-celery ships no types
    """A node that is one process. `container` is None: there is none."""

    def __init__(self, process: ServerProcess, app: Celery | None = None) -> None:
        super().__init__(None, app)
        self.process = process

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def ready(self) -> bool:
        """Whether the process runs: a node is made of one that has said that it is ready."""
        return self.process.is_running

    def config(self, *_: object, **__: object) -> dict[str, object]:
        """What Celery must be told of this node: nothing."""
        return {}

    def logs(self) -> str:
        """All that it has written so far."""
        return self.process.log_text()

    def name(self) -> str:
        """The name of the process, and of its log file."""
        return self.process.name

    def hostname(self) -> str:
        """The name of this machine."""
        return socket.gethostname()

    def kill(self, signal: str | int = "SIGKILL", reload_container: bool = True) -> None:
        """Send it a signal, by name or number; with SIGKILL its child processes end, too."""
        del reload_container
        number = signals.Signals[signal] if isinstance(signal, str) else signals.Signals(signal)
        if number is signals.SIGKILL:
            self.process.kill()
        else:
            self.process.signal(number)

    def restart(self, reload_container: bool = True, force: bool = False) -> None:
        """End it, at once with `force`, and start it again; returns when it is ready."""
        del reload_container
        self.process.stop(0.0 if force else STOP_GRACE_S)
        self._start()

    def teardown(self) -> None:
        """End it."""
        self.process.stop(STOP_GRACE_S)

    def _start(self) -> None:
        self.process.start()


class _ValkeyNode(ProcessNode):
    def __init__(self, server: ValkeyServer, url: str, app: Celery | None = None) -> None:
        super().__init__(server.process, app)
        self.server = server
        self._url = url

    def config(self, *_: object, **__: object) -> dict[str, object]:
        """Where it is, from here and for the others."""
        return {"url": self._url, "host_url": self._url}

    def _start(self) -> None:
        self.server.start()


class ValkeyBroker(_ValkeyNode, CeleryTestBroker):  # type: ignore[misc]
    """A Valkey with the queues; `server` is the server itself."""


class ValkeyBackend(_ValkeyNode, CeleryTestBackend):  # type: ignore[misc]
    """The same Valkey, with the results."""


class WorkerNode(ProcessNode, CeleryTestWorker):  # type: ignore[misc]
    """One of Griot's workers."""

    def __init__(self, stack: GriotStack, process: ServerProcess, app: Celery | None) -> None:
        super().__init__(process, app)
        self._stack = stack

    @property
    def worker_name(self) -> str:
        """The part of its name before the `@`."""
        return self.process.name

    def _start(self) -> None:
        self._stack.start_again(self.process)
