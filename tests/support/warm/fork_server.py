"""A process that has imported the libraries, and forks what is asked for: a Python that is warm.

Hundreds of processes are started in a run of the tests, and each took a second of a core to import
the same libraries. Of what is Griot's own a forked one imports itself all that looks at the
environment as it is imported. It ends as any Python does, but does not take its modules apart
(`end`): that touched each object of the libraries, a tenth of a second of a core.

    python fork_server.py REQUESTS_FD LIFE_FD

Each datagram at the socket REQUESTS_FD, which all processes of a run share, is a request (JSON:
`argv` as behind `python`, `env`, `cwd`, `is_tied`) with four file descriptors: standard input,
output and error, and a socket that gets two lines: the process id, and the status at the end as
`waitpid` has it. One that is tied is killed when whoever asked for it has closed that socket. The
server ends as soon as LIFE_FD can be read: whoever started it has ended.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import secrets
import selectors
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import CodeType, SimpleNamespace

MOST_BYTES = 1_000_000
MOST_FDS = 4096
EXECUTABLE = "TESTS_EXECUTABLE"
"""What a process takes for the path of its Python: see programs.py."""

# Not `celery.bin.celery`: that it is imported tells Griot that it is in Celery's command line.
LIBRARIES = (
    "aiohttp",
    "billiard.pool",
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.log",
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.backends.redis",
    "celery.bin.beat",
    "celery.bin.control",
    "celery.bin.worker",
    "celery.canvas",
    "celery.concurrency.prefork",
    "celery.contrib.abortable",
    "celery.events.state",
    "celery.fixups.django",
    "celery.result",
    "celery.worker.autoscale",
    "celery.worker.consumer",
    "celery.worker.control",
    "click.testing",
    "click_didyoumean",
    "click_plugins",
    "click_repl",
    "cryptography.hazmat.primitives.ciphers.aead",
    "fastapi.applications",
    "fastapi.middleware.cors",
    "fastapi.openapi.docs",
    "flower.command",
    "hiredis",
    "honcho.manager",
    "http.server",
    "httptools",
    "httpx",
    "jsonschema_rs",
    "kombu.pidbox",
    "kombu.transport.redis",
    "kombu.transport.virtual",
    "logging.config",
    "markdown_it",
    "nh3",
    "orjson",
    "pydantic",
    "pydantic.json_schema",
    "pydantic_settings",
    "pygments.lexers.python",
    "redis.asyncio.cluster",
    "redis.asyncio.sentinel",
    "redis.cluster",
    "prompt_toolkit.patch_stdout",
    "pydantic.v1",
    "redis.sentinel",
    "rich.console",
    "rich.live",
    "rich.table",
    "starlette.middleware.trustedhost",
    "uvicorn",
    "uvicorn._subprocess",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.h11_impl",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
    "yaml",
)
OURS = (
    "agents",
    "children",
    "gateway",
    "llm",
    "memory",
    "sandbox",
    "tasks",
    "telemetry",
    "webhooks",
)
"""Read their settings when they are used; `worker` does as it is imported. See also `renew`."""


def modules_of_ours() -> Iterator[str]:
    """All of them: the packages themselves load most by need."""
    for name in OURS:
        yield name
        path = importlib.import_module(name).__path__
        names = (one.name for one in pkgutil.walk_packages(path, f"{name}."))
        yield from (one for one in names if not one.endswith(".__main__"))


class Forks:
    """The processes of this server that have not ended."""

    def __init__(self, requests: socket.socket, life_fd: int) -> None:
        self._requests, self._waiting = requests, selectors.DefaultSelector()
        self._waiting.register(requests, selectors.EVENT_READ, self._fork)
        self._waiting.register(life_fd, selectors.EVENT_READ, self._leave)

    def serve(self) -> dict[str, object]:
        """Fork one process for each request; returns in each of them, with its request."""
        while True:
            for key, _ in self._waiting.select():
                # What was ready may be gone by now, with what came before it.
                if key.fd in self._waiting.get_map() and (asked := key.data()):
                    return dict(asked)

    def _fork(self) -> dict[str, object] | None:
        message, fds, _, _ = socket.recv_fds(self._requests, MOST_BYTES, 4)
        request: dict[str, object] = json.loads(message)
        pid = os.fork()
        if pid == 0:
            _take_over(*fds)
            return request
        for fd in fds[:3]:
            os.close(fd)
        asker, end = socket.socket(fileno=fds[3]), os.pidfd_open(pid)
        self._waiting.register(end, selectors.EVENT_READ, lambda: self._report(pid, end, asker))
        if request.get("is_tied"):
            self._waiting.register(asker, selectors.EVENT_READ, lambda: self._kill(pid, asker))
        return None

    def _kill(self, pid: int, asker: socket.socket) -> None:
        self._waiting.unregister(asker)
        os.kill(pid, signal.SIGKILL)

    def _report(self, pid: int, end: int, asker: socket.socket) -> None:
        _, status = os.waitpid(pid, 0)
        for each in (end, asker):
            with suppress(KeyError):
                self._waiting.unregister(each)
        with suppress(OSError):  # who asked may have gone
            asker.sendall(b"%d\n" % status)
        asker.close()
        os.close(end)

    def _leave(self) -> None:
        shutil.rmtree(Path(self._requests.getsockname()).parent)
        os._exit(0)


def _take_over(*fds: int) -> None:
    *streams, asker = fds
    os.setsid()
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
    # Only now: who asked may signal the group at once.
    os.write(asker, b"%d\n" % os.getpid())
    os.closerange(3, MOST_FDS)


def renew() -> None:
    """Make again what is made for each process as it is imported."""
    points = sys.modules["tasks.process.crash_points"]
    vars(points)["_fuse"] = vars(points)["_fuse_of"](os.environ.get(vars(points)["VARIABLE"], ""))
    for jitter in ("tasks.attempt.retry", "llm.servers.breaker", "memory.redis.failures"):
        vars(sys.modules[jitter])["_RNG"].seed()
    vars(sys.modules["gateway.doors.request_id"])["_PROCESS"] = secrets.token_hex(8)


class ForkedLikewise(ForkProcess):
    """What uvicorn starts anew for each process that serves."""

    def run(self) -> None:
        """Its work."""
        renew()
        super().run()


def become(request: dict[str, object]) -> None:
    """Be `python` with these arguments, in this environment."""
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]  # text by text
    sys.executable = os.environ.get(EXECUTABLE, sys.executable)
    os.chdir(request["cwd"])  # type: ignore[arg-type]  # a text
    renew()
    kind, what, *arguments = request["argv"]  # type: ignore[misc]  # texts
    sys.argv = [kind, *arguments]
    if kind == "-m":
        sys.path[0] = str(Path.cwd())
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = ""
        code: CodeType = compile(what, "<string>", "exec")
        exec(code, {"__name__": "__main__", "__builtins__": __builtins__})  # noqa: S102  # as `-c` does


def end(exited: SystemExit | None) -> None:
    """End as Python does where nothing else was raised; returns where there is something to say,
    which Python itself says best."""
    code = None if exited is None else exited.code
    if not isinstance(code, int | None):
        return
    threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing ends its processes
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):  # it is full, its reader has left, or it is closed
        return
    os._exit((code or 0) & 0xFF)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))
    for name in (*LIBRARIES, *modules_of_ours()):
        importlib.import_module(name)
    vars(sys.modules["uvicorn._subprocess"])["spawn"] = SimpleNamespace(Process=ForkedLikewise)
    # Nobody has to look through this for garbage, nor to copy it for that.
    gc.freeze()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    requests_fd, life_fd = map(int, sys.argv[1:])
    # For good: whenever it were garbage in a forked process, its sockets would close what has their
    # numbers there.
    forks = Forks(socket.socket(fileno=requests_fd), life_fd)
    asked = forks.serve()
    try:
        become(asked)
    except SystemExit as exited:
        end(exited)
        raise
    end(None)
