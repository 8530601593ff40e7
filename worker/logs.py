"""Logs: a line per event on the terminal and in `logs/app.log`, no word of a conversation."""

import logging
from logging.config import dictConfig
from pathlib import Path

from worker.settings import WorkerSettings

LINE = "%(asctime)s %(levelname)-7s %(processName)s %(name)s: %(message)s"
KEPT_FILES = 5

# Chatty below WARNING, and nothing in it that an operator of ours needs; redis-py's cluster client
# (8.1) even logs the arguments of commands, which hold messages.
QUIET = ("httpx", "httpcore", "aiohttp", "amqp", "kombu", "asyncio", "tornado.access", "redis")
# "Task … received", for each message: its end has a line of its own, and Flower shows what runs.
ON_RECEIPT = "celery.worker.strategy"


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
        "terminal": {"class": "logging.StreamHandler", "formatter": "line"},
        "file": {
            "class": "worker.shared_log.SharedRotatingFileHandler",
            "filename": str(settings.log_file),
            "max_bytes": settings.log_max_bytes,
            "kept": KEPT_FILES,
            "formatter": "line",
        },
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": LINE}},
        "handlers": {name: known[name] for name in handlers},
        "root": {"level": level, "handlers": handlers},
        "loggers": {
            **{name: {"level": "WARNING"} for name in QUIET},
            ON_RECEIPT: {"level": level if level == "DEBUG" else "WARNING"},
        },
    }
