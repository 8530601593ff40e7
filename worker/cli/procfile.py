"""Running the processes of a Procfile, with honcho."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from worker.cli.group import CommandFailed
from worker.extras import HAS_SANDBOX

HAS_HONCHO = find_spec("honcho") is not None
if HAS_HONCHO:  # an extra (`sandbox`) that a worker's image does without
    import honcho.manager
    from honcho.environ import parse_procfile

if HAS_SANDBOX:
    from sandbox.process import ServerProcess

STOPPED_BY_SIGNAL = (130, 143)
LAST_WORDS_S = 1.0
STOPPED = " stopped (rc="
OWN_WORDS = "griot: "


@dataclass(frozen=True, slots=True)
class FirstEnd:
    """The process that ended first: its name in the Procfile, its status, what it said last."""

    name: str
    status: int
    last_words: str


def commands_of(path: Path) -> dict[str, str]:
    """The processes of a Procfile. Raises CommandFailed where it cannot be run."""
    if not HAS_HONCHO:
        raise CommandFailed("`griot up` needs honcho: pip install './griot[sandbox]'")
    try:
        return dict(parse_procfile(path.read_text()).processes)
    except OSError as exc:
        raise CommandFailed(f"{path}: {exc.strerror}") from exc


def run_processes(
    commands: Mapping[str, str],
    *,
    stop_s: float,
    signs: Mapping[str, str],
    on_ready: Callable[[], None],
    servers: Sequence["ServerProcess"] = (),
) -> FirstEnd | None:
    """Run processes by their names until one ends or SIGINT, SIGTERM or SIGHUP comes.

    One of the `servers`, which run already, counts as a process that ends.

    Calls `on_ready` once each has printed what `signs` has for its name. Returns the process that
    ended by itself, None when a signal stopped them, also that which is sent when nobody reads the
    output any more. A process that does not end within `stop_s` of being asked to is killed.
    """
    # honcho 2.0 has no argument for it; its own five seconds would cut short a draining worker.
    honcho.manager.KILL_WAIT = stop_s
    manager = honcho.manager.Manager()
    for name, command in commands.items():
        manager.add_process(name, command, env=_environment())
    spoken = _Spoken({name: signs[name] for name in commands if name in signs}, on_ready)
    hardened = _Hardened(manager, spoken, servers)
    # A terminal that is closed would end us alone: the processes have sessions of their own.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` has it
        signal.signal(signal.SIGHUP, _stop)
    manager.loop()
    if (server := hardened.lost) is not None:
        return FirstEnd(server.name, server.returncode or 0, f"see {server.log_path}")
    if manager.returncode in STOPPED_BY_SIGNAL or spoken.first_ended is None:
        return None
    name = spoken.first_ended
    return FirstEnd(name, int(manager.returncode or 0), spoken.last_words(name))


def _stop(*_: object) -> None:
    """Have honcho stop all processes. In honcho's forks, which inherit it, it does nothing."""
    if multiprocessing.parent_process() is None:
        signal.raise_signal(signal.SIGTERM)


class _Spoken:
    """What the processes have printed: whether all are ready, who ended first, and why."""

    def __init__(self, signs: Mapping[str, str], on_ready: Callable[[], None]) -> None:
        self._awaited = dict(signs)
        self._on_ready = on_ready
        self._last: dict[str, str] = {}
        self.first_ended: str | None = None

    def note(self, name: str, text: str) -> None:
        """Take a line."""
        text = text.strip()
        if name == honcho.manager.SYSTEM_PRINTER_NAME:
            if STOPPED in text and self.first_ended is None:
                self.first_ended = text.partition(STOPPED)[0]
            return
        # What a process says of itself tells more than a line that follows.
        if text and (text.startswith(OWN_WORDS) or OWN_WORDS not in self._last.get(name, "")):
            self._last[name] = text
        if self._awaited.get(name, "\n") in text:
            del self._awaited[name]
            if not self._awaited:
                self._on_ready()

    def last_words(self, name: str) -> str:
        """The last that a process said, or its own line on why it ends."""
        return self._last.get(name, "it said nothing").removeprefix(OWN_WORDS)


class _Hardened:
    """A manager of honcho that stops all when the reader of our output has left, and at a Ctrl-C
    that comes early, and when a server ends that they need.

    `griot up | tee log`, then Ctrl-C: honcho 2.0's loop would end at its next line, and leave the
    processes running. The same for a stop before each has a pid: it waits until they have. A fork
    that the same Ctrl-C ended before it began its process never will: it counts as stopped.
    """

    def __init__(
        self,
        manager: "honcho.manager.Manager",
        spoken: _Spoken,
        servers: Sequence["ServerProcess"],
    ) -> None:
        self.lost: ServerProcess | None = None
        self._manager, self._spoken, self._servers = manager, spoken, servers
        self._terminate, self._all_started = manager.terminate, manager._all_started
        self._write = manager._printer.write
        self._is_due = False
        self._ended_s: dict[str, float] = {}
        manager.terminate, manager._all_started = self.terminate, self.all_started
        manager._printer.write = self.write

    def terminate(self) -> None:
        self._is_due = not self._all_started()
        if not self._is_due:
            self._terminate()

    def all_started(self) -> bool:  # asked about ten times a second
        for name, state in self._manager._processes.items():
            fork = state.get("process")
            if state.get("pid") is None and fork is not None and fork.exitcode is not None:
                # What it has said before may still be on its way.
                since_s = self._ended_s.setdefault(name, time.monotonic())
                if time.monotonic() - since_s > LAST_WORDS_S:
                    state.update(pid=0, returncode=fork.exitcode)
        if self.lost is None and not self._manager._terminating:
            self.lost = next((one for one in self._servers if not one.is_running), None)
            self._is_due = self._is_due or self.lost is not None
        is_so = bool(self._all_started())
        if self._is_due and is_so:
            self.terminate()
        return is_so

    def write(self, message: "honcho.process.Message") -> None:
        try:
            self._write(message)
            data = message.data
            text = data.decode(errors="replace") if isinstance(data, bytes) else str(data)
            self._spoken.note(str(message.name), text)
        except OSError:  # EPIPE of a pipe, EIO of a terminal
            # Also Python's own, which else fails at its end.
            output = Path(os.devnull).open("w")  # noqa: SIM115
            sys.stdout = self._manager._printer.output = output
            _stop()


def _environment() -> dict[str, str]:
    """Ours, with the commands of this Python's environment first on the path."""
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join(part for part in (here, os.environ.get("PATH", "")) if part)
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}
