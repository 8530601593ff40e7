"""The blocking client of a Redis Cluster."""

from collections.abc import Callable

from redis import Redis, RedisCluster
from redis.cluster import ClusterNode
from redis.retry import Retry

from memory.redis.cluster_nodes import note_nodes, seen_nodes
from memory.redis.endpoint import Endpoint, keep_raw


class _RawCluster(RedisCluster):
    """A cluster client whose nodes answer as Redis does."""

    def get_redis_connection(self, node: ClusterNode) -> Redis:
        client: Redis = super().get_redis_connection(node)
        keep_raw(client.response_callbacks)
        return client


def cluster_client(where: Endpoint, retry: Retry) -> RedisCluster:
    """A client that tries again as `retry` says; it connects here."""
    new_node: Callable[..., ClusterNode] = ClusterNode
    seeds = [new_node(*node) for node in seen_nodes(where.label)]
    cluster = _RawCluster(retry=retry, startup_nodes=seeds, **where.cluster_options())  # type: ignore[arg-type]
    nodes: list[ClusterNode] = cluster.get_nodes()  # type: ignore[no-untyped-call]
    note_nodes(where.label, [(node.host, node.port) for node in nodes])
    return cluster
