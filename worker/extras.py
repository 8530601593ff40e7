"""What is installed beside the worker: a package that its image does without."""

from importlib.util import find_spec

HAS_SANDBOX = find_spec("sandbox") is not None
"""Whether servers for a try can be started here."""

HAS_GATEWAY = find_spec("fastapi") is not None and find_spec("uvicorn") is not None
"""Whether `griot serve` can run here."""

HAS_PLOT = find_spec("plotext") is not None and find_spec("matplotlib") is not None
"""Whether `griot stats` can draw charts here."""

TO_TRY = "griot up --sandbox"

OR_TRY = f"; for a try: {TO_TRY}" if HAS_SANDBOX else ""
"""The end of an advice on a server that does not answer."""


def needs_sandbox(command: str) -> str:
    """Why a command cannot run where the sandbox is not installed, and what to install."""
    return (
        f"`{command}` needs Griot's sandbox, which is left out here: pip install './griot[sandbox]'"
    )
