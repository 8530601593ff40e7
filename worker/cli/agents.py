"""`griot agents`: who can be asked, and what each is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import click

from agents import Profile
from memory import Connection, Keyspace, MemoryServiceError, index
from tasks.process.configuration import Settings
from tasks.process.services import producer_services
from worker.cli.console import Table, json_option, kept_for, limit_option, note, show, show_json

ANY = "(any other)"


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent; `sessions` is None where Redis does not say how many are kept."""

    agent_id: str
    profile: str
    """Its own, or "default"."""
    model: str
    tools: tuple[str, ...]
    fallback: tuple[str, ...]
    max_history: int
    summary: bool
    ttl_s: int
    sessions: int | None = None


@click.command()
@limit_option
@json_option
def agents(limit: int, as_json: bool) -> None:
    """List the agents: those with a profile, and those that the default profile answers for.

    Of the latter, which have sessions and no profile, the --limit that were active last. Sessions
    are kept for the TTL after their last use.

    \b
    Example:
      griot agents
      griot agents --json | jq -r '.[] | select(.profile == "default") .agent_id'
    """
    services = producer_services()
    found = agents_known(services.settings)
    try:
        found = list(_with_sessions(services.memory, services.keyspace, found, limit))
    except MemoryServiceError as exc:
        note(f"griot: sessions are not shown: {exc}")
    if as_json:
        show_json([one for one in found if one.agent_id != ANY])
        return
    columns = ("Agent", "Profile", "Model", "Tools", "Kept for", "Sessions")
    show(Table("Agents", columns, [_row(one) for one in found]))


def agents_known(settings: Settings) -> list[Agent]:
    """The agents that have a profile, and what any other id gets; without their sessions."""
    profiles = settings.profiles
    default = replace(_agent(profiles.default, settings), agent_id=ANY, profile="default")
    return [*(_agent(one, settings) for one in profiles.by_id.values()), default]


def _row(one: Agent) -> tuple[object, ...]:
    tools, kept = ", ".join(one.tools), kept_for(one.ttl_s)
    return one.agent_id, one.profile, one.model, tools, kept, one.sessions


def _agent(profile: Profile, settings: Settings) -> Agent:
    return Agent(
        agent_id=profile.agent_id,
        profile="own",
        model=profile.model or settings.llm.model,
        tools=tuple(tool.function.rpartition(".")[2] for tool in profile.tools),
        fallback=profile.fallback,
        max_history=profile.max_history,
        summary=profile.summary,
        ttl_s=settings.ttl_of(profile.agent_id),
    )


def _with_sessions(
    memory: Connection, keyspace: Keyspace, known: list[Agent], limit: int
) -> Iterator[Agent]:
    """The same with their sessions, and those that only have sessions."""
    *own, default = known
    named = {one.agent_id for one in own}
    active = memory.run(index.newest(keyspace.agents, limit=limit + len(named)))
    others = [one.member for one in active if one.member not in named][:limit]
    found = [*own, *(replace(default, agent_id=agent_id) for agent_id in others)]
    sizes = memory.run_each([index.size(keyspace.sessions(one.agent_id)) for one in found])
    sessions: Mapping[str, int] = dict(zip((one.agent_id for one in found), sizes, strict=True))
    yield from (replace(one, sessions=sessions[one.agent_id]) for one in found)
    yield default
