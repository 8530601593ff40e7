"""The front door of the `griot` command: from here on Ctrl-C ends it without a traceback.

A module beside the packages, for Python runs a package's `__init__` first, and `worker` takes most
of a second to load.
"""

import signal
import sys
from importlib import import_module

PROCESSES = ("worker", "beat")
"""Commands that run for days: they load nothing of the others, and keep none of it."""
OF_EXTRAS = ("celery", "click", "jsonschema_rs", "kombu", "prompt_toolkit", "rich", "uvloop")
"""What the commands need beyond what a plain `pip install` of Griot brings."""


def main() -> None:
    """Load the command line and run it. Until that handles Ctrl-C, the process just ends."""
    # Where the shell has it ignored, as for a job in the background, it stays ignored.
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    is_process = bool(set(sys.argv[1:2]) & set(PROCESSES))
    try:
        command = import_module("worker.start.commands" if is_process else "worker.cli").main
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").partition(".")[0]
        if missing not in OF_EXTRAS:
            raise
        sys.exit(
            f"griot: the command line needs {missing}, which is not installed: "
            "pip install './griot[worker]'"
        )
    import_module("worker.standard_streams").install()
    if is_ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command()


if __name__ == "__main__":  # python -m griot
    main()
