"""Which agents have a profile of their own, and what is said of one that has none."""

from difflib import get_close_matches

from agents import Profiles
from memory.ids import is_id, shown_id
from tasks.process.services import producer_services
from worker.cli.console import note


def note_unknown(agent: str) -> None:
    """Say so on standard error where the default profile answers for an agent."""
    if said := unknown(producer_services().settings.profiles, agent):
        note(f"griot: {said}")


def unknown(profiles: Profiles, agent: str) -> str:
    """What is said of an agent without a profile of its own; empty where it has one, or where none
    has."""
    # Of what can be no id, the command itself says so.
    if not profiles.by_id or agent in profiles.by_id or not is_id(agent):
        return ""
    near = get_close_matches(agent, profiles.by_id, n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    return (
        f"agent {shown_id(agent)} has no profile: the default one answers for it.{meant} "
        "`griot agents` lists the agents"
    )
