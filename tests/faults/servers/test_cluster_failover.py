"""The node of a Redis Cluster that REDIS_URL names dies in mid-work."""

from pathlib import Path

import pytest

from sandbox.cluster import ValkeyCluster
from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST
from tests.support.faults.failover import assert_all_is_answered
from tests.support.warm.python import warm


@pytest.mark.slow
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
            starter=warm,
        ) as stack,
    ):
        assert_all_is_answered(stack, ollama, sessions=30, jobs=4, kill=cluster.nodes[0].kill)
