"""A real cluster of three Valkey servers on this machine, with or without replicas."""

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

    def __init__(
        self, *, has_replicas: bool = False, options: Mapping[str, str] | None = None
    ) -> None:
        """With `has_replicas` each master has one, which takes its place some seconds after its
        death. `options` are further configuration lines of every node."""
        self._options = options or {}
        self.nodes = tuple(self._node() for _ in range(NODES))
        """The masters."""
        self.replicas = tuple(self._node() for _ in range(NODES if has_replicas else 0))
        """The replica of each master, in the same order."""

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
            for node in self._all:
                node.start()
            self._share_slots()
            self._introduce()
            self._wait_until_joined()
            self._attach_replicas()
            undo.pop_all()
        return self

    def close(self) -> None:
        """Stop every node and remove its directory. Safe to repeat."""
        for node in self._all:
            node.kill()
            node.close()

    @property
    def _all(self) -> tuple[ValkeyServer, ...]:
        return (*self.nodes, *self.replicas)

    def _node(self) -> ValkeyServer:
        return ValkeyServer(
            options={
                "cluster-enabled": "yes",
                "cluster-port": str(free_port()),
                "cluster-node-timeout": "2000",
                "repl-diskless-sync-delay": "0",
                **self._options,
            }
        )

    def _share_slots(self) -> None:
        for number, node in enumerate(self.nodes):
            first, last = SLOTS * number // NODES, SLOTS * (number + 1) // NODES - 1
            node.command("CLUSTER", "ADDSLOTSRANGE", first, last)
            # Without it all nodes start with epoch 0 and need seconds to resolve that conflict.
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)

    def _introduce(self) -> None:
        for node in self._all:
            for other in self._all:
                if other is not node:
                    bus_port = other.options["cluster-port"]
                    node.command("CLUSTER", "MEET", HOST, other.port, bus_port)

    def _wait_until_joined(self) -> None:
        for node in self._all:
            node.process.wait_ready(partial(_has_joined, node), JOIN_TIMEOUT_S)

    def _attach_replicas(self) -> None:
        for replica, master in zip(self.replicas, self.nodes, strict=False):
            replica.command("CLUSTER", "REPLICATE", str(master.command("CLUSTER", "MYID")))
        for replica in self.replicas:
            replica.process.wait_ready(partial(_is_in_step, replica), JOIN_TIMEOUT_S)


def _has_joined(node: ValkeyServer) -> bool:
    info = str(node.command("CLUSTER", "INFO")).split()
    return {"cluster_state:ok", f"cluster_slots_ok:{SLOTS}", f"cluster_size:{NODES}"} <= set(info)


def _is_in_step(replica: ValkeyServer) -> bool:
    return "master_link_status:up" in str(replica.command("INFO", "replication"))
