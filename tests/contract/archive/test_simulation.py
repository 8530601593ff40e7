"""The archive in a simulated world: whoever acts or dies between two steps, all that was said is
there once, in order, and what was removed stays removed.

The seeds are fixed: a failure names its seed.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from memory.records import archived
from memory.redis.command import LuaScript
from memory.settings import MemorySettings
from sandbox.valkey import ValkeyServer
from tests.support.archive.world import ArchiveWorld, Violation
from tests.support.effort import effort
from tests.support.mailbox.mutants import by_name, mutate, without

SEEDS, MUTANT_SEEDS, ACTS = effort(6, long=400), 60, 25
MOVED_CHECK = """if known[1] ~= generation or (tonumber(known[2]) or 0) ~= tonumber(first)
  or not is_at(0, oldest) or not is_at(taken - 1, newest) then return {'MOVED', messages} end
"""
USED_CHECK = """if messages ~= tonumber(taken) or left_ms < 0 or left_ms > tonumber(hold_ms)
  or redis.call('EXISTS', queue, delayed) > 0 then return {'USED', messages} end
"""
MUTANTS = {
    "ARCHIVE_TAKEN removes whatever is there": without(archived._TAKEN, MOVED_CHECK),
    "ARCHIVE_TAKEN does not count": without(
        archived._TAKEN, "  redis.call('HSET', archive, 'first', first + taken)\n"
    ),
    "ARCHIVE_TAKEN removes a session that is spoken to": without(archived._TAKEN, USED_CHECK),
    "READ_BACK brings back what was removed": mutate(
        archived._READ_BACK, (" or (held[3] or '') ~= rev", "")
    ),
    "READ_BACK counts from the beginning": mutate(
        archived._READ_BACK, ("'first', first,", "'first', 0,")
    ),
}
KNOWN = {
    "ARCHIVE_TAKEN removes whatever is there": 10,
    "READ_BACK brings back what was removed": 22,
}
"""The first seeds that found them, where few do."""
Run = Callable[..., None]


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """A server for the simulation alone."""
    with ValkeyServer() as made:
        yield made


@pytest.fixture
def run(server: ValkeyServer, tmp_path: Path) -> Run:
    """Run one seed."""

    def one(seed: int, *mutants: LuaScript) -> None:
        path = tmp_path / f"{seed}.db"
        settings = MemorySettings(
            url=SecretStr(server.url()), archive_url=SecretStr(f"sqlite:///{path}")
        )
        server.command("FLUSHALL")
        # With one session a mutant is found sooner.
        sessions = ("s1",) if mutants else ("s1", "s2")
        world = ArchiveWorld(settings, path, seed, by_name(mutants), sessions=sessions)
        try:
            world.run(ACTS)
        except Violation as violation:
            violation.add_note(f"seed {seed}")
            raise
        finally:
            world.close()

    return one


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_lost_or_doubled_and_what_is_removed_stays_so(run: Run, seed: int) -> None:
    """After each step of the archiver and of each turn, and in the archive at the end."""
    run(seed)


@pytest.mark.parametrize("name", MUTANTS)
def test_an_archive_without_one_of_its_rules_is_found_out(run: Run, name: str) -> None:
    """The test of the test: some seed ends in a violation."""
    for seed in dict.fromkeys((KNOWN.get(name, 0), *range(MUTANT_SEEDS))):
        try:
            run(seed, MUTANTS[name])
        except Violation:
            return
    pytest.fail(f"no violation in {MUTANT_SEEDS} seeds")
