"""The options of `celery worker` that would do nothing here, or something else than they say.

Each is honoured, or refused in one line before the worker takes a job (docs/operations.md has the
table). What Celery itself honours under every pool is not named.
"""

from collections.abc import Mapping
from pathlib import Path

import click
from celery.concurrency import get_implementation
from click.core import ParameterSource

from tasks.errors import ConfigurationError
from worker.settings import MOST_TURNS

OWN, FORKING = "worker.pool:LoopPool", "prefork"
POOLS = ("processes", FORKING, "threads", "solo")
"""What `-P` may name besides the pool of our own, which is that of a worker without it."""
OF_PROCESSES = ("max_tasks_per_child", "max_memory_per_child", "pool_start_method")
OF_TIME = ("time_limit", "soft_time_limit")
SLOWEST_PULSE_S = 10.0
"""WORKER_ALIVE_FILE is touched with each heartbeat, and health checks look for half a minute."""


def is_given(name: str) -> bool:
    """Whether an option stands in the command line, or in the environment that click reads."""
    context = click.get_current_context(silent=True)
    source = context.get_parameter_source(name) if context is not None else None
    return source in {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT}


def pool_of(pool: object) -> type[object]:
    """The pool that a worker gets which was started with `pool`.

    Celery 5.7.0 cannot tell `-P prefork` from no option at all, and gives both the pool of the
    configuration; click can. Raises ConfigurationError for one that cannot run our event loop.
    """
    chosen: type[object] = get_implementation(pool or OWN)
    if chosen is get_implementation(OWN):
        if is_given("pool"):
            chosen = get_implementation(FORKING)
        return chosen
    if chosen not in map(get_implementation, POOLS):
        raise ConfigurationError(
            f"-P {_name_of(chosen)}: the event loop of chat jobs does not run in that pool; leave "
            f"-P out, or name one of {', '.join(POOLS)}"
        )
    return chosen


def check_options(given: Mapping[str, object], pool: type[object], alive_file: Path | None) -> None:
    """Refuse what would silently do nothing. Raises ConfigurationError, one line."""
    for name in OF_TIME:
        if given.get(name) is not None:
            raise ConfigurationError(
                f"{_option(name)}: Celery would end the task and not its job, which its mailbox "
                "brings back; bound calls with LLM_TOTAL_TIMEOUT and AGENT_TOOL_TIMEOUT"
            )
    for name in OF_PROCESSES:
        if given.get(name) is not None and pool is not get_implementation(FORKING):
            raise ConfigurationError(
                f"{_option(name)}: only a pool of processes knows it; add -P processes, or leave "
                "it out"
            )
    turns = given.get("concurrency")
    if isinstance(turns, int) and not 1 <= turns <= MOST_TURNS:
        raise ConfigurationError(f"--concurrency {turns}: a worker runs 1 to {MOST_TURNS} turns")
    check_schedule("schedule_filename")
    _check_pulse(given, alive_file)


def check_schedule(option: str) -> None:
    """Refuse a file for beat's schedule, `option` being click's name for it."""
    if is_given(option):
        raise ConfigurationError(
            "--schedule: beat keeps its schedule in memory and writes no file; leave it out"
        )


def _check_pulse(given: Mapping[str, object], alive_file: Path | None) -> None:
    if alive_file is None:
        return
    every_s = given.get("heartbeat_interval")
    is_slow = isinstance(every_s, int | float) and every_s > SLOWEST_PULSE_S
    if given.get("without_heartbeat") or is_slow:
        raise ConfigurationError(
            f"WORKER_ALIVE_FILE={alive_file} is touched with each heartbeat: leave "
            "--without-heartbeat out, and --heartbeat-interval at most "
            f"{SLOWEST_PULSE_S:.0f}"
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _name_of(pool: type[object]) -> str:
    return pool.__module__.rpartition(".")[2]
