"""Memory, broker and results on one Redis that listens on a Unix socket."""

from pathlib import Path

from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.warm.python import run_python, warm

PASSWORD = "p@ss"  # noqa: S105  # no one's

# A process of its own: the producer in this one knows one address for all tests.
CLIENT = """
from tasks import chat_task
sent = [chat_task.delay("energy", "of-a-socket", f"message {n}") for n in range(3)]
print([job.get(timeout=30)["history_messages"] for job in sent])
"""


def test_a_conversation_over_a_unix_socket(tmp_path: Path) -> None:
    """The worker stores its results there itself, not by way of Celery's tracer."""
    path = tmp_path / "redis.sock"
    login = "unix://:p%40ss@"
    with (
        ValkeyServer(password=PASSWORD, options={"unixsocket": str(path)}),
        OllamaStandIn() as ollama,
        GriotStack(
            tmp_path,
            redis_url=f"{login}{path}",
            ollama_url=ollama.url,
            settings={
                **FAST,
                "CELERY_BROKER_URL": f"redis+socket://:p%40ss@{path}?virtual_host=1",
                "CELERY_RESULT_BACKEND": f"redis+socket://:p%40ss@{path}?virtual_host=2",
            },
            starter=warm,
        ) as stack,
    ):
        worker = stack.worker()
        client = run_python("-c", CLIENT, env=stack.env, cwd=tmp_path, timeout_s=scaled(60))
        assert client.stdout.strip() == "[0, 2, 4]", client.stderr[-3000:]
        check = run_python(
            "-m", "worker.cli", "check", env=stack.env, cwd=tmp_path, timeout_s=scaled(60)
        )
        assert check.returncode == 0, check.stdout + check.stderr
        assert worker.stop() == 0
        assert "not stored yet" not in worker.log_text()
