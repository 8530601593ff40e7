"""The screen of a conversation: what was said scrolls up, what is typed stays below it, apart.

A reply goes up line by line; its last line, which still grows, and what is done now stand above the
prompt and are drawn anew. So a message can be typed while a reply comes.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from prompt_toolkit import PromptSession
from prompt_toolkit.application.current import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import Completer
from prompt_toolkit.data_structures import Size
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style

from worker.cli.chat.wrapping import Wrapping, lines_of
from worker.cli.console import duration, printable
from worker.cli.group import INTERRUPTED

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
TICK_S = 0.1
MENU_LINES = 8
STATUS_LINES = 4
STYLE = Style.from_dict(
    {"you": "bold", "agent": "bold ansicyan", "remark": "ansibrightblack", "alarm": "ansired"}
)
Line: TypeAlias = StyleAndTextTuples
"""Pieces of a line, each with its style."""


class Screen:
    """A terminal with a prompt. Its methods are for the event loop on which it runs.

    `on_line` gets each message; `on_interrupt` says whether Ctrl-C has stopped something: where it
    has not, and nothing is typed, Ctrl-C leaves. What was said `before` is the history of inputs.
    """

    def __init__(
        self,
        *,
        prompt: Callable[[], str],
        completer: Completer,
        before: Sequence[str],
        on_line: Callable[[str], None],
        on_interrupt: Callable[[], bool],
    ) -> None:
        self.waiting: list[str] = []
        """The messages that wait for their turn, the next one first."""
        self._prompt = prompt
        self._on_line = on_line
        self._on_interrupt = on_interrupt
        self._wrapping = Wrapping()
        self._label = self._speaker = ""
        self._status: tuple[str, float] | None = None
        self._session: PromptSession[int] = PromptSession(
            message=self._drawn,
            completer=completer,
            reserve_space_for_menu=MENU_LINES,
            history=InMemoryHistory(list(before)),
            key_bindings=self._keys(),
            style=STYLE,
            erase_when_done=True,
            enable_suspend=True,
            # Where the cursor is need not be known, so no terminal is asked for it.
            output=Vt100_Output(
                sys.stdout,
                partial(_size_of, sys.stdout.fileno()),
                default_color_depth=ColorDepth.from_env(),
                enable_cpr=False,
            ),
        )
        self._session.default_buffer.accept_handler = self._accept

    async def run(self) -> int:
        """Read and draw until somebody leaves; the exit code. The terminal is as before then."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.leave, 128 + number)
        ticking = asyncio.create_task(self._tick())
        try:
            with patch_stdout():
                return await self._session.prompt_async()
        finally:
            ticking.cancel()

    def leave(self, exit_code: int = 0) -> None:
        """End `run`. Safe to repeat."""
        if self._session.app.is_running and not self._session.app.is_done:
            self._session.app.exit(result=exit_code)

    def say(self, text: str, style: str = "") -> None:
        """Show a text above the prompt, in lines that fit."""
        self._print([[(style, line)] for line in lines_of(printable(text), self._width)])

    def said(self, who: str, text: str, remark: str = "", *, style: str = "class:agent") -> None:
        """Show a whole message with who has said it."""
        label = f"{printable(who)}> "
        lines = _labelled(lines_of(label + printable(text), self._width), label, style)
        self._print([*lines, [("class:remark", remark)]] if remark else lines)

    def begin_reply(self, who: str) -> None:
        """A reply of somebody begins."""
        self._label = self._speaker = f"{printable(who)}> "
        self._wrapping.end()

    def text(self, text: str) -> None:
        """Show a piece of the reply."""
        piece = printable(text)
        if not self._wrapping.growing and self._label:
            piece = self._label + piece
        whole = self._wrapping.add(piece, self._width)
        if whole:
            self._print_reply(whole)
        self._session.app.invalidate()

    def end_line(self) -> None:
        """End the line of the reply that has begun."""
        self._print_reply([self._wrapping.end()])
        self._label = self._speaker  # a reply that begins again, or goes on after a tool

    def end_reply(self) -> None:
        """End the reply where it is."""
        if self._wrapping.growing:
            self.end_line()

    def remark(self, text: str) -> None:
        """Say something that is no part of a reply."""
        self.say(text, "class:remark")

    def alarm(self, text: str) -> None:
        """Say what has failed."""
        self.say(text, "class:alarm")

    def waits(self, why: str) -> None:
        """Say why nothing happens."""
        self.status(why)

    def status(self, text: str | None) -> None:
        """Say what is done now, beside how long it has been; None: nothing is done."""
        if text is None:
            self._status = None
        elif self._status is None or self._status[0] != text:
            self._status = (text, time.monotonic())
        self._session.app.invalidate()

    @property
    def _width(self) -> int:
        # The last column is left free: some terminals wrap when it is written to.
        return self._session.app.output.get_size().columns - 1

    def _print_reply(self, lines: Sequence[str]) -> None:
        label, self._label = self._label, ""
        self._print(_labelled(lines, label, "class:agent"))

    def _print(self, lines: Sequence[Line]) -> None:
        """Show lines above the prompt."""
        app = self._session.app
        if app.is_running:
            app.renderer.erase(leave_alternate_screen=False)
        print_formatted_text(app.output, _ended(lines), STYLE)
        app.invalidate()

    def _drawn(self) -> Line:
        """What stands above what is typed, and the prompt."""
        above: list[Line] = []
        if growing := self._wrapping.growing:
            above += _labelled([growing], self._label, "class:agent")
        if self._status is not None:
            above += [[("class:remark", one)] for one in self._progress(*self._status)]
        above += [[("class:remark", f"next: {self._short(one)}")] for one in self.waiting]
        return [*_ended(above), ("class:you", self._prompt())]

    def _progress(self, text: str, since_s: float) -> list[str]:
        passed_s = time.monotonic() - since_s
        turning = SPINNER[int(passed_s / TICK_S) % len(SPINNER)]
        said = " ".join(printable(text or "answering").split())
        end = f" · {duration(passed_s)} · Ctrl-C cancels"
        lines = lines_of(f"{turning} {said}{end}", self._width)
        return lines if len(lines) <= STATUS_LINES else [*lines[: STATUS_LINES - 1], f"…{end}"]

    def _short(self, text: str) -> str:
        """The beginning of a message, as much as one line has room for."""
        line, *more = lines_of(" ".join(printable(text).split()), self._width - len("next: …"))
        return f"{line}…" if more else line

    def _accept(self, buffer: Buffer) -> bool:
        if buffer.text.strip():
            self._on_line(buffer.text)
        return False

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self._status is not None:
                self._session.app.invalidate()

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        is_empty = Condition(lambda: not get_app().current_buffer.text)

        @keys.add("c-c")
        @keys.add("<sigint>")
        def _(event: KeyPressEvent) -> None:
            if self._on_interrupt():
                return
            if event.current_buffer.text:
                event.current_buffer.reset()
            else:
                self.leave(INTERRUPTED)

        @keys.add("c-d", filter=is_empty)
        def _(_event: KeyPressEvent) -> None:
            self.leave()

        @keys.add("escape", "enter")
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        return keys


def _size_of(terminal: int) -> Size:
    found = os.get_terminal_size(terminal)
    # One that has not been told its size says 0.
    return Size(rows=found.lines or 24, columns=found.columns or 80)


def _labelled(lines: Sequence[str], label: str, style: str) -> list[Line]:
    """Lines, the first one with the label in front in its style."""
    plain: list[Line] = [[("", line)] for line in lines]
    if label and lines[0].startswith(label):
        plain[0] = [(style, label), ("", lines[0].removeprefix(label))]
    return plain


def _ended(lines: Sequence[Line]) -> Line:
    """Lines as one text, each with its end."""
    return [piece for line in lines for piece in (*line, ("", "\n"))]
