"""`python -m sandbox.ollama`: the stand-in as a process, until SIGTERM or SIGINT."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from sandbox.ollama import gojson
from sandbox.ollama.app import call_as_json
from sandbox.ollama.call_log import CallLog, RecordedCall
from sandbox.ollama.server import serving
from sandbox.ollama.state import StandInState


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sandbox.ollama", description="A stand-in for Ollama.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=11434, help="0 lets the system choose")
    parser.add_argument("--log", type=Path, help="append each call that ends, one JSON per line")
    parser.add_argument("--model", action="append", default=[], help="list this model, too")
    parser.add_argument("--token-s", type=float, default=0.0, help="seconds per token, all models")
    parser.add_argument("--profile", choices=["0.33", "0.40"], default="0.33")
    parser.add_argument("--keep-calls", type=int, default=10_000)
    return parser.parse_args()


async def _run(arguments: argparse.Namespace, log: TextIO | None) -> None:
    call_log = CallLog(arguments.keep_calls, on_end=_writer(log))
    state = StandInState(call_log, profile=arguments.profile, token_s=arguments.token_s)
    state.install(arguments.model)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serving(state, arguments.host, arguments.port) as port:
        sys.stdout.write(f"listening on http://{arguments.host}:{port}\n")
        sys.stdout.flush()
        await stop.wait()


def _writer(log: TextIO | None) -> Callable[[RecordedCall], None] | None:
    def write(call: RecordedCall) -> None:
        if log is not None:
            log.write(gojson.encode(call_as_json(call)) + "\n")

    return None if log is None else write


def main() -> None:
    """Run until a signal comes."""
    arguments = _arguments()
    with ExitStack() as stack:
        log: TextIO | None = None
        if arguments.log is not None:
            log = stack.enter_context(arguments.log.open("a", buffering=1, encoding="utf-8"))
        asyncio.run(_run(arguments, log))


if __name__ == "__main__":
    main()
