"""What a job's model may call: the tools of its agent, as far as the job wants them."""

from collections.abc import Callable

from agents import Profile, Toolbox, ToolContext, ToolEvent, ToolRounds, UnknownTool
from tasks.errors import InvalidJob
from tasks.job.job import ChatJob

# docs/decisions.md, "max_history counts what is said".
MESSAGES_PER_SAID = 4
"""So many messages are brought for each that a person or the model said, where tools may be called:
calls of tools and their results lie between them."""
MOST_MESSAGES = 1000


def messages_to_bring(profile: Profile, max_history: int | None) -> int:
    """How many messages of the history a turn needs, to show `max_history` that were said.

    None: as many as the profile says.
    """
    said = profile.max_history if max_history is None else max_history
    return max(said, min(said * MESSAGES_PER_SAID, MOST_MESSAGES)) if profile.tools else said


def tool_rounds(
    toolbox: Toolbox,
    profile: Profile,
    job: ChatJob,
    *,
    job_id: str,
    attempt: int,
    max_rounds: int,
    on_event: Callable[[ToolEvent], None],
) -> ToolRounds:
    """The tools of one attempt. Raises InvalidJob for a tool that the agent has not."""
    try:
        tools = toolbox.of(profile, job.tool_names)
    except UnknownTool as exc:
        raise InvalidJob(str(exc)) from None
    return ToolRounds(
        tools,
        ToolContext(job.agent_id, job.session_id, job_id, attempt),
        toolbox.threads,
        max_rounds=max_rounds,
        on_event=on_event,
    )
