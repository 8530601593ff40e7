"""The memory and the LLM, which do not know each other, say the same of one `.env`."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llm import env_file as of_llm
from memory import env_file as of_memory

SECRET = b"s3cret"


def nothing(_: Path) -> None:
    """There is none."""


def environment(path: Path) -> None:
    """A virtual environment of that name."""
    path.mkdir()
    (path / "pyvenv.cfg").touch()


def written(content: bytes) -> Callable[[Path], object]:
    """A file with this in it."""
    return lambda path: path.write_bytes(content)


READ = [nothing, environment, os.mkfifo, written(b"A=1\n")]
REFUSED = [
    Path.mkdir,
    written(b"A=1\nB=\xff" + SECRET),
    written("A=1".encode("utf-16")),
    written(b"\xef\xbb\xbfA=" + SECRET),
    written(b"A=\0" + SECRET),
]


def said(check: Callable[[], None]) -> str:
    """What is said of the file; '' where it is read."""
    try:
        check()
    except ValueError as exc:
        return f"{exc}{exc.__cause__ or ''}"
    return ""


@pytest.mark.parametrize(("make", "is_read"), [(one, one in READ) for one in READ + REFUSED])
def test_both_say_the_same_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object], is_read: bool
) -> None:
    """And nothing of what is in it."""
    monkeypatch.chdir(tmp_path)
    make(Path(of_memory.ENV_FILE))
    told = said(of_memory.check_env_file)
    assert SECRET.decode() not in told
    assert told == said(lambda: of_llm.check_env_file(Path(of_memory.ENV_FILE)))
    assert (told == "") is is_read
