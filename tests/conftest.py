"""What holds for the whole suite: an environment of its own, whatever the developer's shell says.

The tests of the queue talk to one address, made up here, at which each test starts the server that
it needs: the producer in this process reads its settings once.
"""

import os

from sandbox.ports import free_port

_OURS = ("REDIS_", "OLLAMA_", "LLM_", "AGENT_", "SUPERVISOR_", "CELERY_", "CHAT_", "WORKER_")

USER_REDIS_URL = os.environ.get("REDIS_URL")
"""A Redis of the user's own: the contract tests of the memory run on it; others kill theirs."""

REDIS_PORT = free_port()
FAST = {
    "CHAT_LEASE_SECONDS": "2",
    "CHAT_SWEEP_SECONDS": "0.5",
    "CHAT_GRACE_SECONDS": "0.5",
    "CHAT_RETRY_BASE_SECONDS": "0.2",
    "WORKER_DRAIN_SECONDS": "5",
}
"""Short times, so that a fault is recovered from within a test's patience."""


def _isolate() -> None:
    for name in list(os.environ):
        if name.startswith(_OURS):
            del os.environ[name]
    os.environ["REDIS_URL"] = f"redis://127.0.0.1:{REDIS_PORT}/0"
    os.environ.update(FAST)


_isolate()
