"""Running the processes of a Procfile, with honcho."""

import os
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from worker.cli.group import CommandFailed

HAS_HONCHO = find_spec("honcho") is not None
if HAS_HONCHO:  # an extra (`sandbox`) that a worker's image does without
    import honcho.manager
    from honcho.environ import parse_procfile
    from honcho.printer import Message

STOPPED_BY_SIGNAL = (130, 143)


def run_procfile(path: Path, *, stop_s: float) -> int:
    """Run every process of a Procfile until one ends or SIGINT, SIGTERM or SIGHUP comes.

    Returns the status of the one that ended first, 0 when a signal stopped them, also that which is
    sent when nobody reads the output any more. A process that does not end within `stop_s` of being
    told to is killed. Raises CommandFailed without a Procfile.
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
    stop = _stop_of_this_process()
    _outlive_the_reader(manager, stop)
    _stop_only_what_has_started(manager)
    # A terminal that is closed would end us alone: the processes have sessions of their own.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` has it
        signal.signal(signal.SIGHUP, lambda _signum, _frame: stop())
    manager.loop()
    return 0 if manager.returncode in STOPPED_BY_SIGNAL else int(manager.returncode or 0)


def _stop_of_this_process() -> Callable[[], None]:
    """What has honcho stop all processes. In honcho's forks, which inherit it, it does nothing."""
    ours = os.getpid()

    def stop() -> None:
        if os.getpid() == ours:
            os.kill(ours, signal.SIGTERM)

    return stop


def _outlive_the_reader(manager: "honcho.manager.Manager", stop: Callable[[], None]) -> None:
    """Stop all when the reader of our output has left: `griot up | tee log`, then Ctrl-C.

    Else honcho's loop would end at its next line, and leave the processes running.
    """
    write = manager._printer.write
    has_reader = True

    def written(message: "Message") -> None:
        nonlocal has_reader
        if not has_reader:
            return
        try:
            write(message)
        except OSError:  # EPIPE of a pipe, EIO of a terminal
            has_reader = False
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  # else Python fails at its end
            stop()

    manager._printer.write = written


def _stop_only_what_has_started(manager: "honcho.manager.Manager") -> None:
    """Let a Ctrl-C that comes early wait until every process has a pid.

    honcho 2.0 fails at the first that has none, and leaves the others running.
    """
    terminate, write = manager.terminate, manager._printer.write
    is_due = False

    def terminated() -> None:
        nonlocal is_due
        is_due = True
        if manager._all_started():
            terminate()

    def written(message: "Message") -> None:  # honcho writes a line for each that has started
        write(message)
        if is_due:
            terminated()

    manager.terminate, manager._printer.write = terminated, written


def _environment() -> dict[str, str]:
    """Ours, with the commands of this Python's environment first on the path."""
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join(part for part in (here, os.environ.get("PATH", "")) if part)
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}
