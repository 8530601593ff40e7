"""Programs of this Python's environment for what a program of ours starts itself: `griot up` its
processes, `griot demo` its conversation. They are warm, too."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.warm.fork_server import EXECUTABLE
from tests.support.warm.python import IS_COLD, VARIABLE, start_fork_server

AS_PROCESS = Path(__file__).with_name("as_process.py")
PROGRAMS = {"python": "", "griot": "-m griot", "celery": "-m celery"}


def programs(directory: Path) -> Mapping[str, str]:
    """The environment of a warm process that starts these, which are written to `directory`."""
    if IS_COLD:
        return {}
    for name, arguments in PROGRAMS.items():
        path = directory / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {AS_PROCESS} {arguments} "$@"\n')
        path.chmod(0o755)
    start_fork_server()
    return {EXECUTABLE: str(directory / "python"), VARIABLE: os.environ[VARIABLE]}
