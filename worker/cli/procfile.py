"""Running the processes of a Procfile, with honcho."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from worker.cli.group import Failed

HAS_HONCHO = find_spec("honcho") is not None
if HAS_HONCHO:  # an extra (`sandbox`) that a worker's image does without
    import honcho.manager
    from honcho.environ import parse_procfile

STOPPED_BY_SIGNAL = (130, 143)


def run_procfile(path: Path, *, stop_s: float) -> int:
    """Run every process of a Procfile until one ends or SIGINT or SIGTERM comes.

    Returns the status of the one that ended first, 0 when a signal stopped them. A process that
    does not end within `stop_s` of being told to is killed. Raises Failed without a Procfile.
    """
    if not HAS_HONCHO:
        raise Failed("`griot up` needs honcho: pip install 'griot[sandbox]'")
    try:
        processes = parse_procfile(path.read_text()).processes
    except OSError as exc:
        raise Failed(f"{path}: {exc.strerror}; `griot up` runs in a checkout") from exc
    # honcho 2.0 has no argument for it; its own five seconds would cut short a draining worker.
    honcho.manager.KILL_WAIT = stop_s
    manager = honcho.manager.Manager()
    for name, command in processes.items():
        manager.add_process(name, command, env=_environment())
    manager.loop()
    return 0 if manager.returncode in STOPPED_BY_SIGNAL else int(manager.returncode or 0)


def _environment() -> dict[str, str]:
    """Ours, with the commands of this Python's environment first on the path."""
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join(part for part in (here, os.environ.get("PATH", "")) if part)
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}
