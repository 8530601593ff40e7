"""What is said of a `.env` that cannot be read."""

from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream


def check_env_file(path: Path) -> None:
    """Raise ValueError where pydantic-settings would raise something else, or read nothing.

    As the memory's of that name, which this package does not know.
    """
    # Some keep a virtual environment there.
    if not path.exists() or path.is_fifo() or (path / "pyvenv.cfg").exists():
        return
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
    except OSError as exc:
        raise ValueError(f"{path.resolve()} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        # Not `from exc`: it holds the content, keys and all.
        line = content.count(b"\n", 0, exc.start) + 1
        raise ValueError(f"{path.resolve()} is not UTF-8 (line {line}): save it as UTF-8") from None
    if "\0" in text or text.startswith("\ufeff"):
        raise ValueError(f"{path.resolve()} is not plain UTF-8: save it without byte-order mark")
    for found in parse_stream(StringIO(text)):
        if found.error:
            # Not what stands there: it may be a key.
            raise ValueError(
                f"{path.resolve()}, line {found.original.line} cannot be read: write NAME=value, a "
                "value with spaces or quotes in 'single quotes', and # before a comment"
            )
