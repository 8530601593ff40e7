"""How settings are read from the environment and `.env`: what all classes of them share, what is
said of a `.env` that cannot be read, and which variables nobody chose for us."""

import re
from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream
from pydantic_settings import BaseSettings, SettingsConfigDict

from memory.errors import InvalidInput

ENV_FILE = ".env"
SERVICE_VARIABLE = re.compile("(tcp|udp|sctp)://")
"""How Kubernetes and Docker begin the variable `<NAME>_PORT` of each service beside a container."""


class EnvSettings(BaseSettings):
    """Settings from the environment and `.env`; each field has its variable as its alias."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        # Fields can be given by name in code; without a prefix their bare names (HOST, PORT …)
        # would be read from the environment too.
        env_prefix="GRIOT_UNUSED_",
        # A wrong address may hold a password, which pydantic would print with the error.
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )


def is_service_port(name: str, value: object) -> bool:
    """Whether a variable says where a service is, and so nothing that anybody chose for us."""
    is_port = name.upper().endswith("_PORT")
    return is_port and isinstance(value, str) and SERVICE_VARIABLE.match(value) is not None


def check_env_file() -> None:
    """Raise InvalidInput, which names file and line, where `.env` is no UTF-8, no file, or has a
    line that is no setting.

    One in UTF-16 would be read as names that nobody knows, a byte-order mark as a part of the first
    name, and nothing of a folder, as Docker makes one for a file that it does not find: all without
    a word.
    """
    path = Path(ENV_FILE)
    # Some keep a virtual environment there.
    if not path.exists() or path.is_fifo() or (path / "pyvenv.cfg").exists():
        return
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
    except OSError as exc:
        raise InvalidInput(f"{path.resolve()} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        # Not `from exc`: it holds the content, passwords and all.
        line = content.count(b"\n", 0, exc.start) + 1
        raise InvalidInput(
            f"{path.resolve()} is not UTF-8 (line {line}): save it as UTF-8"
        ) from None
    if "\0" in text or text.startswith("\ufeff"):
        raise InvalidInput(f"{path.resolve()} is not plain UTF-8: save it without byte-order mark")
    for found in parse_stream(StringIO(text)):
        if found.error:
            # Not what stands there: it may be a password.
            raise InvalidInput(
                f"{path.resolve()}, line {found.original.line} cannot be read: write NAME=value, a "
                "value with spaces or quotes in 'single quotes', and # before a comment"
            )
