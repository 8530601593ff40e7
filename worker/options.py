"""The options of `celery worker` that would do nothing here, or something else than they say.

Each is honoured, or refused in one line before the worker takes a job (docs/operations.md has the
table). What Celery itself honours under every pool is not named.
"""

from collections.abc import Mapping
from pathlib import Path

from celery.concurrency import get_implementation
from celery.utils.sysinfo import is_auto_concurrency
from celery.utils.text import str_to_list

from tasks.errors import ConfigurationError
from worker.command_line import check_global_options, is_given
from worker.settings import MOST_TURNS

OWN, FORKING, ALONE = "worker.pool:LoopPool", "prefork", "solo"
POOLS = ("processes", FORKING, "threads", ALONE)
"""What `-P` may name besides the pool of our own, which is that of a worker without it."""
OF_PROCESSES = ("max_tasks_per_child", "max_memory_per_child", "pool_start_method")
OF_TIME = ("time_limit", "soft_time_limit")
LEAST = {"prefetch_multiplier": 0, "heartbeat_interval": 1}
"""Below, a worker takes no message at all, or has another pulse than it was given."""
SLOWEST_PULSE_S = 10.0
"""WORKER_ALIVE_FILE is touched with each heartbeat, and health checks look for half a minute."""


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
    check_global_options()
    check_schedule("schedule_filename")
    if given.get("scheduler") is not None and not given.get("beat"):
        raise ConfigurationError("--scheduler: does nothing without -B; leave it out")
    for name in ("queues", "exclude_queues"):
        if is_given(name) and not any(str_to_list(given.get(name)) or ()):
            raise ConfigurationError(f"{_option(name)}: names no queue")
    for name, least in LEAST.items():
        number = given.get(name)
        if isinstance(number, int) and number < least:
            raise ConfigurationError(f"{_option(name)} {number}: must be {least} or more")
    _check_times(given)
    _check_processes(given, pool)
    _check_size(given, pool)
    _check_pulse(given, alive_file)


def check_schedule(option: str) -> None:
    """Refuse a file for beat's schedule, `option` being click's name for it."""
    if is_given(option):
        raise ConfigurationError(
            "--schedule: beat keeps its schedule in memory and writes no file; leave it out"
        )


def turns_of(pool: type[object]) -> dict[str, int]:
    """The option that a pool needs which runs one turn, whatever WORKER_CONCURRENCY says: it would
    take messages from the broker that another worker could have answered."""
    return {"concurrency": 1} if pool is get_implementation(ALONE) else {}


def _check_times(given: Mapping[str, object]) -> None:
    for name in OF_TIME:
        if given.get(name) is not None:
            raise ConfigurationError(
                f"{_option(name)}: Celery would end the task and not its job, which its mailbox "
                "brings back; bound calls with LLM_TOTAL_TIMEOUT and AGENT_TOOL_TIMEOUT"
            )


def _check_processes(given: Mapping[str, object], pool: type[object]) -> None:
    if given.get("pool_start_method") == "spawn":
        raise ConfigurationError(
            "--pool-start-method spawn: Celery cannot hand Griot's app to a process that starts "
            "from nothing; leave it out"
        )
    asked = [_option(name) for name in OF_PROCESSES if given.get(name) is not None]
    if is_given("optimization") and given.get("optimization") == "default":
        asked.append("-O default")
    if is_auto_concurrency(given.get("concurrency")):
        asked.append("--concurrency auto")
    if asked and pool is not get_implementation(FORKING):
        raise ConfigurationError(
            f"{asked[0]}: only a pool of processes supports it; add -P processes, or leave it out"
        )


def _check_size(given: Mapping[str, object], pool: type[object]) -> None:
    turns, scale = given.get("concurrency"), given.get("autoscale")
    if isinstance(turns, int) and not 1 <= turns <= MOST_TURNS:
        raise ConfigurationError(f"--concurrency {turns}: a worker runs 1 to {MOST_TURNS} turns")
    if pool is get_implementation(ALONE) and is_given("concurrency") and turns != 1:
        raise ConfigurationError(f"--concurrency {turns}: -P solo runs one turn at a time")
    if scale is None:
        return
    if pool not in map(get_implementation, (OWN, FORKING)):
        raise ConfigurationError(
            f"--autoscale: a pool of {_name_of(pool)} keeps its size; leave one of the two out"
        )
    if isinstance(scale, tuple) and not 1 <= scale[0] <= MOST_TURNS:
        raise ConfigurationError(f"--autoscale {scale[0]}: a worker runs 1 to {MOST_TURNS} turns")


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
