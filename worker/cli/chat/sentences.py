"""What `griot chat` says of a job that waits, is tried again or has ended."""

from memory import Event, EventType
from tasks import NotAccepted
from tasks.job.failure_code import FailureCode
from worker.cli.console import duration, moment_of
from worker.cli.next_steps import program

NO_ANSWERS = {
    "blank": "(the model gave no answer)",
    "thinking": "(the model has only thought, and gave no answer)",
}
"""What is said of an empty reply, by its kind (docs/agents.md)."""
MERGED = "(answered together with a later message)"
CANCELLED = "(cancelled)"
SEND_AGAIN = "send it again (arrow up, Enter), duplicates are ignored"
LOOK_FIRST = "look into the session before you send it again"
"""Of a pipe, which has sent it again under its id as often as it does."""


def why_waiting(event: Event, *, max_wait_s: float) -> str:
    """What a message waits for: others of its session, a slot, its model's servers, a new attempt.

    Empty where it is the next one. `max_wait_s` is how long servers may be away.
    """
    match event.data.get("reason"):
        case "servers_away":
            return (
                f"{_servers_away(event)}; the message waits until it is back, "
                f"at most {duration(max_wait_s)}"
            )
        case "retry":
            return f"{_failed(event)}; the next one begins in {_seconds(event)}"
        case _ if event.type is EventType.WAITING:
            about = f", about {_seconds(event)}" if event.data.get("wait_s") is not None else ""
            return f"the model is busy: {before_you(event.data.get('ahead'))}{about}"
    position = event.data.get("position")
    return f"{position} before this one" if position else ""


def at_work(event: Event, model: str) -> str:
    """That a model thinks, or how far a tool says that it is."""
    if event.type is EventType.THINKING:
        return f"{model} is thinking"
    fraction, text = event.data.get("fraction"), event.data.get("text")
    share = f"{fraction:.0%}" if isinstance(fraction, int | float) else ""
    said = ", ".join(str(part) for part in (share, text) if part)
    runs = f"the tool {event.data.get('name')} runs"
    return f"{runs}: {said}" if said else runs


def before_you(ahead: object) -> str:
    """How many are served first."""
    return f"{ahead} before you" if ahead else "you are next"


def begins_again(wait: Event | None, event: Event) -> str:
    """What is said where a reply that was seen in part begins anew with a `started`.

    `wait` is what its job has waited for since, None for nothing.
    """
    match wait.data.get("reason") if wait is not None else None:
        case "servers_away":
            return "(the model server is back; the reply begins again)"
        case "retry":
            of = f" of {wait.data['max_attempts']}" if wait and "max_attempts" in wait.data else ""
            return f"(attempt {event.attempt}{of}; the reply begins again)"
    return f"(its worker was lost; another one begins the reply again, attempt {event.attempt})"


def gave_back(event: Event) -> str:
    """What is said where a worker that stops has given the job back, so that no attempt counts."""
    return f"(its worker was stopped; another one begins the reply again, attempt {event.attempt})"


def not_confirmed(error: NotAccepted) -> str:
    """What is said of a message that may be in or not: without ids, which nobody types here."""
    why = error.__cause__ or error
    return f"Redis did not confirm the message, which may have been stored ({why})"


def given_up(failed: Event) -> str:
    """Why a job has no answer, and how it is sent again; what has expired is not, nor a turn that
    took too long."""
    reason = f"griot: {failed.data.get('error', 'the job failed')}"
    if failed.data.get("code") in (FailureCode.EXPIRED, FailureCode.TIMEOUT):
        return reason
    again = f"{program()} dead-letters requeue {failed.job_id}"
    return f"{reason}\nIt is a dead letter. Send it again with: {again}"


def _servers_away(event: Event) -> str:
    servers, since_s = event.data.get("servers"), event.data.get("since")
    named = [str(server) for server in servers] if isinstance(servers, list) else []
    since = f" since {moment_of(since_s * 1000)}" if isinstance(since_s, int | float) else ""
    what = f"model server {named[0]} is" if len(named) == 1 else "model servers are"
    which = f" ({', '.join(named)})" if len(named) > 1 else ""
    return f"the {what} away{since}{which}"


def _failed(event: Event) -> str:
    of = f" of {event.data['max_attempts']}" if event.data.get("max_attempts") else ""
    return f"attempt {event.attempt}{of} failed: {event.data.get('error')}"


def _seconds(event: Event) -> str:
    wait_s = event.data.get("wait_s")
    return duration(wait_s) if isinstance(wait_s, int | float) else "a moment"
