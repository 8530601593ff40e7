"""A log file that several processes write and turn over."""

import logging
import multiprocessing
from multiprocessing.context import ForkContext
from pathlib import Path

import pytest

from tests.support.machine import scaled
from worker.shared_log import SharedRotatingFileHandler

PROCESSES, LINES = 4, 250
MAX_BYTES = 10_000


def _logger(path: Path, kept: int) -> logging.Logger:
    logger = logging.Logger("shared")
    logger.addHandler(SharedRotatingFileHandler(str(path), max_bytes=MAX_BYTES, kept=kept))
    return logger


def _write(path: Path, number: int, inherited: logging.Logger | None) -> None:
    logger = inherited or _logger(path, kept=50)
    for line in range(LINES):
        logger.warning("process %d, line %d %s", number, line, "x" * 40)


def _lines(path: Path) -> list[str]:
    files = path.parent.glob(f"{path.name}*")
    return [line for one in files for line in one.read_text().splitlines()]


@pytest.mark.parametrize("is_inherited", [False, True], ids=["own handlers", "a forked one"])
def test_no_line_is_lost_or_doubled(tmp_path: Path, is_inherited: bool) -> None:
    """Whoever turns the file over; also where the handler was made before the processes."""
    path = tmp_path / "app.log"
    context: ForkContext = multiprocessing.get_context("fork")
    inherited = _logger(path, kept=50) if is_inherited else None
    processes = [
        context.Process(target=_write, args=(path, number, inherited))
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(scaled(60))
        assert process.exitcode == 0
    if inherited is not None:
        inherited.handlers[0].close()
    found = sorted(line.rpartition(" ")[0] for line in _lines(path))
    sent = [f"process {p}, line {n}" for p in range(PROCESSES) for n in range(LINES)]
    assert found == sorted(sent)
    assert len(list(tmp_path.glob("app.log.*"))) > 1, "it was turned over"
    assert all(one.stat().st_size <= MAX_BYTES for one in tmp_path.glob("app.log*"))


def test_older_files_go_and_a_removed_one_comes_back(tmp_path: Path) -> None:
    """As many stay as are wanted; a file that somebody took away is begun anew."""
    path = tmp_path / "app.log"
    logger = _logger(path, kept=2)
    for line in range(LINES * 4):
        logger.warning("line %d %s", line, "x" * 60)
    assert {one.name for one in tmp_path.glob("app.log*")} == {"app.log", "app.log.1", "app.log.2"}
    path.unlink()
    logger.warning("begun anew")
    assert path.read_text() == "begun anew\n"
    logger.handlers[0].close()
