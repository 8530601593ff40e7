"""A worker that starts without its model says so, once for each change, and when it is there."""

import logging
from collections.abc import Sequence

import pytest

from tasks.process.configuration import Settings, load_settings
from worker.checks.findings import Finding, Level
from worker.model_watch import watch_models

AWAY = Finding("ollama", Level.FAIL, "http://ollama:11434 cannot be reached", "start it")
LACKING = Finding("model", Level.FAIL, "llava:7b is not installed", "run `ollama pull llava:7b`")
WELL = Finding("ollama", Level.OK, "http://ollama:11434, 1 models")


async def said(seen: Sequence[Sequence[Finding]], caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is logged while one look after the other sees this."""
    looks = iter(seen)

    def look(_: Settings) -> Sequence[Finding]:
        return next(looks)

    with caplog.at_level(logging.INFO, "worker.model_watch"):
        await watch_models(load_settings(), look, first_pause_s=0.001)
    assert next(looks, None) is None, "it ends with the first look that finds all well"
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


async def test_what_is_lacking_is_said_once_with_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However often it looks, and again when it is something else."""
    lines = await said([[AWAY], [AWAY], [WELL, LACKING], [WELL, LACKING], [WELL]], caplog)
    assert lines == [
        "WARNING ollama: http://ollama:11434 cannot be reached; start it",
        "WARNING model: llava:7b is not installed; run `ollama pull llava:7b`",
        "INFO the model servers answer, and every model is there",
    ]


async def test_nothing_is_said_where_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    """The usual start."""
    assert await said([[WELL]], caplog) == []
