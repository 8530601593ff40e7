"""`griot demo`: a conversation over several sessions, from nothing, with real servers."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import click

from gateway.settings import GatewaySettings
from memory import Connection
from memory.redis.endpoint import endpoint
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import app
from tasks.process.configuration import Settings, checked, load_settings
from worker.checks.deployment import queues_of_workers
from worker.cli.console import say
from worker.cli.demo.footprint import Footprint
from worker.cli.group import CommandFailed
from worker.cli.next_steps import command
from worker.cli.servers import (
    ECHO,
    environment_of,
    names_own_redis,
    ollama_trouble,
    redis_trouble,
)
from worker.cli.stand_ins import SANDBOX_DIRECTORY, claim, data_directory, start_stand_in
from worker.cli.status import queue_lengths
from worker.extras import HAS_GATEWAY

TERMINATED = 128 + signal.SIGTERM
CONVERSATION_TIMEOUT_S = {True: 50.0, False: 600.0}
"""By whether a stand-in replies; a real model on a small machine may take its time."""

CONVERSATION_STOP_S = 3.0

# Everything that beat does is to be seen within seconds.
SHORT_TIMES = {
    "WORKER_CONCURRENCY": "20",
    "WORKER_DRAIN_SECONDS": "2",
    "CHAT_SWEEP_SECONDS": "1",
    "CHAT_GRACE_SECONDS": "1",
    "MEMORY_STATS_EVERY": "1",
    "MEMORY_EXTEND_EVERY": "2",
    "MEMORY_CLEANUP_EVERY": "5",
    "CELERY_RESULT_TTL": "600",
}


@click.command()
@click.option("--verbose", is_flag=True, help="Show all histories whole, and memory statistics.")
def demo(verbose: bool) -> None:
    """Hold a conversation over several sessions, from nothing.

    Starts an embedded Redis-compatible server, which keeps its data in ./.griot for `griot up
    --sandbox` (or uses the Redis that REDIS_URL, REDIS_HOST or REDIS_PORT names, under a key prefix
    of its own, and cleans up behind itself), an echo where no Ollama answers, two workers and beat.
    Then it sends messages with `chat_task.delay`, shows the tokens as they arrive, and a history as
    it lies in Redis.
    Everything is stopped at the end; Ctrl-C stops it earlier.

    \b
    Example:
      griot demo
      REDIS_URL=redis://localhost:6379/0 griot demo
    """
    began_s = time.monotonic()
    kept: list[Path] = []
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    with ExitStack() as cleanup:
        cleanup.callback(signal.signal, signal.SIGTERM, before)
        try:
            status = _run(load_settings(), cleanup, kept, is_verbose=verbose)
        finally:
            say("\nStopping everything …", style="dim")
    if status:
        raise CommandFailed(f"the conversation ended with status {status}")
    say(f"Done in {time.monotonic() - began_s:.0f} s: all processes are stopped.")
    _say_next(load_settings(), kept)


def _say_next(settings: Settings, kept: list[Path]) -> None:
    on = ""
    for data in kept:
        say(f"What was said is kept in {os.path.relpath(data)}.")
        on = ", on that data"
        if redis_trouble(settings.memory) is None:
            on = f", on the Redis at {Connection(settings.memory).label}, not on that data"
    say("Next:")
    width = max(len(command(name)) for name in ("up", "chat", "status"))
    for name, what in (
        ("up", f"start Griot{on}"),
        ("chat", "talk to an agent, in another terminal"),
        ("status", "see queues, workers and what waits"),
    ):
        say(f"  {command(name):<{width}}   {what}")
    if HAS_GATEWAY:
        at = checked(GatewaySettings).address
        say(f"While it is up, you can chat at {at}/chat; OpenAI's clients find it at {at}/v1.")


def _run(settings: Settings, cleanup: ExitStack, kept: list[Path], *, is_verbose: bool) -> int:
    directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="griot-demo-")))
    say("Servers", style="bold")
    redis = _redis(settings, directory, cleanup, kept)
    is_stand_in, ollama = _ollama(settings, directory, cleanup)
    stack = GriotStack(
        directory,
        redis_url=redis.get("REDIS_URL", ""),
        ollama_url=ollama["OLLAMA_BASE_URL"],
        settings={**SHORT_TIMES, **redis, **ollama},
    )
    cleanup.callback(stack.stop)
    say("  Griot   a worker, a maintenance worker and beat")
    with ThreadPoolExecutor() as pool:
        for started in [pool.submit(one) for one in (stack.worker, stack.maintenance, stack.beat)]:
            started.result()
    say()
    return _converse(stack, CONVERSATION_TIMEOUT_S[is_stand_in], is_verbose=is_verbose)


def _redis(
    settings: Settings, directory: Path, cleanup: ExitStack, kept: list[Path]
) -> Mapping[str, str]:
    """The environment that says where Redis is; where its data are kept, goes to `kept`."""
    if names_own_redis(settings.memory) and (own := _own_redis(settings, cleanup)) is not None:
        return own
    port = endpoint(settings.memory).options.get("port", 6379)
    data = data_directory(SANDBOX_DIRECTORY, int(str(port)))
    if claim(data, cleanup):
        kept.append(data)
    else:
        say("  Redis   a `griot up` is at work here: the demo's data are removed afterwards")
        data = directory / "valkey"
    server = cleanup.enter_context(ValkeyServer(data_dir=data, append_only="everysec"))
    say(f"  Redis   an embedded Valkey on port {server.port}")
    return {"REDIS_URL": server.url()}


def _own_redis(settings: Settings, cleanup: ExitStack) -> Mapping[str, str] | None:
    """The environment for the Redis that the settings name; None if it is better left alone.

    Raises CommandFailed if it does not answer.
    """
    urls = (settings.broker_url, settings.result_backend)
    needs_only_its_result = all(url.startswith(("redis://", "rediss://")) for url in urls)
    if settings.memory.mode != "single" or not needs_only_its_result:
        say("  Redis   yours is no single server: the demo leaves it alone")
        return None
    if (trouble := redis_trouble(settings.memory)) is not None:
        raise CommandFailed(f"{trouble}; without REDIS_* settings the demo starts its own")
    prefix = f"griot-demo-{secrets.token_hex(4)}"
    footprint = Footprint(settings, prefix)
    if (reason := why_busy()) is not None:
        say(f"  Redis   yours is at work ({reason}): the demo leaves it alone")
        return None
    cleanup.callback(lambda: say(f"Removed the demo's {footprint.remove()} keys from your Redis."))
    say(f"  Redis   your own; keys begin with {prefix} and are removed afterwards")
    return {
        **environment_of(settings.memory),
        "REDIS_KEY_PREFIX": prefix,
        "CELERY_BROKER_URL": settings.broker_url,
        "CELERY_RESULT_BACKEND": settings.result_backend,
    }


def why_busy() -> str | None:
    """Why the demo's wake-ups must not lie in the settings' broker; None if they may.

    Workers of others would take them, and know nothing of their jobs, and the other way round.
    """
    if workers := queues_of_workers(app):
        return f"{len(workers)} workers answer"
    if any(queue.messages for queue in queue_lengths(app)):
        return "messages wait in its queues"
    return None


def _ollama(
    settings: Settings, directory: Path, cleanup: ExitStack
) -> tuple[bool, Mapping[str, str]]:
    """Whether a stand-in replies, and the environment that says where."""
    known = environment_of(settings.llm)
    trouble = ollama_trouble(settings.llm)
    if trouble is None:
        say(f"  Ollama  {settings.llm.servers[0]}, model {settings.llm.model}")
        return False, known
    url, _ = start_stand_in(directory, settings.llm, cleanup)
    say(f"  Ollama  {trouble}.\n          {ECHO}")
    return True, {**known, "OLLAMA_BASE_URL": url, "OLLAMA_BASE_URLS": ""}


def _converse(stack: GriotStack, timeout_s: float, *, is_verbose: bool) -> int:
    """Run the conversation in a process of its own: settings are read once per process."""
    # A session of its own: Ctrl-C reaches this process alone, which ends the other with SIGTERM.
    with subprocess.Popen(  # noqa: S603  # our own module
        (
            sys.executable,
            *("-m", "worker.cli.demo.conversation"),
            *(("--verbose",) if is_verbose else ()),
        ),
        env=stack.env,
        cwd=stack.directory,
        start_new_session=True,
    ) as conversation:
        try:
            return conversation.wait(timeout_s)
        except subprocess.TimeoutExpired as exc:
            raise CommandFailed(f"the conversation was not over within {timeout_s:g} s") from exc
        finally:
            conversation.terminate()
            with suppress(subprocess.TimeoutExpired):
                conversation.wait(CONVERSATION_STOP_S)
            conversation.kill()
