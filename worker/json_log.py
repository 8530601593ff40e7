"""The log as JSON: one object for each line, for what collects the logs of many processes."""

import json
import logging
import sys
import warnings
from dataclasses import asdict
from datetime import UTC, datetime

from tasks.process.log_context import JobInLog, job_in_log
from telemetry import tracing

MOST_CHARACTERS = 8192
"""So long may a message or a traceback be; the rest of a longer one is left out."""


def bounded(text: str) -> str:
    """`text`, the rest of one over MOST_CHARACTERS counted only."""
    if (more := len(text) - MOST_CHARACTERS) <= 0:
        return text
    return f"{text[:MOST_CHARACTERS]}… and {more} characters more"


def show_warnings() -> None:
    """Write warnings as JSON, too, also those before Celery has the logs set up."""

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        said = f"{category.__name__}: {message}"
        record = logging.LogRecord("py.warnings", logging.WARNING, "", 0, said, None, None)
        print(JsonLine().format(record), file=sys.stderr)

    warnings.showwarning = show


class JsonLine(logging.Formatter):
    """One JSON object, in ASCII, for each record: `at` (UTC, ISO 8601), `level`, `process`,
    `logger`, `message`, `traceback` if there is one, and, in what is logged about a job, its `job`,
    `agent`, `session` and `attempt`, and `request` of what came through a gateway; and the id of
    its `trace`, where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line. Nothing in it can end it or steer a terminal: JSON escapes all that could."""
        about = job_in_log()
        shown: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": record.processName,
            "logger": record.name,
            "message": bounded(record.getMessage()),
            "trace": tracing.trace_id(),
            **({} if about is None else _known(about)),
        }
        if record.exc_info:
            shown["traceback"] = bounded(self.formatException(record.exc_info))
        elif record.stack_info:
            shown["traceback"] = bounded(record.stack_info)
        return json.dumps({name: value for name, value in shown.items() if value is not None})


def _known(about: JobInLog) -> dict[str, object]:
    return {name: value for name, value in asdict(about).items() if value is not None}
