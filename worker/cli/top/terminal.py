"""`griot top` on a terminal: draws what has changed, obeys keys, leaves the terminal as it was."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from select import select

from prompt_toolkit.input import create_input
from rich.console import Console
from rich.live import Live
from rich.text import Text

from worker.cli.top.screen import drawn
from worker.cli.top.tables import grid_of
from worker.cli.top.view import TopView
from worker.cli.top.watch import Watch

DRAWN_EVERY_S = 0.25
TERMINATED = 143  # as a shell has it: 128 and the number of SIGTERM


def watch_on(console: Console, watch: Watch, view: TopView) -> None:
    """Until somebody leaves. Raises KeyboardInterrupt for Ctrl-C, SystemExit for SIGTERM."""
    keyboard = create_input()
    live = Live(Text(), console=console, screen=True, auto_refresh=False)
    with _ended_by_sigterm(), keyboard.raw_mode(), live:
        before = None
        while not view.is_over and not keyboard.closed:
            watch.is_paused, seen = view.is_paused, watch.seen()
            width, height = console.size
            screen = drawn(seen, view, width=width, height=height)
            if (now := (screen, width, height)) != before:
                live.update(screen, refresh=True)
                before = now
            grid = None if seen.snapshot is None else grid_of(seen.snapshot, view.table)
            is_typed = bool(select([keyboard.fileno()], [], [], DRAWN_EVERY_S)[0])
            # Esc alone is the beginning of an arrow until nothing follows it.
            for press in keyboard.read_keys() if is_typed else keyboard.flush_keys():
                view.press(str(getattr(press.key, "value", press.key)), grid)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
