"""Runs in a container of another project, as any service that sends jobs: `send`, or `read IDS`.

It is handed to `python -c` as text, so it imports nothing of the tests.
"""

import json
import sys

from memory import get_redis_memory
from tasks import chat_task

SESSIONS, JOBS = 50, 4
TIMEOUT_S = 900


def send() -> None:
    """JOBS jobs for each of SESSIONS sessions, in turn; prints the id of each."""
    for number in range(JOBS):
        for session in range(SESSIONS):
            sent = chat_task.delay("energy", f"session-{session}", f"question {number}")
            print(json.dumps({"session": session, "number": number, "id": sent.id}), flush=True)


def outcomes() -> None:
    """How each job of standard input ended, once all have."""
    for line in sys.stdin:
        job = json.loads(line)
        result = chat_task.AsyncResult(job["id"])
        reply = result.get(timeout=TIMEOUT_S, propagate=False)
        answered = reply["response"] if result.successful() else None
        print(json.dumps({**job, "state": result.state, "response": answered}), flush=True)


def histories() -> None:
    """What each session has; as Redis' user for the memory."""
    memory = get_redis_memory()
    for session in range(SESSIONS):
        found = memory.get_conversation_history("energy", f"session-{session}")
        said = [[one["role"], one["content"]] for one in found or []]
        print(json.dumps({"session": session, "history": said}), flush=True)


if __name__ == "__main__":
    {"send": send, "outcomes": outcomes, "histories": histories}[sys.argv[1]]()
