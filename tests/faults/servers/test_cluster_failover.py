"""The node of a Redis Cluster that REDIS_URL names dies in mid-work."""

import json
import subprocess
import sys
from pathlib import Path

from sandbox.cluster import ValkeyCluster
from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.waiting import wait_until

SESSIONS, JOBS = 30, 4

# A process of its own: the producer in this one knows one address for all tests.
CLIENT = """
import json, sys
from memory import get_redis_memory
from tasks import chat_task
sessions, jobs = sys.argv[2:], int(sys.argv[1])
sent = [
    chat_task.delay("energy", session, f"no. {number}", model="delay:300ms")
    for number in range(jobs) for session in sessions
]
print("sent", flush=True)
for job in sent:
    job.get(timeout=60)
history = get_redis_memory().get_conversation_history
asked = [[m["content"] for m in history("energy", s) if m["role"] == "user"] for s in sessions]
chat_task.delay("energy", sessions[0], "and now?").get(timeout=20)
print(json.dumps(asked))
"""


def test_workers_go_on_when_the_replica_has_taken_over(tmp_path: Path) -> None:
    """Every job is answered, in order, and its turn recorded once."""
    with (
        ValkeyCluster(has_replicas=True) as cluster,
        ValkeyServer() as broker,
        OllamaStandIn() as ollama,
        GriotStack(
            tmp_path,
            redis_url=cluster.url.removesuffix("/0"),
            ollama_url=ollama.url,
            settings={
                **FAST,
                "REDIS_MODE": "cluster",
                "CELERY_BROKER_URL": broker.url(1),
                "CELERY_RESULT_BACKEND": broker.url(2),
            },
        ) as stack,
    ):
        stack.worker()
        with subprocess.Popen(
            (sys.executable, "-c", CLIENT, str(JOBS), *(f"s{n}" for n in range(SESSIONS))),
            env=stack.env,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == "sent\n"
            wait_until(lambda: ollama.stats.requests > SESSIONS, what="the second turns run")
            cluster.nodes[0].kill()
            shown, errors = client.communicate(timeout=scaled(60))
    assert client.returncode == 0, errors[-3000:]
    assert json.loads(shown) == [[f"no. {number}" for number in range(JOBS)]] * SESSIONS
