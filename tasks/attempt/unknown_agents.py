"""Agents that the default profile answers for: each is logged once, for its id may be a mistake."""

import logging

from agents import Profiles
from memory.ids import shown_id

logger = logging.getLogger(__name__)

MOST_NAMED = 100
"""Ids that one process names; there may be one for each user."""


class UnknownAgents:
    """Those that this process has met."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles
        self._named: set[str] = set()

    def note(self, agent_id: str) -> None:
        """Log an agent that has no profile of its own, once; not where no agent has one."""
        known = self._profiles.by_id
        if not known or agent_id in known or agent_id in self._named:
            return
        if len(self._named) >= MOST_NAMED:
            return
        self._named.add(agent_id)
        more = "; no more are named" if len(self._named) == MOST_NAMED else ""
        logger.info(
            "agent %s has no profile, the default one answers for it; if its id is a mistake, "
            "`griot agents` lists those that have one%s",
            shown_id(agent_id),
            more,
        )
