"""Conversations through the death of the server that keeps them."""

import json
from collections.abc import Callable

from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from tests.support.machine import SLOWNESS, scaled
from tests.support.waiting import wait_until
from tests.support.warm.piped import piped_python

# A process of its own: the producer in this one knows one address for all tests.
CLIENT = """
import json, sys
from memory import get_redis_memory
from tasks import chat_task
jobs, slowness, sessions = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
sent = [
    chat_task.delay("energy", session, f"no. {number}", model="delay:300ms")
    for number in range(jobs) for session in sessions
]
print("sent", flush=True)
for job in sent:
    job.get(timeout=60 * slowness)
history = get_redis_memory().get_conversation_history
asked = [[m["content"] for m in history("energy", s) if m["role"] == "user"] for s in sessions]
chat_task.delay("energy", sessions[0], "and now?").get(timeout=20 * slowness)
print(json.dumps(asked))
"""


def assert_all_is_answered(
    stack: GriotStack, ollama: OllamaStandIn, *, sessions: int, jobs: int, kill: Callable[[], None]
) -> None:
    """A worker of `stack` answers every job, in order and with one turn each, and one job more,
    though `kill` is called in the middle: when the second turns run."""
    worker = stack.worker()
    session_ids = [f"s{number}" for number in range(sessions)]
    arguments = ("-c", CLIENT, str(jobs), str(SLOWNESS), *session_ids)
    with piped_python(*arguments, env=stack.env, cwd=stack.directory) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "sent\n"
        wait_until(lambda: ollama.stats.requests > sessions, what="the second turns run")
        kill()
        shown, errors = client.communicate(timeout=scaled(90))
    assert client.returncode == 0, errors[-3000:] + worker.log_tail()
    assert json.loads(shown) == [[f"no. {number}" for number in range(jobs)]] * sessions
