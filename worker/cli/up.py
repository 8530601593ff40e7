"""`griot up`: all processes of the Procfile, until Ctrl-C."""

import os
import socket
from collections.abc import Container
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import click

from gateway.settings import GatewaySettings
from llm import LLMSettings
from memory import Connection, MemorySettings
from tasks.process.configuration import checked, load_settings
from worker.checks.models import advice_on_other
from worker.cli.console import say
from worker.cli.group import CommandFailed
from worker.cli.next_steps import command
from worker.cli.procfile import commands_of, run_processes
from worker.cli.servers import ECHO, names_own_servers, ollama_trouble, redis_trouble
from worker.extras import HAS_GATEWAY, HAS_SANDBOX, OR_TRY, TO_TRY, needs_sandbox
from worker.model_servers import LOOPBACK
from worker.settings import FlowerAccess, check_process_settings

if HAS_SANDBOX:
    from sandbox.process import ServerProcess
    from worker.cli.stand_ins import SANDBOX_DIRECTORY, redis_where_expected, start_stand_in

_CLI = Path(__file__).resolve().parent
_INSTALLED, _CHECKOUT = _CLI / "Procfile", _CLI.parents[1] / "Procfile"
# A wheel has it beside this module.
PROCFILE = _INSTALLED if _INSTALLED.is_file() else _CHECKOUT
WIND_UP_S = 10.0
"""What a stopping worker may take after its drain, to write what it has."""
Needed = tuple[str, "ServerProcess | None"]
"""A line about a server that is needed, and its process where we have started it."""
SIGNS = {
    "worker": " ready.",
    "maintenance": " ready.",
    "beat": "beat: Starting",
    "flower": "Connected to",
    "gateway": "Uvicorn running on",
}
"""What each process prints when it is ready; Flower without its banner, once it sees the broker."""

_HELP = """Keep worker, maintenance worker, beat, Flower and the gateway running.

They are those of the Procfile; if one ends, all are stopped, and the last line says which and why.
Ctrl-C stops them in good order: running turns are finished within WORKER_DRAIN_SECONDS. {more}

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
    help="Start an embedded Valkey, and an echo in place of Ollama, where none answers.",
)
@click.option(
    "--or-sandbox",
    is_flag=True,
    hidden=not HAS_SANDBOX,
    help="The same, but only where no setting says where Redis or the broker is.",
)
def up(has_sandbox: bool, or_sandbox: bool) -> None:
    """Keep all processes of the Procfile running, and with `has_sandbox` what they need."""
    if has_sandbox and not HAS_SANDBOX:
        raise CommandFailed(needs_sandbox(TO_TRY))
    settings = load_settings()
    check_process_settings()
    if or_sandbox and HAS_SANDBOX and not names_own_servers(settings):
        has_sandbox = True
    commands = {name: _quiet(line) for name, line in commands_of(PROCFILE).items()}
    if not HAS_GATEWAY:
        commands.pop("gateway", None)
    pages = _pages(commands)
    with ExitStack() as cleanup:
        redis, valkey = _need_redis(settings.memory, cleanup, has_sandbox=has_sandbox)
        ollama, echo = _want_ollama(settings.llm, cleanup, has_sandbox=has_sandbox)
        ready = [
            redis,
            ollama,
            *pages,
            f"Next    in another terminal: {command('chat')}",
            "Stop    Ctrl-C",
        ]
        ended = run_processes(
            commands,
            stop_s=settings.queue.drain_s + WIND_UP_S,
            signs=SIGNS,
            on_ready=partial(_say_ready, ready),
            servers=[one for one in (valkey, echo) if one is not None],
        )
    if ended is not None:
        raise CommandFailed(
            f"all processes were stopped, because {ended.name} ended with status {ended.status}: "
            f"{ended.last_words}"
        )


def _quiet(line: str) -> str:
    """Without the banner that Celery prints of each process: thirty lines before the first log."""
    program, *options = line.split(" ")
    if program == "celery":
        return " ".join((program, "--quiet", *options))
    is_celerys = program == "griot" and options[:1] in (["worker"], ["beat"])
    return f"{line} --quiet" if is_celerys else line


def _say_ready(lines: list[str]) -> None:
    say("\nReady", style="bold")
    say("\n".join(f"  {line}" for line in lines) + "\n")


def _pages(commands: Container[str]) -> list[str]:
    """Where Flower and the gateway will listen. Raises CommandFailed if that is taken: said before
    anything is started."""
    lines = []
    if "flower" in commands:
        access = FlowerAccess()
        # What is no number is Kubernetes', or refused by Flower itself.
        port = access.port if access.port.isdecimal() else "5555"
        host = access.address or "127.0.0.1"
        _need_port("Flower", host, int(port), "FLOWER_PORT")
        lines.append(f"Flower  http://{host}:{port}")
    if "gateway" in commands:
        settings = checked(GatewaySettings)
        _need_port("the gateway", settings.host.strip("[]"), settings.port, "GATEWAY_PORT")
        at = settings.address if settings.port else "the address that its log names"
        lines.append(f"Gateway {at}, for OpenAI's clients")
        if settings.port:
            lines.append(f"Chat    {at}/chat, in a browser")
    return lines


def _need_port(name: str, host: str, port: int, variable: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as exc:
        raise CommandFailed(
            f"{name} cannot listen on {host}, port {port} ({os.strerror(exc.errno or 0)}); "
            f"stop what listens there, or set {variable} to a free port"
        ) from exc


def _need_redis(settings: MemorySettings, cleanup: ExitStack, *, has_sandbox: bool) -> Needed:
    trouble = redis_trouble(settings)
    if trouble is None:
        return f"Redis   {Connection(settings).label}", None
    if not has_sandbox:
        raise CommandFailed(f"{trouble}{OR_TRY}")
    server = redis_where_expected(settings, SANDBOX_DIRECTORY, cleanup, trouble)
    if (trouble := redis_trouble(settings)) is not None:
        raise CommandFailed(trouble)
    data = os.path.relpath(server.data_dir)
    line = f"Redis   127.0.0.1:{server.port}, an embedded Valkey; its data are in {data}"
    return line, server.process


def _follows(settings: LLMSettings, *, is_away: bool) -> str:
    """What a trouble with Ollama means for jobs, and what to do."""
    if not is_away:
        model = settings.model
        return f"its jobs become dead letters until you run `ollama pull {model}`"
    other = advice_on_other(settings.servers[0], "OLLAMA_BASE_URL")
    wait = "jobs wait until it is back, at most CHAT_MAX_WAIT_SECONDS"
    return f"{wait}; {other or 'start it with `ollama serve`'}"


def _want_ollama(settings: LLMSettings, cleanup: ExitStack, *, has_sandbox: bool) -> Needed:
    trouble = ollama_trouble(settings)
    if trouble is None:
        return f"Ollama  {settings.servers[0]}, model {settings.model}", None
    parts = urlsplit(settings.servers[0])
    is_away = trouble.startswith("no Ollama")
    # The echo has no TLS.
    is_here = parts.hostname in LOOPBACK and parts.scheme == "http"
    if not (has_sandbox and is_here and is_away):
        line = f"Ollama  {trouble}; {_follows(settings, is_away=is_away)}"
        say(line)
        return line, None
    directory, port = SANDBOX_DIRECTORY.resolve(), parts.port or 80
    _, echo = start_stand_in(directory, settings, cleanup, port)
    line = (
        f"Ollama  {ECHO}\n"
        f"          It has port {port}: first Ctrl-C, then `ollama serve` and "
        f"`ollama pull {settings.model}`, then this again."
    )
    return line, echo
