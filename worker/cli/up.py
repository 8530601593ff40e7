"""`griot up`: all processes of the Procfile, until Ctrl-C."""

from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import click

from llm import LLMSettings
from memory import MemorySettings
from tasks.process.configuration import load_settings
from worker.cli.console import say
from worker.cli.group import CommandFailed
from worker.cli.procfile import run_procfile
from worker.cli.servers import ollama_trouble, redis_trouble
from worker.extras import HAS_SANDBOX, OR_TRY, TO_TRY, needs_sandbox
from worker.model_servers import LOOPBACK

if HAS_SANDBOX:
    from worker.cli.stand_ins import embedded_redis, start_stand_in

_CLI = Path(__file__).resolve().parent
_INSTALLED, _CHECKOUT = _CLI / "Procfile", _CLI.parents[1] / "Procfile"
# A wheel has it beside this module.
PROCFILE = _INSTALLED if _INSTALLED.is_file() else _CHECKOUT
SANDBOX_DIRECTORY = Path(".griot")
WIND_UP_S = 10.0
"""What a stopping worker may take after its drain, to write what it has."""

_HELP = """Keep worker, maintenance worker, beat and Flower running.

They are those of the Procfile; if one ends, all are stopped. Ctrl-C stops them in good order:
running turns are finished within WORKER_DRAIN_SECONDS. {more}

\b
Example:
  {example}REDIS_URL=redis://redis.internal:6379/0 griot up
"""
_SANDBOX = {
    "more": "With --sandbox nothing else is needed on the machine: the embedded Valkey listens "
    "where the settings expect Redis and keeps its data in ./.griot.",
    "example": f"{TO_TRY}\n  ",
}


@click.command(help=_HELP.format_map(_SANDBOX if HAS_SANDBOX else dict.fromkeys(_SANDBOX, "")))
@click.option(
    "--sandbox",
    "has_sandbox",
    is_flag=True,
    hidden=not HAS_SANDBOX,
    help="Start an embedded Valkey and a stand-in for Ollama where none answers.",
)
def up(has_sandbox: bool) -> None:
    """Keep all processes of the Procfile running, and with `has_sandbox` what they need."""
    if has_sandbox and not HAS_SANDBOX:
        raise CommandFailed(needs_sandbox(TO_TRY))
    settings = load_settings()
    with ExitStack() as cleanup:
        _need_redis(settings.memory, cleanup, has_sandbox=has_sandbox)
        _want_ollama(settings.llm, cleanup, has_sandbox=has_sandbox)
        status = run_procfile(PROCFILE, stop_s=settings.queue.drain_s + WIND_UP_S)
    if status:
        raise CommandFailed(f"a process ended with status {status}; all were stopped")


def _need_redis(settings: MemorySettings, cleanup: ExitStack, *, has_sandbox: bool) -> None:
    trouble = redis_trouble(settings)
    if trouble is None:
        return
    if not has_sandbox:
        raise CommandFailed(f"{trouble} Start Redis, or set REDIS_URL{OR_TRY}")
    server = cleanup.enter_context(embedded_redis(settings, SANDBOX_DIRECTORY))
    say(f"Redis: embedded Valkey on port {server.port}, data in {server.data_dir}")
    if (trouble := redis_trouble(settings)) is not None:
        raise CommandFailed(trouble)


def _want_ollama(settings: LLMSettings, cleanup: ExitStack, *, has_sandbox: bool) -> None:
    trouble = ollama_trouble(settings)
    if trouble is None:
        return
    parts = urlsplit(settings.servers[0])
    is_here = parts.hostname in LOOPBACK and trouble.startswith("no Ollama")
    if not has_sandbox or not is_here:
        say(f"Ollama: {trouble}; jobs will wait for it, or fail")
        return
    url = start_stand_in(SANDBOX_DIRECTORY.resolve(), settings, cleanup, parts.port or 80)
    say(f"Ollama: {trouble}: a stand-in at {url} makes up the replies, there is no model in them")
