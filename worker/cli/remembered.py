"""What a conversation leaves in Redis: the histories as they lie there, and the statistics."""

import time
from collections.abc import Sequence
from dataclasses import replace

from memory import Command, Housekeeping, MemoryServiceError, StatsPoint
from memory.records.stats import memory_stats
from memory.redis.replies import integer, strings
from tasks.process.services import producer_services
from worker.cli.console import say, show
from worker.cli.stats import table_of, table_over_time

SNAPSHOT_TIMEOUT_S = 15.0
POLL_S = 0.1
SHOWN_POINTS = 5


def show_histories(sessions: Sequence[tuple[str, str]]) -> None:
    """Print each session's history: the elements of its list, unchanged."""
    services = producer_services()
    say("\nThe histories as they lie in Redis", style="bold")
    for agent_id, session_id in sessions:
        key = services.keyspace.session(agent_id, session_id).history
        elements, ttl_s = services.memory.run_all(
            Command(strings, ("LRANGE", key, 0, -1)), Command(integer, ("TTL", key))
        )
        say(f"\n> LRANGE {key} 0 -1      ({len(elements)} elements, TTL {ttl_s} s)", style="cyan")
        for number, element in enumerate(elements, start=1):
            say(f"{number}) {element.decode()}")


def show_statistics() -> None:
    """Print the memory statistics of now and the last snapshots that beat had taken.

    Waits for one that counts a session. Raises MemoryServiceError if none comes.
    """
    services = producer_services()
    say()
    show(table_of(memory_stats(services.memory, services.keyspace)), is_to_read=True)
    points = _snapshots()
    say()
    title = f"Snapshots that beat had taken, in {services.keyspace.stats}"
    show(replace(table_over_time(points), title=title), is_to_read=True)


def _snapshots() -> list[StatsPoint]:
    services = producer_services()
    housekeeping = Housekeeping(services.memory, services.keyspace)
    deadline = time.monotonic() + SNAPSHOT_TIMEOUT_S
    while time.monotonic() < deadline:
        points = housekeeping.read_stats(limit=SHOWN_POINTS)
        if points and points[-1].sessions:
            return points
        time.sleep(POLL_S)
    raise MemoryServiceError("no statistics were taken in time: is beat running?")
