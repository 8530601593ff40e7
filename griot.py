"""The front door of the `griot` command: from here on Ctrl-C ends it without a traceback.

A module beside the packages, for Python runs a package's `__init__` first, and `worker` takes most
of a second to load.
"""

import signal
from importlib import import_module


def main() -> None:
    """Load the command line and run it. Until that handles Ctrl-C, the process just ends."""
    # Where the shell has it ignored, as for a job in the background, it stays ignored.
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = import_module("worker.cli").main
    import_module("worker.standard_streams").install()
    if is_ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command()
