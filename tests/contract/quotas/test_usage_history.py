"""Random histories of jobs whose deliverers die: what was used counts once, and records say how
each job has ended. Operations that were made wrong are found out."""

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from memory.keys import Keyspace
from memory.quotas import job_records, pending, usage
from memory.quotas.job_records import ALL, Listed, names_of
from memory.quotas.pending import RELEASE_JOBS, EndedJob
from memory.quotas.usage import AGENT, Spent
from memory.redis.command import LuaScript, digest
from tests.support.effort import effort
from tests.support.memory_fixtures import Backend
from tests.support.quotas.rig import QuotaRig, agent

STEPS = 120
SEEDS = effort(4, long=60)
MUTANTS = {
    "every release counts": (
        "if is_first == 1 and spent",
        "whose = whose or 'a:energy'\n  if spent",
    ),
    "a later end overwrites the first": ("'^open (%d+) 0(.*)$'", "'^%l+ (%d+) %d+(.*)$'"),
    "what was not taken in stays": ("or taken and state == ''", ""),
    "the day has no row": ("add_usage('d:', numbers)", ""),
}
TURN = Spent(turns=1, tokens_in=7, tokens_out=3)


def mutant(old: str, new: str) -> LuaScript:
    """RELEASE_JOBS with a fault in it."""
    assert old in RELEASE_JOBS.source
    source = RELEASE_JOBS.source.replace(old, new)
    return replace(RELEASE_JOBS, source=source, sha=digest(source))


@dataclass
class World:
    """Producers, and deliverers of an outbox of which each may die before it is noted."""

    rig: QuotaRig
    rng: random.Random
    release: LuaScript = RELEASE_JOBS
    outbox: dict[str, EndedJob] = field(default_factory=dict)
    open_jobs: list[str] = field(default_factory=list)
    ended: dict[str, str] = field(default_factory=dict)
    number: int = 0

    def step(self) -> None:
        """What somebody does next."""
        self.rng.choice((self.send, self.send, self.refuse, self.end, self.end, self.deliver))()
        self.rig.later(self.rng.randrange(50))

    def note(self, job: str) -> None:
        listed = Listed(names_of("energy", job, None, ()), 86_400_000, 1000)
        self.rig.connection.run(pending.note(self.rig.keyspace, job, [agent()], listed=listed))

    def send(self) -> None:
        """A new job, perhaps twice, or one that is open once more."""
        if self.open_jobs and self.rng.random() < 0.2:
            self.note(self.rng.choice(self.open_jobs))
            return
        self.number += 1
        self.open_jobs.append(f"j{self.number}")
        self.note(self.open_jobs[-1])

    def refuse(self) -> None:
        """A job that is not taken in, or that is over and is sent again."""
        over = sorted(self.ended.keys() - self.outbox.keys())
        job = self.rng.choice(over) if over and self.rng.random() < 0.5 else "refused"
        self.note(job)
        self.run(EndedJob(job))

    def end(self) -> None:
        """A turn, or an end without one."""
        if self.open_jobs:
            job = self.open_jobs.pop(self.rng.randrange(len(self.open_jobs)))
            state = self.rng.choice(("done", "done", "failed", "cancelled"))
            self.ended[job] = state
            self.outbox[job] = EndedJob(job, state, "m", TURN if state == "done" else None)

    def deliver(self, *, dies: bool | None = None) -> None:
        """Release some ends, perhaps twice; whoever dies leaves them in the outbox."""
        some = self.rng.sample(sorted(self.outbox), self.rng.randint(0, len(self.outbox)))
        if not some:
            return
        self.run(*(self.outbox[job] for job in some))
        if self.rng.random() < 0.5 if dies is None else dies:
            return
        for job in some:
            del self.outbox[job]

    def run(self, *ended: EndedJob) -> None:
        now_s = self.rig.now_ms / 1000
        command = pending.release_ended(self.rig.keyspace, ended, now_s=now_s)
        self.rig.connection.run(replace(command, script=self.release))

    def wrong(self) -> list[str]:
        """What is not as it must be once all is delivered."""
        while self.outbox:
            self.deliver(dies=False)
        keyspace, run = self.rig.keyspace, self.rig.connection.run
        today = datetime.fromtimestamp(self.rig.now_ms / 1000, UTC).date()
        turns = sum(state == "done" for state in self.ended.values())
        by_agent = run(usage.of_day(keyspace, today, AGENT)).get("energy", Spent())
        found = run(job_records.records(keyspace, ["refused", *self.ended, *self.open_jobs]))
        states = {one.job_id: one.state for one in found if one is not None}
        wanted = self.ended | dict.fromkeys(self.open_jobs, "open")
        page = job_records.page(
            keyspace, ALL, since_ms=0, until_ms=9_000_000_000_000, place="", limit=1000
        )
        told = {
            "the index": sorted(map(job_records.job_at, run(page))) == sorted(wanted),
            "the day's turns": run(usage.whole_day(keyspace, today)).turns == turns,
            "the agent's turns": by_agent.turns == turns,
            "the records": states == wanted,
        }
        return [what for what, is_right in told.items() if not is_right]


def played(backend: Backend, seed: int, release: LuaScript = RELEASE_JOBS) -> list[str]:
    """What is wrong after a history."""
    prefix = f"{backend.prefix}:h{seed}-{release.sha[:6]}"
    world = World(QuotaRig(backend.connection, Keyspace(prefix)), random.Random(seed), release)
    for _ in range(STEPS):
        world.step()
    return world.wrong()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_each_turn_counts_once_and_each_record_is_right(real_backend: Backend, seed: int) -> None:
    """However often jobs are sent again, and ends are delivered again."""
    assert played(real_backend, seed) == []


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_operation_is_found_out(real_backend: Backend, name: str) -> None:
    """By one of a few histories."""
    script = mutant(*MUTANTS[name])
    assert any(played(real_backend, seed, script) for seed in range(4))
