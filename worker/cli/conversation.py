"""A conversation over several sessions, as any service would hold it.

`python -m worker.cli.conversation` holds it with the settings of the environment; workers must be
running. All that it needs of Griot to talk is `chat_task.delay` and `follow_job`.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import JsonValue

from memory import Event, EventType, MemoryServiceError
from tasks import chat_task, follow_job
from tasks.errors import ChatError
from worker.cli.console import is_terminal, note, say, terminal
from worker.cli.group import INTERRUPTED
from worker.cli.remembered import show_histories, show_statistics
from worker.cli.transcript import Transcript

MAX_TOKENS = 80


@dataclass(frozen=True, slots=True)
class Talk:
    """One session: who is talked to, and what is said, in order."""

    agent_id: str
    session_id: str
    messages: tuple[str, ...]


TALKS = (
    Talk(
        "energy",
        "summit-energy",
        (
            "What are the ECOWAS energy initiatives?",
            "Which of them concern the power pool?",
            "And what does that cost?",
        ),
    ),
    Talk(
        "agriculture",
        "summit-agriculture",
        (
            "What does ECOWAP say about food security?",
            "How large is the regional food reserve?",
            "Who decides when it is opened?",
        ),
    ),
    Talk(
        "supervisor",
        "summit-overview",
        (
            "Irrigation needs cheap power: whose question is that?",
            "Please sum up both answers.",
        ),
    ),
)


def send(talks: Sequence[Talk]) -> list[list[str]]:
    """Send every message at once. The ids of the jobs, by session.

    Each session answers its own in the order sent, one after the other; sessions do not wait for
    each other.
    """
    return [
        [
            chat_task.delay(talk.agent_id, talk.session_id, message, max_tokens=MAX_TOKENS).id
            for message in talk.messages
        ]
        for talk in talks
    ]


def listen(talk: Talk, job_ids: Sequence[str], transcript: Transcript) -> bool:
    """Show the tokens of a session's jobs as they arrive. Whether all were answered."""
    is_answered = True
    for message, job_id in zip(talk.messages, job_ids, strict=True):
        transcript.asked(talk.agent_id, message)
        for event in follow_job(job_id):
            if event.type is EventType.TOKEN:
                transcript.token(talk.agent_id, event.text)
            elif event.type is EventType.DONE:
                transcript.ended(talk.agent_id, _facts(event))
            elif event.type is EventType.FAILED:
                transcript.ended(talk.agent_id, f"failed: {event.data.get('error')}")
                is_answered = False
    return is_answered


class FollowThread(threading.Thread):
    """Shows one session's replies. A daemon: it keeps nobody from leaving early."""

    def __init__(self, talk: Talk, job_ids: Sequence[str], transcript: Transcript) -> None:
        super().__init__(name=f"listen-{talk.agent_id}", daemon=True)
        self.is_answered = False
        self.error: ChatError | MemoryServiceError | OSError | None = None
        self._listen = partial(listen, talk, job_ids, transcript)

    def run(self) -> None:
        """Listen to the end."""
        try:
            self.is_answered = self._listen()
        except (ChatError, MemoryServiceError, OSError) as exc:
            self.error = exc


def converse() -> bool:
    """Hold the whole conversation, the sessions side by side. Whether all was answered."""
    say(
        f"{sum(len(talk.messages) for talk in TALKS)} messages over {len(TALKS)} sessions, "
        "sent at once with chat_task.delay; the replies as they arrive:\n"
    )
    jobs = send(TALKS)
    console = terminal() if is_terminal() else None
    with Transcript([talk.agent_id for talk in TALKS], console) as transcript:
        followers = [
            FollowThread(talk, ids, transcript) for talk, ids in zip(TALKS, jobs, strict=True)
        ]
        for follower in followers:
            follower.start()
        for follower in followers:
            follower.join()
            if follower.error is not None:
                raise follower.error
    return all(follower.is_answered for follower in followers)


def _facts(event: Event) -> str:
    """`14 tokens, first after 41 ms, waited 12 ms, recalled 2 messages`."""
    usage, timings = event.data.get("usage"), event.data.get("timings")
    facts = []
    if isinstance(usage, dict):
        facts.append(f"{usage.get('completion_tokens')} tokens")
    if isinstance(timings, dict):
        facts.append(f"first after {_ms(timings.get('first_token_ms'))}")
        facts.append(f"waited {_ms(timings.get('queue_wait_ms'))}")
    facts.append(f"recalled {event.data.get('history_messages', 0)} messages")
    return ", ".join(facts)


def _ms(value: JsonValue) -> str:
    return f"{value:.0f} ms" if isinstance(value, int | float) else "?"


def main() -> int:
    """Converse, then show what is remembered. The exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))
    try:
        is_answered = converse()
        show_histories([(talk.agent_id, talk.session_id) for talk in TALKS])
        show_statistics()
    except BrokenPipeError:
        # The reader has left: nothing more can be said, not even at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ChatError, MemoryServiceError) as exc:
        note(f"griot: {exc}")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0 if is_answered else 1


if __name__ == "__main__":
    sys.exit(main())
