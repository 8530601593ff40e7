"""What a turn that is computed has to bring along, besides its messages. Pure."""

from agents.profiles import Profile
from agents.prompt import history_limit
from memory import Command, Mailbox
from memory.quotas import charges
from tasks.job.job import ChatJob
from tasks.job.result import ChatResult
from tasks.process.configuration import Settings
from tasks.process.summaries import Wanted


def spending(
    settings: Settings, mailbox: Mailbox, job: ChatJob, result: ChatResult
) -> tuple[Command[int], ...]:
    """What takes the turn's tokens out of the quotas of its job's owners; safe to repeat."""
    owners = settings.owners_of(job.agent_id, job.user)
    tokens = result["usage"]["prompt_tokens"] + result["usage"]["completion_tokens"]
    return charges.spend(mailbox.keyspace, result["job_id"], owners, tokens)


def summary_wanted(
    profile: Profile, mailbox: Mailbox, job: ChatJob, result: ChatResult, turn_messages: int
) -> Wanted | None:
    """The summary of what the session's model will not be shown again, now that nothing waits
    there; None where the agent has none, or all is shown."""
    window = history_limit(job.ask, profile)
    # What the job brought along is among both.
    had = result["history_messages"] + turn_messages - len(job.preceding or ())
    # What tools did is not counted in the window: with tools only what has fallen out is known.
    stays = had if profile.tools else min(had, window)
    is_any_hidden = result["receipt"]["messages_left_out"] or stays < had
    if profile.summary and window and is_any_hidden:
        return Wanted(mailbox, result["model"], stays)
    return None
