"""The command that comes next, as it can be typed where this process was started."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
IN_CHECKOUT = ".venv/bin/griot"
_COMMANDS = {
    "up": "griot up --sandbox",
    "chat": "griot chat energy summit-energy",
    "status": "griot status",
}


def command(name: str) -> str:
    """`make chat` in a checkout, whose Makefile knows where `griot` is; else `griot chat …`."""
    return f"make {name}" if _is_here() else _COMMANDS[name]


def program() -> str:
    """`griot`, or in a checkout where it lies: there the shell may not find it by its name."""
    return IN_CHECKOUT if _is_here() else "griot"


def _is_here() -> bool:
    return (CHECKOUT / "Makefile").is_file() and Path.cwd() == CHECKOUT
