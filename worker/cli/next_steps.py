"""The command that comes next, as it can be typed where this process was started."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
_COMMANDS = {
    "up": "griot up --sandbox",
    "chat": "griot chat energy summit-energy",
    "status": "griot status",
}


def command(name: str) -> str:
    """`make chat` in a checkout, whose Makefile knows where `griot` is; else `griot chat …`."""
    is_here = (CHECKOUT / "Makefile").is_file() and Path.cwd() == CHECKOUT
    return f"make {name}" if is_here else _COMMANDS[name]
