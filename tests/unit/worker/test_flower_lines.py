"""What Flower logs while it waits for workers."""

import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from flower.inspector import Inspector

from worker.flower import INSPECTOR, SILENCE_S, NoWorkerYet

ASKED = ("stats", "registered", "conf", "active_queues")


class NobodyAnswers:
    """Celery's control, of an app without workers."""

    def __getattr__(self, method: str) -> object:
        return lambda **_: None

    def inspect(self, **_: object) -> "NobodyAnswers":
        """Asks."""
        return self


@pytest.fixture
def now_s() -> list[float]:
    """The time of the filter."""
    return [0.0]


@pytest.fixture
def inspector(now_s: list[float], caplog: pytest.LogCaptureFixture) -> Iterator[Inspector]:
    """Flower's, whose questions nobody answers."""
    quiet = NoWorkerYet(lambda: now_s[0])
    logger = logging.getLogger(INSPECTOR)
    logger.addFilter(quiet)
    caplog.set_level(logging.INFO, INSPECTOR)
    yield Inspector(None, SimpleNamespace(control=NobodyAnswers()), timeout=1)
    logger.removeFilter(quiet)


def test_four_questions_that_nobody_answers_are_one_line(
    inspector: Inspector, now_s: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """No warning: workers that start beside Flower are ready after it. Minutes later once more."""
    for now_s[0] in (0.0, SILENCE_S - 1, SILENCE_S):
        for method in ASKED:
            inspector._inspect(method, None)
    line = (INSPECTOR, logging.INFO, "no worker has answered yet; each is shown once it does")
    assert caplog.record_tuples == [line, line]


def test_what_else_flower_says_is_left_as_it_is(
    inspector: Inspector, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that is away is a warning."""
    logging.getLogger(INSPECTOR).warning("Inspect method %s failed: %s", "stats", "refused")
    ((_, level, text),) = caplog.record_tuples
    assert (level, text) == (logging.WARNING, "Inspect method stats failed: refused")
