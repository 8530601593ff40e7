"""Running the processes of a Procfile, with honcho."""

import multiprocessing
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

from worker.cli.group import CommandFailed

HAS_HONCHO = find_spec("honcho") is not None
if HAS_HONCHO:  # an extra (`sandbox`) that a worker's image does without
    import honcho.manager
    from honcho.environ import parse_procfile

STOPPED_BY_SIGNAL = (130, 143)


def run_procfile(path: Path, *, stop_s: float) -> int:
    """Run every process of a Procfile until one ends or SIGINT, SIGTERM or SIGHUP comes.

    Returns the status of the one that ended first, 0 when a signal stopped them, also that which is
    sent when nobody reads the output any more. A process that does not end within `stop_s` of being
    asked to is killed. Raises CommandFailed without a Procfile.
    """
    if not HAS_HONCHO:
        raise CommandFailed("`griot up` needs honcho: pip install 'griot[sandbox]'")
    try:
        processes = parse_procfile(path.read_text()).processes
    except OSError as exc:
        raise CommandFailed(f"{path}: {exc.strerror}") from exc
    # honcho 2.0 has no argument for it; its own five seconds would cut short a draining worker.
    honcho.manager.KILL_WAIT = stop_s
    manager = honcho.manager.Manager()
    for name, command in processes.items():
        manager.add_process(name, command, env=_environment())
    _harden(manager)
    # A terminal that is closed would end us alone: the processes have sessions of their own.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` has it
        signal.signal(signal.SIGHUP, _stop)
    manager.loop()
    return 0 if manager.returncode in STOPPED_BY_SIGNAL else int(manager.returncode or 0)


def _stop(*_: object) -> None:
    """Have honcho stop all processes. In honcho's forks, which inherit it, it does nothing."""
    if multiprocessing.parent_process() is None:
        signal.raise_signal(signal.SIGTERM)


def _harden(manager: "honcho.manager.Manager") -> None:
    """Stop all when the reader of our output has left, and at a Ctrl-C that comes early.

    `griot up | tee log`, then Ctrl-C: honcho 2.0's loop would end at its next line, and leave the
    processes running. The same for a stop before each has a pid: it waits until they have.
    """
    printer, terminate = manager._printer, manager.terminate
    write = printer.write
    is_due = False

    def terminated() -> None:
        nonlocal is_due
        is_due = not manager._all_started()
        if not is_due:
            terminate()

    def written(message: object) -> None:  # also called for each process that has started
        try:
            write(message)
        except OSError:  # EPIPE of a pipe, EIO of a terminal
            # Also Python's own, which else fails at its end.
            sys.stdout = printer.output = Path(os.devnull).open("w")  # noqa: SIM115
            _stop()
        if is_due:
            terminated()

    manager.terminate, printer.write = terminated, written


def _environment() -> dict[str, str]:
    """Ours, with the commands of this Python's environment first on the path."""
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join(part for part in (here, os.environ.get("PATH", "")) if part)
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}
