"""A process that has imported the libraries, and forks what is asked for: a Python that is warm.

Hundreds of processes are started in a run of the tests, and each took a second of a core to import
the same libraries. A forked one ends as any Python does; of what is Griot's own it imports itself
all that looks at the environment as it is imported.

    python fork_server.py REQUESTS_FD LIFE_FD

Each datagram at the socket REQUESTS_FD, which all processes of a run share, is a request (JSON:
`argv` as behind `python`, `env`, `cwd`) with four file descriptors: standard input, output and
error, and a socket that gets two lines: the process id, and the status at the end as `waitpid` has
it. The server ends as soon as LIFE_FD can be read: whoever started it has ended.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import CodeType

MOST_BYTES = 1_000_000
MOST_FDS = 4096

# Not `celery.bin.celery`: that it is imported tells Griot that it is in Celery's command line.
LIBRARIES = (
    "aiohttp",
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
    "httpx",
    "jsonschema_rs",
    "kombu.pidbox",
    "kombu.transport.redis",
    "kombu.transport.virtual",
    "logging.config",
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
    "uvicorn.protocols.http.h11_impl",
    "uvloop",
    "yaml",
)
OURS = ("agents", "children", "llm", "memory", "tasks", "telemetry", "webhooks")
"""Read their settings when they are used; `worker` does as it is imported. See also `renew`."""


def modules_of_ours() -> Iterator[str]:
    """All of them: the packages themselves load most by need."""
    for name in OURS:
        yield name
        path = importlib.import_module(name).__path__
        yield from (one.name for one in pkgutil.walk_packages(path, f"{name}."))


def serve(requests: socket.socket, life_fd: int) -> dict[str, object]:
    """Fork one process for each request; returns in each of them, with its request."""
    running: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as waiting:
        waiting.register(requests, selectors.EVENT_READ)
        waiting.register(life_fd, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fd == life_fd:
                    shutil.rmtree(Path(requests.getsockname()).parent)
                    os._exit(0)
                if key.fileobj is not requests:
                    waiting.unregister(key.fileobj)
                    _report_end(*running.pop(key.fd))
                    os.close(key.fd)
                    continue
                message, fds, _, _ = socket.recv_fds(requests, MOST_BYTES, 4)
                pid = os.fork()
                if pid == 0:
                    _take_over(*fds)
                    request: dict[str, object] = json.loads(message)
                    return request
                for fd in fds[:3]:
                    os.close(fd)
                asker = socket.socket(fileno=fds[3])
                end = os.pidfd_open(pid)
                running[end] = pid, asker
                waiting.register(end, selectors.EVENT_READ)


def _report_end(pid: int, asker: socket.socket) -> None:
    _, status = os.waitpid(pid, 0)
    with suppress(OSError):  # who asked may have gone
        asker.sendall(b"%d\n" % status)
    asker.close()


def _take_over(*fds: int) -> None:
    *streams, asker = fds
    os.setsid()
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
    # Only now: who asked may signal the group at once.
    os.write(asker, b"%d\n" % os.getpid())
    os.closerange(3, MOST_FDS)


def renew() -> None:
    """Make again what `tasks` makes for each process as it is imported."""
    points = sys.modules["tasks.process.crash_points"]
    vars(points)["_fuse"] = vars(points)["_fuse_of"](os.environ.get(vars(points)["VARIABLE"], ""))
    vars(sys.modules["tasks.attempt.retry"])["_RNG"].seed()


def become(request: dict[str, object]) -> None:
    """Be `python` with these arguments, in this environment."""
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]  # text by text
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


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))
    for name in (*LIBRARIES, *modules_of_ours()):
        importlib.import_module(name)
    # Nobody has to look through this for garbage, nor to copy it for that.
    gc.freeze()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    requests_fd, life_fd = map(int, sys.argv[1:])
    become(serve(socket.socket(fileno=requests_fd), life_fd))
