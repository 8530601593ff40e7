"""What a job's model may call: the tools of its agent, as far as the job wants them."""

from collections.abc import Callable

from agents import Profile, ToolContext, ToolEvent, ToolRounds, UnknownTool
from tasks.errors import InvalidJob
from tasks.job.job import ChatJob
from tasks.process.wiring import Services

PER_SAID_MESSAGE = 4
"""So many messages of the history are brought for one that is said, where tools may be called."""
MOST_MESSAGES = 1000


def messages_to_bring(profile: Profile, max_history: int | None) -> int:
    """How many messages of the history a turn needs, to show `max_history` that were said.

    None: as many as the profile says. Calls of tools and their results lie between them.
    """
    said = profile.max_history if max_history is None else max_history
    return max(said, min(said * PER_SAID_MESSAGE, MOST_MESSAGES)) if profile.tools else said


def tool_rounds(
    services: Services,
    profile: Profile,
    job: ChatJob,
    *,
    job_id: str,
    attempt: int,
    on_event: Callable[[ToolEvent], None],
) -> ToolRounds:
    """The tools of one attempt. Raises InvalidJob for a tool that the agent has not."""
    try:
        tools = services.toolbox.of(profile, job.tool_names)
    except UnknownTool as exc:
        raise InvalidJob(str(exc)) from None
    return ToolRounds(
        tools,
        ToolContext(job.agent_id, job.session_id, job_id, attempt),
        services.toolbox.threads,
        max_rounds=services.settings.agents.tool_rounds,
        on_event=on_event,
    )
