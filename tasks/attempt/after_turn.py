"""What is wanted once a turn is committed. Pure."""

from agents.profiles import Profile
from agents.prompt import history_limit
from memory import Mailbox
from tasks.job.job import ChatJob
from tasks.job.result import ChatResult
from tasks.process.summaries import Wanted


def summary_wanted(
    profile: Profile, mailbox: Mailbox, job: ChatJob, result: ChatResult, turn_messages: int
) -> Wanted | None:
    """The summary of what the session's model will not be shown again, now that nothing waits
    there; None where the agent has none, or all is shown."""
    window = history_limit(job.ask, profile)
    # What the job brought along is among both.
    had = result["history_messages"] + turn_messages - len(job.preceding or ())
    # What tools did is not counted in the window: with tools only what has fallen out is known.
    has_calls = profile.tools or job.functions or job.continues
    stays = had if has_calls else min(had, window)
    is_any_hidden = result["receipt"]["messages_left_out"] or stays < had
    if profile.summary and window and is_any_hidden:
        return Wanted(mailbox, result["model"], stays, job.user)
    return None
