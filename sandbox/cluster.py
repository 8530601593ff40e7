"""A real cluster of three Valkey servers on this machine, without replicas."""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Self

from sandbox.context import Starting
from sandbox.ports import free_port
from sandbox.valkey import HOST, ValkeyServer

NODES = 3
SLOTS = 16_384
JOIN_TIMEOUT_S = 20.0


class ValkeyCluster(Starting):
    """Three masters that share the 16 384 slots evenly; `close` stops them and removes all."""

    def __init__(self, *, options: Mapping[str, str] | None = None) -> None:
        """`options` are further configuration lines of every node."""
        self.nodes = tuple(
            ValkeyServer(
                options={
                    "cluster-enabled": "yes",
                    "cluster-port": str(free_port()),
                    "cluster-node-timeout": "2000",
                    **(options or {}),
                }
            )
            for _ in range(NODES)
        )

    @property
    def url(self) -> str:
        """The address of the first node, which names the others."""
        return self.nodes[0].url()

    def start(self) -> Self:
        """Start the nodes, join them, and return when every node says `cluster_state:ok`.

        ServerDied or ServerNotReady otherwise; nothing is left running then.
        """
        with ExitStack() as undo:
            undo.callback(self.close)
            for node in self.nodes:
                node.start()
            self._share_slots()
            self._introduce()
            self._wait_until_joined()
            undo.pop_all()
        return self

    def close(self) -> None:
        """Stop every node and remove its directory. Safe to repeat."""
        for node in self.nodes:
            node.kill()
            node.close()

    def _share_slots(self) -> None:
        for number, node in enumerate(self.nodes):
            first, last = SLOTS * number // NODES, SLOTS * (number + 1) // NODES - 1
            node.command("CLUSTER", "ADDSLOTSRANGE", first, last)
            # Without it all nodes start with epoch 0 and need seconds to resolve that conflict.
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)

    def _introduce(self) -> None:
        for node in self.nodes:
            for other in self.nodes:
                if other is not node:
                    bus_port = other.options["cluster-port"]
                    node.command("CLUSTER", "MEET", HOST, other.port, bus_port)

    def _wait_until_joined(self) -> None:
        for node in self.nodes:
            node.process.wait_ready(partial(_has_joined, node), JOIN_TIMEOUT_S)


def _has_joined(node: ValkeyServer) -> bool:
    info = str(node.command("CLUSTER", "INFO")).split()
    return {"cluster_state:ok", f"cluster_slots_ok:{SLOTS}", f"cluster_size:{NODES}"} <= set(info)
