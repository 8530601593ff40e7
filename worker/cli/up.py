"""`griot up`: all processes of the Procfile, until Ctrl-C."""

from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import click

from llm import LLMSettings
from memory import MemorySettings
from sandbox.valkey import ValkeyServer
from tasks.process.configuration import Settings, load_settings
from worker.cli.console import say
from worker.cli.group import Failed
from worker.cli.procfile import run_procfile
from worker.cli.servers import ollama_trouble, redis_trouble, start_stand_in

PROCFILE = Path(__file__).resolve().parents[2] / "Procfile"
SANDBOX_DIRECTORY = Path(".griot")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@click.command()
@click.option(
    "--sandbox",
    "has_sandbox",
    is_flag=True,
    help="Start an embedded Valkey and a stand-in for Ollama where none answers.",
)
def up(has_sandbox: bool) -> None:
    """Keep worker, maintenance worker, beat and Flower running.

    They are those of the Procfile; if one ends, all are stopped. Ctrl-C stops them in good order:
    running turns are finished within WORKER_DRAIN_SECONDS. With --sandbox nothing else is needed
    on the machine: the embedded Valkey listens where the settings expect Redis and keeps its data
    in ./.griot.

    \b
    Example:
      griot up --sandbox
      REDIS_URL=redis://redis.internal:6379/0 griot up
    """
    settings = load_settings()
    with ExitStack() as cleanup:
        _need_redis(settings.memory, cleanup, has_sandbox=has_sandbox)
        _want_ollama(settings.llm, cleanup, has_sandbox=has_sandbox)
        status = run_procfile(PROCFILE, stop_s=_stop_s(settings))
    if status:
        raise Failed(f"a process ended with status {status}; all were stopped")


def _need_redis(settings: MemorySettings, cleanup: ExitStack, *, has_sandbox: bool) -> None:
    trouble = redis_trouble(settings)
    if trouble is None:
        return
    if not has_sandbox:
        raise Failed(f"{trouble} Start Redis, set REDIS_URL, or try: griot up --sandbox")
    server = _embedded(settings)
    cleanup.callback(server.close)
    server.start()
    say(f"Redis: embedded Valkey on port {server.port}, data in {server.data_dir}")
    if (trouble := redis_trouble(settings)) is not None:
        raise Failed(trouble)


def _want_ollama(settings: LLMSettings, cleanup: ExitStack, *, has_sandbox: bool) -> None:
    trouble = ollama_trouble(settings)
    if trouble is None:
        return
    parts = urlsplit(settings.servers[0])
    is_here = parts.hostname in LOOPBACK and trouble.startswith("no Ollama")
    if not has_sandbox or not is_here:
        say(f"Ollama: {trouble}; jobs will wait for it, or fail")
        return
    process, url = start_stand_in(SANDBOX_DIRECTORY.resolve(), settings, parts.port or 80)
    cleanup.callback(process.stop)
    say(f"Ollama: {trouble}: a stand-in at {url} makes up the replies, there is no model in them")


def _embedded(settings: MemorySettings) -> ValkeyServer:
    """A server where the settings expect one."""
    host, port = settings.host, settings.port
    password = settings.password.get_secret_value() if settings.password else None
    if settings.url is not None:
        parts = urlsplit(settings.url.get_secret_value())
        host, port, password = parts.hostname or "", parts.port or 6379, parts.password
        if parts.scheme != "redis":
            host = ""
    if settings.mode != "single" or host not in LOOPBACK:
        raise Failed("--sandbox starts a Redis on this machine only, but the settings name another")
    # A directory for each port: two servers on one would ruin each other's data.
    directory = SANDBOX_DIRECTORY.resolve() / f"valkey-{port}"
    return ValkeyServer(port, directory, append_only="everysec", password=password)


def _stop_s(settings: Settings) -> float:
    """How long a stopping process may take: a worker drains, then writes what it has."""
    return settings.queue.drain_s + 10.0
