"""docs/logs.md has every WARNING and ERROR of the code, as it is now, and what to do about it."""

from pathlib import Path

import pytest

from deploy import log_lines
from deploy.log_lines import MARK, PAGE, LogLine, advice_of, page_of

SOURCE = """
import logging
logger = logging.getLogger(__name__)
def act(line: str) -> None:
    logger.info("not here")
    logger.warning("job %s | waits", 1)
    logger.exception("cannot %s", 2)
    logger.error("%s; %s", line, 3)
    level = logging.DEBUG if line else logging.ERROR
    logger.log(level, "it is away")
    future.exception()
"""


def test_the_page_is_up_to_date() -> None:
    """Else: python -m deploy.log_lines, and write advice for what is new."""
    page = PAGE.read_text("utf-8")
    assert page == page_of(page, advice_of(page))


def test_every_line_has_advice() -> None:
    """Written in the last column of the page."""
    advice = advice_of(PAGE.read_text("utf-8"))
    assert [line for line in log_lines.lines() if not advice.get(line.key)] == []


def test_lines_are_read_from_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With their levels; a line that is made elsewhere by its parts."""
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "one.py").write_text(SOURCE)
    monkeypatch.setattr(log_lines, "ROOT", tmp_path)
    found = log_lines.lines()
    assert found == [
        LogLine("WARNING", "job %s | waits", "worker/one.py", False),
        LogLine("ERROR", "cannot %s", "worker/one.py", False),
        LogLine("ERROR", "line", "worker/one.py", True),
        LogLine("ERROR once", "it is away", "worker/one.py", False),
    ]
    page = page_of(f"Words.\n{MARK}", {found[0].key: "Wait.", ("worker/gone.py", "x"): "Old."})
    assert page.startswith(f"Words.\n{MARK}")
    assert advice_of(page) == {line.key: "" for line in found} | {found[0].key: "Wait."}
    assert "Old." not in page
