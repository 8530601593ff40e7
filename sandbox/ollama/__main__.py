"""`python -m sandbox.ollama`: the stand-in as a process, until SIGTERM or SIGINT."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TextIO

from sandbox.ollama import gojson
from sandbox.ollama.app import call_as_json
from sandbox.ollama.call_log import CallLog, RecordedCall
from sandbox.ollama.runners import Limits
from sandbox.ollama.server import serving
from sandbox.ollama.state import StandInState

_LIMITS = (
    ("num-parallel", 1, "replies of one model at once, as OLLAMA_NUM_PARALLEL"),
    ("max-loaded-models", 3, "models in memory, as OLLAMA_MAX_LOADED_MODELS"),
    ("max-queue", 512, "requests that wait for a load, as OLLAMA_MAX_QUEUE"),
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sandbox.ollama", description="A stand-in for Ollama.")
    parser.add_argument("--host", default="127.0.0.1", help="listen on this address")
    parser.add_argument("--port", type=int, default=11434, help="0 lets the system choose")
    parser.add_argument("--log", type=Path, help="append each call that ends, one JSON per line")
    parser.add_argument("--model", action="append", default=[], help="list this model, too")
    parser.add_argument("--token-s", type=float, default=0.0, help="seconds per token, all models")
    parser.add_argument(
        "--profile", choices=["0.33", "0.40"], default="0.33", help="answer as this release"
    )
    parser.add_argument(
        "--keep-calls", type=int, default=10_000, help="calls that /standin/calls lists"
    )
    parser.add_argument("--plain", action="store_true", help="end no reply with a fingerprint")
    for name, default, what in _LIMITS:
        parser.add_argument(f"--{name}", type=int, default=default, help=what)
    return parser.parse_args()


async def _run(
    arguments: argparse.Namespace, on_end: Callable[[RecordedCall], None] | None
) -> None:
    call_log = CallLog(arguments.keep_calls, on_end=on_end)
    limits = Limits(arguments.num_parallel, arguments.max_loaded_models, arguments.max_queue)
    state = StandInState(
        call_log,
        profile=arguments.profile,
        token_s=arguments.token_s,
        is_marked=not arguments.plain,
        limits=limits,
    )
    state.install(arguments.model)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serving(state, arguments.host, arguments.port) as port:
        sys.stdout.write(f"listening on http://{arguments.host}:{port}\n")
        sys.stdout.flush()
        await stop.wait()


def _write(log: TextIO, call: RecordedCall) -> None:
    log.write(gojson.encode(call_as_json(call)) + "\n")


def main() -> None:
    """Run until a signal comes."""
    arguments = _arguments()
    path = arguments.log or Path(os.devnull)
    with path.open("a", buffering=1, encoding="utf-8") as log:
        asyncio.run(_run(arguments, partial(_write, log) if arguments.log else None))


if __name__ == "__main__":
    main()
