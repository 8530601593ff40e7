"""What a job's model may call: the tools of its agent, as far as the job wants them."""

from collections.abc import Callable

from agents import Profile, ToolContext, ToolEvent, ToolRounds, UnknownTool
from tasks.errors import InvalidJob
from tasks.job import ChatJob
from tasks.wiring import Services


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
