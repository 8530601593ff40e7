"""Logs: a line per event on the terminal and in `logs/app.log`, no word of a conversation."""

import logging
from collections.abc import Mapping
from logging.config import dictConfig
from pathlib import Path

from tasks.beat.schedule import PERIODIC
from tasks.process.log_context import job_in_log
from worker.json_log import MOST_CHARACTERS, bounded
from worker.settings import WorkerSettings

LINE = "%(asctime)s %(levelname)-7s %(processName)s %(name)s: %(message)s"
KEPT_FILES = 5

# Chatty below WARNING, and nothing in it that an operator of ours needs; redis-py's cluster client
# (8.1) even logs the arguments of commands, which hold messages.
QUIET = ("httpx", "httpcore", "aiohttp", "amqp", "kombu", "asyncio", "tornado.access", "redis")
# At DEBUG they represent what each task is called with (celery 5.7.0, `TaskPool: Apply`), and what
# a process returns.
POOLS = ("celery.pool", "celery.concurrency")
# "Task … received", for each message: its end has a line of its own, and Flower shows what runs.
ON_RECEIPT = "celery.worker.strategy"
# Commands of remote control that fail: kombu 5.7.0 represents the error, which quotes the command.
COMMANDS = "kombu.pidbox"

# What beat sends, and that it went well, several times a minute for ever: only at DEBUG.
ROUTINE = ("celery.app.trace", "celery.worker.request")


class OneLine(logging.Formatter):
    """One line for each record, in which nothing can end it, steer a terminal or hide.

    Ids and names are others' to choose: one with a line's end would write lines of its own. The
    lines of a traceback follow, indented.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line, its control characters escaped; it names the job that it is about."""
        record.message, about = bounded(escaped(record.message)), job_in_log()
        if about is not None and about.job not in record.message:
            record.message += f" (job {about.job})"
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:
        """The traceback of a record, its lines indented."""
        return _indented(super().formatException(ei))  # type: ignore[arg-type]  # as it is given

    def formatStack(self, stack_info: str) -> str:
        """The stack of a record that asks for it."""
        return _indented(super().formatStack(stack_info))


def escaped(text: str) -> str:
    """`text` with a Python escape for each character that cannot be printed."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def only_its_kind(record: logging.LogRecord) -> bool:
    """A filter that lets each record pass, without what an error says."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            type(one).__name__ if isinstance(one, BaseException) else one for one in record.args
        )
    record.exc_info = None
    return True


def no_routine(record: logging.LogRecord) -> bool:
    """A filter that stops what beat does every few seconds, where it goes well."""
    if record.levelno != logging.INFO:
        return True
    args = record.args or ()
    task = args.get("name") if isinstance(args, Mapping) else next(iter(args), None)
    return task not in PERIODIC


def _indented(lines: str) -> str:
    return "\n".join(f"    {escaped(line)}"[:MOST_CHARACTERS] for line in lines.split("\n"))


def set_up(
    settings: WorkerSettings, level: str | None = None, log_file: Path | None = None
) -> None:
    """Send the logs of this process to the terminal and to the settings' file.

    `level` and `log_file` override the settings' (Celery's `--loglevel` and `--logfile`). A file
    that cannot be written is named once on the terminal and done without. Several processes may
    write to one.
    """
    settings = settings.model_copy(update={} if log_file is None else {"log_file": log_file})
    chosen = level or settings.log_level
    dictConfig(_config(settings, chosen, handlers=["terminal"]))
    if settings.log_file is None:
        return
    try:
        settings.log_file.parent.mkdir(parents=True, exist_ok=True)
        dictConfig(_config(settings, chosen, handlers=["terminal", "file"]))
    except (OSError, ValueError) as exc:
        logging.getLogger(__name__).warning("no log file: %s", exc.__cause__ or exc)


def _config(settings: WorkerSettings, level: str, handlers: list[str]) -> dict[str, object]:
    known: dict[str, dict[str, object]] = {
        "terminal": {"class": "logging.StreamHandler", "formatter": settings.log_format},
        "file": {
            "class": "worker.shared_log.SharedRotatingFileHandler",
            "filename": str(settings.log_file),
            "max_bytes": settings.log_max_bytes,
            "kept": KEPT_FILES,
            "formatter": settings.log_format,
        },
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "kind": {"()": lambda: only_its_kind},
            "routine": {"()": lambda: no_routine},
        },
        "formatters": {
            "line": {"()": "worker.logs.OneLine", "fmt": LINE},
            "json": {"()": "worker.json_log.JsonLine"},
        },
        "handlers": {name: known[name] for name in handlers},
        "root": {"level": level, "handlers": handlers},
        "loggers": {
            **{name: {"level": "WARNING"} for name in QUIET},
            **{name: {"level": "INFO"} for name in POOLS},
            COMMANDS: {"filters": ["kind"]},
            **{name: {"filters": [] if level == "DEBUG" else ["routine"]} for name in ROUTINE},
            ON_RECEIPT: {"level": level if level == "DEBUG" else "WARNING"},
        },
    }
