"""One record is one line of the log, whatever is in it."""

import asyncio
import json
import logging
from contextvars import Context

import pytest

from tasks.job.envelope import JobRef
from tasks.process.log_context import JobInLog, job_in_log, log_about, log_attempt
from worker.json_log import JsonLine
from worker.logs import LINE, MOST_CHARACTERS, OneLine, escaped

FORGED = "a\n2001-01-01 00:00:00,000 CRITICAL forged\r\x1b[2K\u2028\u202e\x00\ud800"


def line_of(message: str, *args: object, error: BaseException | None = None) -> str:
    """How the log writes it."""
    return OneLine(LINE).format(record_of(message, *args, error=error))


def record_of(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    """What a logger makes of it."""
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("tasks", logging.INFO, "f.py", 1, message, args, info)


def json_of(message: str, *args: object, error: BaseException | None = None) -> dict[str, object]:
    """What the log has of it as JSON, which is one line of ASCII."""
    line = JsonLine().format(record_of(message, *args, error=error))
    assert line.isascii()
    assert line.isprintable()
    shown: dict[str, object] = json.loads(line)
    return shown


def test_a_record_is_one_line() -> None:
    """Its line's ends are escaped, and what steers a terminal, turns text round or is no text."""
    line = line_of("job %s", FORGED)
    assert line.isprintable()
    assert "job a\\n2001-01-01" in line
    assert line.encode("utf-8")


def test_the_lines_of_a_traceback_are_indented() -> None:
    """So that what an error says cannot pass for a record."""
    try:
        raise ValueError(FORGED)
    except ValueError as exc:
        first, *more = line_of("failed", error=exc).split("\n")
    assert first.endswith("failed")
    assert len(more) > 2
    assert all(line.startswith("    ") and line.isprintable() for line in more)


def test_a_stack_is_indented() -> None:
    """As a traceback is."""
    record = logging.LogRecord("tasks", logging.INFO, "f.py", 1, "here", (), None)
    record.stack_info = "Stack:\n  x"
    assert OneLine(LINE).format(record).endswith("here\n    Stack:\n      x")


def test_a_line_is_bounded() -> None:
    """A megabyte is not written; how much was left out is."""
    line = line_of("%s", "x" * 1_000_000)
    assert len(line) < MOST_CHARACTERS + 200
    assert line.endswith(f"… and {1_000_000 - MOST_CHARACTERS} characters more")


@pytest.mark.parametrize("text", ["plain", "ä 中 😀", ""])
def test_what_can_be_printed_stays_as_it_is(text: str) -> None:
    """Most lines are no work."""
    assert escaped(text) == text


JOB = JobInLog.of(JobRef("a1", "energy", "kwame's own"))


def test_a_line_names_its_job_once() -> None:
    """Where its words do not, the job's id follows them; what is about no job stays as it is."""
    with log_about(JOB):
        assert line_of("the slot is free").endswith("the slot is free (job a1)")
        assert line_of("job %s waits", "a1").endswith("job a1 waits")
    assert line_of("the slot is free").endswith("the slot is free")


def test_a_line_as_json_has_the_ids_of_its_job() -> None:
    """As `shown_id` writes them, with the attempt's number from when it is known."""
    job = JobInLog.of(JobRef("a1", "energy", "kwame's own"))
    with log_about(job):
        assert "attempt" not in json_of("it begins")
        log_attempt(2)
    with log_about(job):
        shown = json_of("it ends")
    assert (shown["message"], shown["level"], shown["logger"]) == ("it ends", "INFO", "tasks")
    ids = [shown[name] for name in ("job", "agent", "session", "attempt")]
    assert ids == ["a1", "energy", "kwame%27s%20own", 2]
    assert "job" not in json_of("about nobody")


def test_json_holds_whatever_is_said() -> None:
    """No line's end, half character or megabyte gets out of it; a traceback has its own name."""
    assert json_of("job %s", FORGED)["message"] == f"job {FORGED}"
    assert len(str(json_of("x" * 1_000_000)["message"])) < MOST_CHARACTERS + 200
    try:
        raise ValueError(FORGED)
    except ValueError as exc:
        shown = json_of("failed", error=exc)
    assert shown["message"] == "failed"
    assert str(shown["traceback"]).startswith("Traceback")


def test_a_task_for_all_jobs_names_none() -> None:
    """A task of its own goes on naming the job, one in a new context does not."""

    async def named() -> JobInLog | None:
        return job_in_log()

    async def both() -> tuple[JobInLog | None, JobInLog | None]:
        with log_about(JOB):
            own, shared = (
                asyncio.create_task(named()),
                asyncio.create_task(named(), context=Context()),
            )
        return await own, await shared

    assert asyncio.run(both()) == (JOB, None)
